"""Roles unet and text_encoder: the base's denoiser and its words, trained jointly on latents.

v-prediction with zero terminal SNR (arXiv 2305.08891), captions dropped one time in ten, squared
error of v, alike over noise levels; faces and props, little of a picture and most of what a person
looks at, weigh more (`Latents.weights`), as far as the noise lets them be seen (times the square
root of alpha bar: at pure noise the layout is all there is to learn). Seven timesteps in ten are
drawn so that log SNR is normal about 1, as EDM trains (arXiv 2206.00364: log sigma of mean -1.2 at
a data deviation of 0.5); the rest are uniform, for the last step, which decides the layout. Uniform
alone gives half of all samples an SNR under 0.3, and Min-SNR takes away what is left of the crisp
end: pictures then have shapes but no edges.
`--own` has the base look at pictures that it draws itself (reward.py).
Every `--every` steps it saves the averaged weights as pipeline/ and a sheet of fixed prompts.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from halves import stepper
from latents import Latents, latent_options
from numpy.typing import NDArray
from options import WORK, parser, prepare, printer, train
from PIL import Image
from reward import Reward, reward_fault, reward_options
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer
from words import build as text_encoder

from onbrand.sheet import tiles
from onbrand.training.engine import Loop, Settings, generator, noise
from onbrand.training.noise_levels import NoiseLevels, logit_normal

__all__ = ["PROMPTS", "Joint", "build", "main", "pipeline", "schedule"]

PROMPTS = (
    "a flat illustration of a red fox, waving happily, on a plain pale blue background",
    "a soft shaded illustration of a blue cat wearing a yellow scarf, jumping, in a forest by day",
    "a green frog with a crown, sitting sadly, holding an umbrella, at a market at night",
    "a white rabbit wearing red overalls, cheering with both arms up, on a beach at sunset",
    "a purple bear, dancing, holding a balloon, on snowy hills by day",
    "a pink panda wearing glasses, thinking with a hand on the chin, in a cosy room",
    "an orange dog with a blue cape, running angrily, in a city street by day",
    "a sticker of a black penguin, laughing, holding an ice cream",
    "a close-up of a grey owl winking, in the mountains at night",
    "a teal axolotl wearing a party hat, holding a gift, sleepy, in a desert at sunset",
    "a yellow fox mascot, surprised, holding a star, facing left, in a meadow by day",
    "a pencil sketch of a brown dog, standing calmly, holding a flower",
    "a 3d emoji of a red apple", "a flat colour emoji of a house", "a 3d emoji of a rocket",
    "a gopher mascot riding a bicycle",
    "product picture of a red mug with white dots, on seamless paper, flat illustration",
    "a soft shaded illustration of a blue backpack with yellow details, on a wooden table",
    "an outlined cartoon of a woman, wearing a long red dress, walking, in a city street by day",
    "a mannequin, wearing a green coat, standing, on a plain cream background, flat illustration",
)  # fmt: skip


class Joint(nn.Module):
    """U-Net and text encoder as one module, so that replicas copy both."""

    def __init__(self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.unet = unet
        self.text_encoder = text_encoder

    def forward(self, x_bchw: Tensor, t_b: Tensor, tokens_bs: Tensor) -> Tensor:
        """The predicted v, [b, 4, s, s]."""
        words = self.text_encoder(tokens_bs)[0]
        v: Tensor = self.unet(x_bchw, t_b, encoder_hidden_states=words).sample
        return v


def matrices(joint: Joint) -> list[str]:
    """The U-Net's hidden matrices and convolutions, which Muon trains."""
    ends = ("unet.conv_in.", "unet.conv_out.", "unet.time_embedding.", "text_encoder.")
    named = joint.named_parameters()
    return [name for name, p in named if p.ndim >= 2 and not name.startswith(ends)]


def schedule() -> DDIMScheduler:
    """The noise schedule that everything trained on this base shares."""
    return DDIMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing",
        clip_sample=False, set_alpha_to_one=True,
        steps_offset=1,
    )  # fmt: skip


PLAIN, OWN = "pictures seen", "own pictures looked at"
SNR = schedule().alphas_cumprod / (1 - schedule().alphas_cumprod)


def levels(log_snr: float) -> NoiseLevels:
    """Seven in ten normal about that log SNR, deviation 2.4."""
    return NoiseLevels.of(logit_normal(SNR, mean=-log_snr / 2, spread=1.2))


def build(
    vocabulary: int,
    channels: tuple[int, ...] = (48, 96, 160, 192),
    width: int = 128,
    sample_size: int = 32,
) -> Joint:
    """An untrained base: attention on the middle levels, none on the first and the last."""
    inner = len(channels) - 2
    down = ("DownBlock2D", *("CrossAttnDownBlock2D",) * inner, "DownBlock2D")
    up = ("UpBlock2D", *("CrossAttnUpBlock2D",) * inner, "UpBlock2D")
    unet = UNet2DConditionModel(
        sample_size=sample_size, in_channels=4, out_channels=4, block_out_channels=channels,
        layers_per_block=1, down_block_types=down, up_block_types=up, cross_attention_dim=width,
        attention_head_dim=4, norm_num_groups=16,
    )  # fmt: skip
    words = text_encoder(vocabulary, width)
    with torch.no_grad():
        for module in unet.modules():  # residual branches start at zero
            if hasattr(module, "conv2") and hasattr(module, "time_emb_proj"):
                nn.init.zeros_(module.conv2.weight)
        nn.init.zeros_(unet.conv_out.weight)
    return Joint(unet.to(memory_format=torch.channels_last), words)


