"""What the small eyes share: augmented views of drawn pictures, and the run that trains one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from draw import PICTURES_EACH, Beside, Drawn
from halves import Ahead
from numpy.typing import NDArray
from options import WORK, autocast, printer
from pictures import Pixels, to_tensor
from torch import Tensor, nn
from transformers import (
    PreTrainedModel,
    RegNetConfig,
    RegNetForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
)

from onbrand.training.engine import Loop, Settings

__all__ = [
    "augment",
    "characters_of",
    "eye_options",
    "fit",
    "held_out_batches",
    "moved",
    "regnet",
    "relit",
    "resnet",
    "views",
    "without_place",
]

Scores = dict[str, float]


def eye_options(p: argparse.ArgumentParser) -> None:
    """Options common to the eyes: they run on one thread beside the U-Net."""
    p.set_defaults(threads=1)
    p.add_argument("--held-out", type=Path, default=WORK / "drawn-held-out")
    p.add_argument("--start", type=Path, help="an exported model to go on from")
    p.add_argument("--every", type=int, default=250, help="steps between measurements")
    p.add_argument("--rate", type=float, default=1.5e-3)
    p.add_argument("--blackout", type=float, default=0.4, help="share of views without background")
    p.add_argument("--warp", type=float, default=1.0, help="strength of shift, scale and turn")


def bytes_of(pixels: Any) -> Pixels:
    """What OpenCV returned, as uint8."""
    return np.asarray(pixels, np.uint8)


def augment(
    pixels: Pixels,
    parts: Pixels | None,
    rng: np.random.Generator,
    blackout: float,
    warp: float,
    flip: bool = True,
) -> Pixels:
    """One view: background gone at times, moved, scaled, mirrored, re-lit, re-compressed."""
    pixels = without_place(pixels, parts, rng, blackout)
    return relit(moved(pixels, rng, warp, flip)[0], rng)


def without_place(
    pixels: Pixels, parts: Pixels | None, rng: np.random.Generator, blackout: float
) -> Pixels:
    """The subject on one shade instead of its background, a share of the time."""
    if parts is not None and rng.random() < blackout:
        shade = np.zeros(3) if rng.random() < 0.5 else rng.uniform(0, 255, 3)
        return np.where(parts[..., None] > 0, pixels, shade.astype(np.uint8))
    return pixels


def moved(
    pixels: Pixels, rng: np.random.Generator, warp: float, flip: bool
) -> tuple[Pixels, NDArray[np.float64]]:
    """The picture shifted, scaled, turned and mirrored at times, and the [2, 3] matrix that moves
    its points along (of negative determinant where it is mirrored)."""
    side = pixels.shape[0]
    whole: NDArray[Any] = np.eye(2, 3)
    if rng.random() < 0.8:
        factor = 1 + warp * rng.uniform(-0.12, 0.15)
        whole = cv2.getRotationMatrix2D((side / 2, side / 2), warp * rng.uniform(-8, 8), factor)
        whole[:, 2] += warp * rng.uniform(-0.07, 0.07, 2) * side
        pixels = bytes_of(
            cv2.warpAffine(pixels, whole, (side, side), borderMode=cv2.BORDER_REPLICATE)
        )
    if flip and rng.random() < 0.5:
        pixels = pixels[:, ::-1]
        whole = np.array([[-1.0], [1.0]]) * whole + [[0, 0, side - 1], [0, 0, 0]]
    return pixels, np.asarray(whole, np.float64)


def relit(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Blurred or re-compressed, brighter or darker, grainy, each at times."""
    roll = rng.random()
    if roll < 0.25:
        pixels = bytes_of(cv2.GaussianBlur(pixels, (3, 3), float(rng.uniform(0.4, 1.2))))
    elif roll < 0.5:
        quality = int(rng.integers(40, 95))
        jpeg = cv2.imencode(
            ".jpg", np.ascontiguousarray(pixels), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
        pixels = bytes_of(cv2.imdecode(jpeg[1], cv2.IMREAD_COLOR))
    if rng.random() < 0.3:
        gain, lift = rng.uniform(0.88, 1.12), rng.uniform(-12, 12)
        pixels = (pixels * gain + lift).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        grain = rng.normal(0, rng.uniform(1, 6), pixels.shape)
        pixels = (pixels + grain).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def views(
    drawn: Drawn | Beside,
    indices: NDArray[np.int64],
    rng: np.random.Generator,
    blackout: float,
    warp: float = 1.0,
    flip: bool = True,
) -> torch.Tensor:
    """Augmented views of the pictures, [n, 3, 128, 128] in [-1, 1]."""  # fmt: skip
    out = [
        augment(drawn.pixels(int(i)), drawn.parts(int(i)), rng, blackout, warp, flip)
        for i in indices
    ]
    return to_tensor(np.stack(out))


def resnet(
    widths: tuple[int, ...] = (32, 64, 128, 192),
    embedding: int = 32,
    image_px: int = 128,
    **head: Any,
) -> PreTrainedModel:
    """An untrained ResNet of 0.9M weights; `head` names its labels or their number."""
    config = ResNetConfig(
        num_channels=3, embedding_size=embedding, hidden_sizes=list(widths), depths=[1, 1, 1, 1],
        layer_type="basic", image_size=image_px, **head,
    )  # fmt: skip
    return ResNetForImageClassification(config).to(memory_format=torch.channels_last)


def regnet(
    widths: tuple[int, ...] = (32, 64, 128, 256),
    depths: tuple[int, ...] = (1, 2, 3, 1),
    embedding: int = 32,
    groups_width: int = 64,
    image_px: int = 128,
    **head: Any,
) -> PreTrainedModel:
    """An untrained RegNet of 0.8M weights; `head` names its labels or their number."""
    config = RegNetConfig(
        num_channels=3, embedding_size=embedding, hidden_sizes=list(widths), depths=list(depths),
        groups_width=groups_width, layer_type="y", image_size=image_px,
        **head,
    )  # fmt: skip
    return RegNetForImageClassification(config).to(memory_format=torch.channels_last)


def characters_of(drawn: Drawn) -> NDArray[np.int64]:
    """[num characters, 5] indices of the four pictures and the look-alike of each character."""
    return np.arange(len(drawn)).reshape(-1, PICTURES_EACH)


def held_out_batches(
    drawn: Drawn | Beside, device: str, batch: int = 50, rows: Sequence[int] | None = None
) -> list[torch.Tensor]:
    """All pictures (or those of `rows`) as they are, in order, on the device."""
    rows = range(len(drawn)) if rows is None else rows
    return [
        to_tensor(np.stack([drawn.pixels(i) for i in rows[r : r + batch]])).to(device)
        for r in range(0, len(rows), batch)
    ]


def fit(
    task: str,
    model: PreTrainedModel,
    options: argparse.Namespace,
    prepare_batch: Callable[[int], tuple[Tensor, ...]],
    loss: Callable[..., tuple[Tensor, Scores]],
    measure: Callable[[PreTrainedModel], Scores],
    heads: nn.Module | None = None,
) -> None:
    """Train an eye and export it in fp16 with its scores: what all eyes do alike.

    `prepare_batch(step)` gives the tensors that `loss(model, *tensors)` takes; matrices and
    convolutions inside go to Muon, the first and the last layer to AdamW. `heads`, which `loss`
    knows of, are trained along and thrown away.
    """
    if options.start:
        model = type(model).from_pretrained(
            options.start, config=model.config, dtype=torch.float32, ignore_mismatched_sizes=True
        )  # a head for something else is made anew
        model = model.to(memory_format=torch.channels_last)
    model = model.train().to(options.device)
    print(f"{sum(p.numel() for p in model.parameters()) * 2 / 2**20:.2f} MiB", flush=True)
    settings = Settings(
        num_steps=options.steps, learning_rate=options.rate, seed=options.seed, warmup_steps=100,
        weight_decay=0.02, checkpoint_every=options.every, log_every=50,
    )  # fmt: skip
    named = dict(model.named_parameters())
    ends = ("embed", "classifier", "projection", "logit_scale")
    inner = [n for n, p in named.items() if p.ndim >= 2 and not any(end in n for end in ends)]
    if heads is not None:
        named |= {f"heads.{n}": p for n, p in heads.train().to(options.device).named_parameters()}
    loop = Loop(
        options.out, named, settings, buffers=dict(model.named_buffers()), matrices=inner,
        task=task, emit=printer(),
    )  # fmt: skip
    loop.resume()
    batch = Ahead(prepare_batch, options.workers)

    def step(index: int) -> tuple[Tensor, Scores]:
        tensors = [tensor.to(options.device) for tensor in batch(index)]
        with autocast(options):
            return loss(model, *tensors)

    loop.run(step, every={options.every: lambda _: measure(model)}, limit_s=options.limit_s)
    scores = measure(model)
    print(scores, flush=True)
    (options.out / "scores.json").write_text(json.dumps(scores))
    model.eval()
    model.half().cpu().save_pretrained(options.out / "model")
