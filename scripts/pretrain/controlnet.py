"""Role controlnet: one ControlNet that reads Canny edges and OpenPose drawings.

As Zhang et al. train it (arXiv 2302.05543): a copy of the U-Net's encoder, joined through
convolutions that start at zero; the base stays frozen. Only the encoder's attention is left out,
half of its weights. Each picture is followed by its edges or, where it has joints, as often by its
pose; three captions in ten are dropped, so that a drawing is followed without words too. Timesteps
are uniform: shapes are decided at high noise.
Every `--every` steps it saves model/ and a sheet: drawings, what follows them, what does not.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import ControlNetModel
from halves import stepper
from latents import Latents, latent_options
from numpy.typing import NDArray
from options import parser, prepare, printer, train
from PIL import Image
from torch import Tensor, nn
from unet import captions_of, rows_of, schedule

from onbrand.generation import edge_drawing, pose_drawing, sample
from onbrand.illustrator import (
    caption,
    character,
    describe,
    garment,
    illustrate,
    illustrate_fashion,
    person,
    random_fashion_scene,
    random_scene,
)
from onbrand.illustrator.skeleton import coco_17
from onbrand.judging.metrics import edge_f1
from onbrand.models.diffusion import DiffusionModel, load_diffusion
from onbrand.models.packs import open_pack
from onbrand.sheet import tiles
from onbrand.training.engine import Loop, Settings, noise
from onbrand.training.noise_levels import NoiseLevels

__all__ = ["Guided", "build", "main", "matrices"]

LEVELS = NoiseLevels.uniform(1000)
SIZE_PX = 128


class Guided(nn.Module):
    """ControlNet, and the frozen U-Net and text encoder it steers, so that replicas hold all."""

    def __init__(self, model: DiffusionModel, controlnet: ControlNetModel) -> None:
        super().__init__()
        self.unet, self.text_encoder = model.network, model.parts["text_encoder"]
        self.controlnet = controlnet

    def forward(self, x_bchw: Tensor, t_b: Tensor, tokens_bs: Tensor, drawn_bchw: Tensor) -> Tensor:
        """The predicted v, [b, 4, s, s]."""
        with torch.no_grad():
            words = self.text_encoder(tokens_bs)[0]
        down, middle = self.controlnet(
            x_bchw, t_b, encoder_hidden_states=words, controlnet_cond=drawn_bchw, return_dict=False
        )
        v: Tensor = self.unet(
            x_bchw, t_b, encoder_hidden_states=words, down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample  # fmt: skip
        return v


def build(model: DiffusionModel) -> ControlNetModel:
    """A ControlNet that starts as the U-Net's encoder without its attention, and changes nothing:
    where things are a drawing says, what they are the U-Net reads itself."""
    halvings = round(np.log2(model.vae_factor))
    like, channels = model.network.config, model.network.config.block_out_channels
    shared = ("in_channels", "flip_sin_to_cos", "freq_shift", "block_out_channels", "act_fn",
              "layers_per_block", "downsample_padding", "norm_num_groups", "norm_eps",
              "cross_attention_dim", "attention_head_dim")  # fmt: skip
    net = ControlNetModel(
        **{name: like[name] for name in shared},
        down_block_types=("DownBlock2D",) * len(channels),
        mid_block_type="UNetMidBlock2D",
        conditioning_embedding_out_channels=tuple(16 * 2**k for k in range(halvings + 1)),
    )
    mine = net.state_dict()
    copied = {n: w for n, w in model.network.state_dict().items() if n in mine}
    net.load_state_dict({**mine, **copied})
    return net.train()


def matrices(net: ControlNetModel) -> list[str]:
    """Hidden matrices and convolutions, which Muon trains; what starts at zero is AdamW's."""
    ends = ("conv_in.", "time_embedding.", "controlnet_")
    return [n for n, p in net.named_parameters() if p.ndim >= 2 and not n.startswith(ends)]


def drawing(pixels: NDArray[np.uint8], joints: NDArray[np.float32], pose: bool) -> Image.Image:
    """The pose where it is wanted and there is one (a shoulder at least), else the edges."""
    if pose and joints[[5, 6], 2].any():
        return pose_drawing(joints, SIZE_PX)
    return edge_drawing(Image.fromarray(pixels))


class Source:
    """(step, share) -> noisy latents, timesteps, tokens, v and drawings of that share."""

    def __init__(
        self, options: argparse.Namespace, latents: Latents, model: DiffusionModel
    ) -> None:
        self.options, self.latents, self.model = options, latents, model
        self.noising = schedule()

    def __call__(self, step: int, share: slice) -> dict[str, Tensor]:
        o = self.options
        rows = rows_of(step, o.batch, self.latents, o.seed, o.emoji_share)
        texts = captions_of(rows, step, self.latents, o.seed, 0.3)[share]
        poses = np.random.default_rng((o.seed, step, 9)).random(o.batch) < 0.5
        drawn = [
            drawing(self.latents.pixels(int(row)), self.latents.joints(int(row)), bool(pose))
            for row, pose in zip(rows[share], poses[share], strict=True)
        ]
        x0 = self.latents.fetch(rows[share])
        eps = noise(tuple(x0.shape[1:]), o.seed, step, range(o.batch)[share])
        t = LEVELS.draw(o.seed, step, o.batch)[share]
        tokens = self.model.parts["tokenizer"](
            texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
        ).input_ids
        return {
            "x": self.noising.add_noise(x0, eps, t).contiguous(memory_format=torch.channels_last),
            "t": t,
            "tokens": tokens,
            "v": self.noising.get_velocity(x0, eps, t),
            "drawn": as_tensor(drawn),
        }