def rows_of(step: int, batch: int, latents: Latents, seed: int, emoji: float) -> NDArray[np.int64]:
    """Rows of this step: drawn ones by a shuffled pass, a share of emoji at random."""
    rng = np.random.default_rng((seed, step))
    num_drawn, num_all = latents.num_drawn, len(latents.captions)
    if not 0 < num_drawn < num_all:
        return rng.integers(0, num_all, batch)
    place = np.arange(step * batch, (step + 1) * batch)
    rows = np.empty(batch, np.int64)
    num = latents.num_shown
    for epoch in np.unique(place // num):
        order = latents.shown(np.random.default_rng((seed, 77, int(epoch))))
        here = place // num == epoch
        rows[here] = order[place[here] % num]
    swap = rng.random(batch) < emoji
    rows[swap] = rng.integers(num_drawn, num_all, int(swap.sum()))
    return rows


def captions_of(
    rows: NDArray[np.int64], step: int, latents: Latents, seed: int, drop: float
) -> list[str]:
    """One of each row's captions, or nothing."""
    rng = np.random.default_rng((seed, step, 5))
    texts = [latents.captions[r][int(rng.integers(len(latents.captions[r])))] for r in rows]
    return ["" if rng.random() < drop else text for text in texts]


def loss_of(joint: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Weighted squared error of v; plain means: `crisp` of t < 250, `noisy` of t >= 500."""
    output = joint(batch["x"], batch["t"], batch["tokens"]).float()
    error = (output - batch["v"]).square()
    seen, t = error.detach().mean((1, 2, 3)), batch["t"]
    parts = {"crisp": t < 250, "noisy": t >= 500}
    numbers = {k: float(seen[m].sum() / m.sum().clamp_min(1)) for k, m in parts.items()}
    return (error * batch["weights"]).mean(), numbers


def both(
    reward: Reward, joint: nn.Module, batch: dict[str, Tensor]
) -> tuple[Tensor, dict[str, float]]:
    """The two losses of a step, added."""
    plain, numbers = loss_of(joint, batch)
    looked, seen = reward.loss(joint, batch)
    return plain + looked, {"plain": float(plain.detach()), **numbers, **seen}


def pipeline(joint: Joint, vae: AutoencoderKL, tokenizer: CLIPTokenizer) -> StableDiffusionPipeline:
    """The very modules in diffusers' pipeline."""
    pipe = StableDiffusionPipeline(
        vae=vae, text_encoder=joint.text_encoder, tokenizer=tokenizer, unet=joint.unet,
        scheduler=schedule(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sheet(pipe: StableDiffusionPipeline, path: Path, num_steps: int = 20) -> None:
    """Fixed prompts and seeds as one PNG of four columns."""
    pictures: list[Image.Image] = []
    for i in range(0, len(PROMPTS), 4):
        seeds = [torch.Generator("cpu").manual_seed(k) for k in range(i, i + 4)]
        pictures += pipe(
            list(PROMPTS[i : i + 4]), num_inference_steps=num_steps, guidance_scale=4.0,
            generator=seeds,
        ).images  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    tiles(pictures, 4).save(path)


class Source:
    """(step, share) -> noisy latents, timesteps, tokens, v and weights of that share; with `reward`
    its prompts as well."""

    def __init__(
        self, options: argparse.Namespace, latents: Latents, tokenizer: CLIPTokenizer,
        reward: Reward | None = None,
    ) -> None:  # fmt: skip
        self.options, self.latents, self.tokenizer = options, latents, tokenizer
        self.noising, self.levels, self.reward = schedule(), levels(options.log_snr), reward

    def timesteps(self, step: int) -> Tensor:
        """[batch] int64, in random order."""
        n, seed = self.options.batch, self.options.seed
        mix = torch.randperm(n, generator=generator(seed, step, -3))
        return self.levels.draw(seed, step, n)[mix]

    def __call__(self, step: int, share: slice) -> dict[str, Tensor]:
        o = self.options
        rows = rows_of(step, o.batch, self.latents, o.seed, o.emoji_share)
        texts = captions_of(rows, step, self.latents, o.seed, 0.1)[share]
        x0 = self.latents.fetch(rows[share])
        eps = noise(tuple(x0.shape[1:]), o.seed, step, range(o.batch)[share])
        t = self.timesteps(step)[share]
        tokens = self.tokenizer(
            texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
        ).input_ids
        x = self.noising.add_noise(x0, eps, t).contiguous(memory_format=torch.channels_last)
        v = self.noising.get_velocity(x0, eps, t)
        weights = self.latents.weights(rows[share], o.detail_weight)
        seen = self.noising.alphas_cumprod[t].sqrt()[:, None, None, None]
        told = {"x": x, "t": t, "tokens": tokens, "v": v, "weights": 1 + (weights - 1) * seen}
        return told | (self.reward.prompts(step, share) if self.reward else {})


def options_of(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    p = parser("unet", steps=30_000, batch=24)
    p.add_argument("--rate", type=float, default=1e-3)
    p.add_argument("--every", type=int, default=500, help="steps between saved averages and sheets")
    p.add_argument("--emoji-share", type=float, default=0.05)
    p.add_argument(
        "--detail-weight",
        type=float,
        default=4.0,
        help="weight of faces and props; 1 like the rest",
    )
    p.add_argument(
        "--log-snr", type=float, default=1.0,
        help="about which most timesteps are drawn; less where a world's shapes are still to learn",
    )  # fmt: skip
    latent_options(p)
    p.add_argument("--tokenizer", type=Path, default=WORK / "tokenizer" / "tokenizer")
    p.add_argument("--channels", type=int, nargs="+", default=[48, 96, 160, 192])
    p.add_argument("--ema", type=float, default=0.999)
    p.add_argument("--no-sheets", action="store_true")
    p.add_argument(
        "--start", type=Path, help="a pack to go on from; name its --vae, --tokenizer too"
    )
    p.add_argument("--words", type=Path, help="a text_encoder/ to begin with, from words.py")
    reward_options(p)
    options = p.parse_args(arguments)
    if fault := reward_fault(options):
        p.error(fault)
    return options


def main(arguments: list[str] | None = None) -> None:
    """Train; save averaged weights and sheets as it goes."""
    options = options_of(arguments)
    prepare(options)
    latents = Latents.open(options)
    tokenizer = CLIPTokenizer.from_pretrained(options.tokenizer)
    joint = build(len(tokenizer), tuple(options.channels), sample_size=latents.size)
    if options.start:
        unet = UNet2DConditionModel.from_pretrained(
            options.start / "unet", torch_dtype=torch.float32
        )
        joint.unet = unet.to(memory_format=torch.channels_last)
    words = options.words or (options.start / "text_encoder" if options.start else None)
    if words:
        joint.text_encoder = CLIPTextModel.from_pretrained(words, dtype=torch.float32)
    joint.train().to(options.device)
    reward = None
    if options.own:
        reward = Reward(options, latents, tokenizer, schedule().alphas_cumprod)
    source = Source(options, latents, tokenizer, reward)
    settings = Settings(
        num_steps=options.steps, learning_rate=options.rate, seed=options.seed,
        warmup_steps=min(200, options.steps // 10),
        floor_fraction=0.02, weight_decay=0.01, ema_decay=options.ema, checkpoint_every=250,
        log_every=50,
    )  # fmt: skip
    loop = Loop(
        options.out, dict(joint.named_parameters()), settings, matrices=matrices(joint),
        task="unet", emit=printer(),
    )  # fmt: skip
    loop.resume()
    step = stepper(joint, source, partial(both, reward) if reward else loss_of, options)
    before = seen_by(options.start)

    def save(done: int) -> None:
        began = time.monotonic()
        more = {PLAIN: done * options.batch, OWN: done * options.own}
        seen = {name: before.get(name, 0) + num for name, num in more.items()}
        (options.out / "scores.json").write_text(json.dumps(seen))
        with loop.averaged(), torch.no_grad():
            joint.eval()
            pipe = pipeline(joint, latents.vae, tokenizer)
            write(joint, options.out / "pipeline", {"steps": done, **seen})
            if not options.no_sheets:
                torch.set_num_threads(options.threads)
                sheet(pipe, options.out / "samples" / f"{done:06d}.png")
                torch.set_num_threads(1)
            joint.train()
        print(f"saved at {done} in {time.monotonic() - began:.0f} s", flush=True)

    train(loop, step, {options.every: save}, options)
    if loop.step % options.every:  # else it was saved just now
        save(loop.step)


def seen_by(pack: Path | None) -> dict[str, int]:
    """How many pictures the base of a pack has seen, as far as its facts say."""
    facts = pack / "facts.json" if pack else None
    told = json.loads(facts.read_text("utf-8")) if facts and facts.exists() else {}
    return {name: int(told.get("unet", {}).get(name, 0)) for name in (PLAIN, OWN)}


def write(joint: Joint, folder: Path, facts: dict[str, int]) -> None:
    """Save the weights that the modules hold now, fp16, a whole folder at a time. Its facts.json is
    as a pack's, for `seen_by`: lent.sh lays the folder over a pack and goes on from there."""
    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    half = copy.deepcopy(joint).half().cpu()
    half.unet.save_pretrained(fresh / "unet")
    half.text_encoder.save_pretrained(fresh / "text_encoder")
    (fresh / "facts.json").write_text(json.dumps({"unet": facts}))
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)  # of a save that was killed
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


if __name__ == "__main__":
    main()
