"""What the small eyes share: their bodies, and the run that trains one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from draw import PICTURES_EACH, Beside, Drawn
from halves import Ahead
from numpy.typing import NDArray
from options import WORK, autocast, printer, train
from pictures import to_tensor
from torch import Tensor, nn
from transformers import (
    PreTrainedModel,
    RegNetConfig,
    RegNetForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
)

from onbrand.training.engine import Loop, Settings, generator

__all__ = [
    "characters_of",
    "eye_options",
    "fit",
    "held_out_batches",
    "regnet",
    "resnet",
]

Scores = dict[str, float]
_VIEWS = -11  # the stream of chance that views are made by


def eye_options(p: argparse.ArgumentParser) -> None:
    """Options common to the eyes: they run on one thread beside the U-Net."""
    p.set_defaults(threads=1)
    p.add_argument("--held-out", type=Path, default=WORK / "drawn-held-out")
    p.add_argument("--start", type=Path, help="an exported model to go on from")
    p.add_argument("--every", type=int, default=250, help="steps between measurements")
    p.add_argument("--rate", type=float, default=1.5e-3)
    p.add_argument("--blackout", type=float, default=0.4, help="share of views without background")
    p.add_argument("--warp", type=float, default=1.0, help="strength of shift, scale and turn")


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
    see: Callable[..., tuple[Tensor, ...]] | None = None,
    begun: bool = False,
) -> None:
    """Train an eye and export it in fp16 with its scores: what all eyes do alike.

    `prepare_batch(step)` gives, maybe from a process of its own, the tensors that `loss(model,
    *tensors)` takes; `see(chances, *tensors)`, if any, first makes views of them on the device.
    Matrices and convolutions inside go to Muon, the first and the last layer to AdamW. `heads`,
    which `loss` knows of, are trained along and thrown away. `begun`: the model is already what it
    is to go on from, and `--start` is not read again.
    """
    if options.start and not begun:
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
        tensors = tuple(tensor.to(options.device) for tensor in batch(index))
        if see is not None:
            tensors = see(generator(options.seed, index, _VIEWS), *tensors)
        with autocast(options):
            return loss(model, *tensors)

    train(loop, step, {options.every: lambda _: measure(model)}, options)
    scores = measure(model)
    print(scores, flush=True)
    (options.out / "scores.json").write_text(json.dumps(scores))
    model.eval()
    model.half().cpu().save_pretrained(options.out / "model")
