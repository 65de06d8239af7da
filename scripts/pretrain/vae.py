"""Role vae: the picture's autoencoder, f4, four latent channels, at most 2 MiB in fp16.

Trains on crops of drawn pictures (once drawn/ is there) and composited emoji with L1 + MSE + edge
loss and a little KL, so that latents stay smooth. At export the latents' per-channel mean and
spread are folded into quant_conv and post_quant_conv, so scaling_factor is 1.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from draw import Drawn
from halves import Ahead, Halves
from options import autocast, parser, prepare, printer, train
from pictures import (
    Pixels,
    emoji_batch,
    evaluation_emoji,
    evaluation_folder,
    jitter,
    pack_emoji,
    psnr,
    to_tensor,
)
from torch import Tensor, nn

from onbrand.training.engine import Loop, Settings, generator

__all__ = ["build", "fold", "main"]


def build(channels: tuple[int, ...] = (16, 32, 64)) -> AutoencoderKL:
    """An untrained AutoencoderKL with one block per level; 3 levels halve the side."""
    n = len(channels)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * n,
        up_block_types=("UpDecoderBlock2D",) * n,
        block_out_channels=channels,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=128,
        scaling_factor=1.0,
    )
    for name, module in vae.named_modules():  # residual branches start at zero: a linear codec
        if name.endswith("conv2"):
            nn.init.zeros_(module.weight)
    with torch.no_grad():
        vae.quant_conv.bias[4:] = -6.0  # nearly noiseless latents at first
        vae.quant_conv.weight[4:] *= 0.1
    return vae.to(memory_format=torch.channels_last)


@torch.no_grad()
def grow(small: AutoencoderKL, channels: tuple[int, ...]) -> AutoencoderKL:
    """A codec with one level more (its width that of the last), which begins as `small` on features
    of half the side: far quicker than learning to see and to paint anew."""
    widths = tuple(small.config.block_out_channels)
    if channels != (*widths, widths[-1]):
        raise ValueError(f"a codec of {widths} grows to {(*widths, widths[-1])}, not to {channels}")
    vae = build(channels)
    last = len(channels) - 1
    state = {}
    for name, value in small.state_dict().items():
        if name.startswith("decoder.up_blocks."):  # the finest levels keep their weights
            head, _, rest = name.removeprefix("decoder.up_blocks.").partition(".")
            name = f"decoder.up_blocks.{int(head) + 1}.{rest}"
        state[name] = value
    vae.load_state_dict(state, strict=False)
    width = channels[-1]
    average = torch.zeros(width, width, 3, 3)
    average[torch.arange(width), torch.arange(width), :2, :2] = 0.25
    keep = torch.zeros(width, width, 3, 3)
    keep[torch.arange(width), torch.arange(width), 1, 1] = 1
    for conv, weight in (
        (vae.encoder.down_blocks[last - 1].downsamplers[0].conv, average),
        (vae.decoder.up_blocks[0].upsamplers[0].conv, keep),
    ):
        conv.weight.copy_(weight)
        nn.init.zeros_(conv.bias)
    return vae.to(memory_format=torch.channels_last)


def edges(x_bchw: Tensor) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical differences."""
    return x_bchw[..., 1:] - x_bchw[..., :-1], x_bchw[..., 1:, :] - x_bchw[..., :-1, :]