def loss_of(guided: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Mean squared error of v."""
    v = guided(batch["x"], batch["t"], batch["tokens"], batch["drawn"]).float()
    error = (v - batch["v"]).square().mean()
    return error, {"error": float(error.detach())}


def as_tensor(drawings: list[Image.Image]) -> Tensor:
    """[b, 3, h, w] in [0, 1], as diffusers' pipelines give them to a ControlNet."""
    stack = np.stack([np.asarray(d, np.float32) for d in drawings]) / 255
    return torch.from_numpy(stack).permute(0, 3, 1, 2).contiguous()


def reserved(num: int) -> tuple[list[Image.Image], list[Image.Image], list[str]]:
    """Pictures of reserved subjects, their drawings (edges and poses in turn) and prompts."""
    pictures, drawings, prompts = [], [], []
    for k in range(num):
        rng = np.random.default_rng((k, 0xC017))
        if k % 4 == 3:
            look = random_fashion_scene(rng)
            worn = illustrate_fashion(person(k), garment(k), look, SIZE_PX, seed=k)
            pixels, joints, words = worn.pixels, coco_17(worn.keypoints), worn.caption
        else:
            who, scene = character(k), random_scene(rng)
            shown = illustrate(who, scene, SIZE_PX, seed=k)
            words = caption(who, scene, rng, describe(who))
            pixels, joints = shown.pixels, coco_17(shown.keypoints)
        pictures.append(Image.fromarray(pixels))
        drawings.append(drawing(pixels, joints, pose=k % 2 == 1))
        prompts.append(words)
    return pictures, drawings, prompts


def evaluate(model: DiffusionModel, net: ControlNetModel, path: Path, num: int) -> dict[str, float]:
    """Write the sheet; edge F1 (2 px) of the even ones, which follow edges, with and without."""
    pictures, drawings, prompts = reserved(num)
    seeds = list(range(num))
    plain = sample(model, prompts, seeds=seeds)
    guided = sample(model, prompts, seeds=seeds, controlnet=net, drawings=drawings)
    path.parent.mkdir(parents=True, exist_ok=True)
    tiles([*pictures, *drawings, *guided, *plain], num).save(path)
    found = {}
    for name, shown in (("edge_f1", guided), ("edge_f1_unguided", plain)):
        scores = [edge_f1(edge_drawing(shown[k]), drawings[k]) for k in range(0, num, 2)]
        found[name] = round(float(np.mean(scores)), 4)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Train; save the ControlNet and a sheet as it goes."""
    p = parser("controlnet", steps=3000, batch=24)
    p.add_argument("--rate", type=float, default=1e-3)
    p.add_argument("--every", type=int, default=250, help="steps between saves")
    p.add_argument("--emoji-share", type=float, default=0.03)
    p.add_argument("--num", type=int, default=16, help="pictures of the sheet")
    p.add_argument("--base", default="pocket", help="the pack it is for; name its --vae too")
    p.add_argument("--start", type=Path, help="an older base's ControlNet to go on from")
    latent_options(p)
    options = p.parse_args(arguments)
    prepare(options)
    latents = Latents.open(options)
    model = load_diffusion(open_pack(options.base), device=options.device)
    net = build(model)
    if options.start:
        old = ControlNetModel.from_pretrained(options.start, torch_dtype=torch.float32)
        net.load_state_dict(old.state_dict())
    guided, source = Guided(model, net), Source(options, latents, model)
    settings = Settings(
        num_steps=options.steps, learning_rate=options.rate, seed=options.seed, warmup_steps=100,
        floor_fraction=0.05, weight_decay=0.01, ema_decay=0.995, checkpoint_every=250, log_every=50,
    )  # fmt: skip
    loop = Loop(
        options.out, dict(net.named_parameters()), settings, matrices=matrices(net),
        task="controlnet", emit=printer(),
    )  # fmt: skip
    loop.resume()
    step = stepper(guided, source, loss_of, options)

    def save(done: int) -> None:
        began = time.monotonic()
        with loop.averaged(), torch.no_grad():
            half = ControlNetModel.from_config(net.config)
            half.load_state_dict(net.state_dict())
            half.half().save_pretrained(options.out / "model")
            torch.set_num_threads(options.threads)
            found = evaluate(model, net, options.out / "samples" / f"{done:06d}.png", options.num)
            torch.set_num_threads(1)
            net.train()
        (options.out / "scores.json").write_text(json.dumps({"steps": done, **found}))
        print(f"saved at {done} in {time.monotonic() - began:.0f} s: {found}", flush=True)

    train(loop, step, {options.every: save}, options)
    if loop.step % options.every:  # else it was saved just now
        save(loop.step)


if __name__ == "__main__":
    main()