def loss_of(
    vae: AutoencoderKL,
    x_bchw: Tensor,
    kl_weight: float,
    noise: torch.Generator,
    halved: bool = False,
) -> tuple[Tensor, dict[str, float]]:
    """Reconstruction + edges + KL; the encoder is skipped by autograd when it is frozen.

    `halved`: latents of half the side must decode to the picture of half the side (EQ-VAE, arXiv
    2502.09509): latents without fine noise of their own, which a denoiser learns faster.
    """
    latents = vae.encode(x_bchw).latent_dist
    z = latents.sample(generator=noise)
    if halved:
        z, x_bchw = F.avg_pool2d(z, 2), F.avg_pool2d(x_bchw, 2)
    y = vae.decode(z).sample.float()
    l1, mse = F.l1_loss(y, x_bchw), F.mse_loss(y, x_bchw)
    edge = sum(F.l1_loss(a, b) for a, b in zip(edges(y), edges(x_bchw), strict=True))
    coarse = F.l1_loss(F.avg_pool2d(y, 4), F.avg_pool2d(x_bchw, 4))
    kl = 0.5 * (latents.mean.square() + latents.var - 1 - latents.logvar).mean()
    loss = l1 + 2 * mse + 0.5 * edge + 0.5 * coarse + kl_weight * kl
    return loss, {"mse": float(mse.detach()), "kl": float(kl.detach())}


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, x_bchw: Tensor) -> Tensor:
    """Encode (mode) and decode in small batches."""
    parts = [vae.decode(vae.encode(b).latent_dist.mode()).sample for b in x_bchw.split(8)]
    return torch.cat(parts)


def evaluations(
    emoji: Pixels, gopher: Path, drawn: Drawn | None, num: int = 32
) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Pictures never trained on: held-out emoji (whose things it does see in other styles), the
    gopher inside its alpha, reserved drawings."""
    sets: dict[str, tuple[Tensor, Tensor | None]] = {
        "psnr_emoji": (to_tensor(evaluation_emoji(emoji, num)), None)
    }
    if gopher.exists():
        pixels, mask = evaluation_folder(gopher)
        sets["psnr_gopher"] = (to_tensor(pixels[:num]), torch.from_numpy(mask[:num]))
    if drawn is not None:
        sets["psnr_drawn"] = (to_tensor(drawn.reserved_pixels(num)), None)
    return sets


def measure(vae: AutoencoderKL, sets: dict[str, tuple[Tensor, Tensor | None]]) -> dict[str, float]:
    """PSNR per set, dB."""
    vae.eval()
    out = {k: round(psnr(reconstruct(vae, x), x, m), 3) for k, (x, m) in sets.items()}
    vae.train()
    return out


@torch.no_grad()
def fold(vae: AutoencoderKL, batches: list[Tensor]) -> dict[str, list[float]]:
    """Fold the latents' mean and spread into the 1x1 quant convs: latents become ~N(0, 1)."""
    modes = torch.cat([vae.encode(b).latent_dist.mode() for b in batches])
    mean, std = modes.mean((0, 2, 3)), modes.std((0, 2, 3))
    quant, post = vae.quant_conv, vae.post_quant_conv
    quant.weight[:4] /= std[:, None, None, None]
    quant.bias[:4] = (quant.bias[:4] - mean) / std
    quant.bias[4:] -= 2 * std.log()  # the log-variance of the rescaled latent
    post.bias += post.weight[:, :, 0, 0] @ mean
    post.weight *= std[None, :, None, None]
    return {"mean": mean.tolist(), "std": std.tolist()}


def batch_source(
    emoji: Pixels, drawn: Drawn | None, seed: int, batch: int
) -> Callable[[int, int], Tensor]:
    """(share, step) -> crops [b, 3, s, s]: two of 64 px, then one of whole pictures."""

    def source(share: int, step: int) -> Tensor:
        rng = np.random.default_rng((seed, step, share))
        crop = 128 if step % 3 == 2 else 64
        num = max(1, batch * 64 * 64 // (crop * crop))
        num_drawn = round(0.7 * num) if drawn is not None else 0
        parts = [emoji_batch(emoji, rng, num - num_drawn, crop)] if num > num_drawn else []
        if drawn is not None and num_drawn:
            crops = drawn.crops(rng, num_drawn, crop)
            parts.append(np.stack([jitter(x, rng) if rng.random() < 0.3 else x for x in crops]))
        return to_tensor(np.concatenate(parts))

    return source


def export(
    vae: AutoencoderKL, source: Callable[[int, int], Tensor], out: Path, num_batches: int
) -> dict[str, list[float]]:
    """Fold statistics of `num_batches` batches of whole pictures; save fp16 safetensors."""
    vae.eval()
    whole = [source(k, 3_000_002 + 3 * i) for i in range(num_batches) for k in (0, 1)]
    facts = fold(vae, whole) if whole else {}  # a frozen encoder keeps its latents
    vae.half().save_pretrained(out, safe_serialization=True)
    vae.float()
    (out / "latents.json").write_text(json.dumps(facts))
    return facts


def main(arguments: list[str] | None = None) -> None:
    """Train, log PSNR, export the average."""
    p: argparse.ArgumentParser = parser("vae", steps=6000, batch=16)
    p.add_argument("--kl", type=float, default=3e-4)
    p.add_argument("--num", type=int, default=32, help="pictures in each PSNR")
    p.add_argument("--fold-batches", type=int, default=40)
    p.add_argument("--rate", type=float, default=1.5e-3)
    p.add_argument("--every", type=int, default=250)
    p.add_argument("--channels", type=int, nargs="+", default=[16, 32, 64])
    p.add_argument("--grow", type=Path, help="an exported vae/ of one level less to begin from")
    p.add_argument("--decoder-only", action="store_true", help="the encoder is frozen")
    p.add_argument("--start", type=Path, help="an exported vae/ to begin from")
    p.add_argument("--export-only", action="store_true")
    options = p.parse_args(arguments)
    prepare(options)
    emoji, _ = pack_emoji(options.emoji, options.work)
    drawn = Drawn.open(options.drawn)
    vae = build(tuple(options.channels))
    if options.start:
        vae = AutoencoderKL.from_pretrained(options.start, torch_dtype=torch.float32)
        vae = vae.to(memory_format=torch.channels_last)
    if options.grow:
        small = AutoencoderKL.from_pretrained(options.grow, torch_dtype=torch.float32)
        vae = grow(small, tuple(options.channels))
    if options.decoder_only:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    vae.to(options.device)
    source = batch_source(emoji, drawn, options.seed, options.batch // options.threads)
    sets = {
        name: (x.to(options.device), None if mask is None else mask.to(options.device))
        for name, (x, mask) in evaluations(emoji, options.gopher, drawn, options.num).items()
    }
    settings = Settings(
        num_steps=options.steps, learning_rate=options.rate, seed=options.seed, warmup_steps=100,
        floor_fraction=0.02, weight_decay=1e-4, ema_decay=0.998, checkpoint_every=options.every,
        log_every=50,
    )  # fmt: skip
    names = {n: q for n, q in vae.named_parameters() if q.requires_grad}
    loop = Loop(options.out, names, settings, task="vae", emit=printer())
    loop.resume()
    halves = Halves(vae, options.threads)
    shares = [Ahead(partial(source, k), options.workers) for k in range(halves.num)]

    def loss(replica: AutoencoderKL, k: int, index: int) -> tuple[Tensor, dict[str, float]]:
        x = shares[k](index).to(options.device)
        with autocast(options):
            noise = generator(options.seed, index, k)
            return loss_of(replica, x, options.kl, noise, halved=index % 5 < 2)

    def step(index: int) -> tuple[Tensor, dict[str, float]]:
        return halves.gradients(partial(loss, index=index))

    def evaluate(_: int) -> dict[str, float]:
        with loop.averaged():
            return measure(vae, sets)

    if not options.export_only:
        train(loop, step, {options.every: evaluate}, options)
    with loop.averaged():
        print(measure(vae, sets), flush=True)
        batches = 0 if options.decoder_only else options.fold_batches
        export(vae.cpu(), source, options.out / "vae", batches)
        scores = measure(vae.to(options.device), sets)
        print("exported", scores, flush=True)
        (options.out / "scores.json").write_text(json.dumps(scores))


if __name__ == "__main__":
    main()
