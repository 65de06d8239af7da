"""Whether an eye says the same of a picture that was saved as JPEG, cut or shifted a little, and
how many pictures it sees in a second."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from onbrand.bench.record import Result, mean_metric, metric
from onbrand.judging.eyes import to_pixels

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CHANGES", "pictures_per_second", "steadiness"]

Say = Callable[["Tensor"], Sequence[object]]
"""Pixels -> one answer per picture, compared for equality."""


def _jpeg(picture: Image.Image) -> Image.Image:
    held = io.BytesIO()
    picture.save(held, "JPEG", quality=85)
    return Image.open(held).convert("RGB")


def _cropped(picture: Image.Image) -> Image.Image:
    """3 % off each side."""
    side = picture.width
    edge = round(0.03 * side)
    return picture.crop((edge, edge, side - edge, side - edge)).resize((side, side))


def _shifted(picture: Image.Image) -> Image.Image:
    """3 % to the right and down, the edge repeated."""
    step = round(0.03 * picture.width)
    pixels = np.pad(np.asarray(picture), ((step, 0), (step, 0), (0, 0)), mode="edge")
    return Image.fromarray(pixels[: picture.height, : picture.width])


CHANGES: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg": _jpeg, "crop": _cropped, "shift": _shifted,
}  # fmt: skip


@torch.inference_mode()
def steadiness(
    says: Mapping[str, Say], pictures: Sequence[Image.Image], size_px: int, seed: int
) -> dict[str, Result]:
    """Per change the share of answers of all eyes that stay the same; and the share that stay when
    the batch is turned round, which must be all."""

    def answers(some: Sequence[Image.Image], say: Say) -> list[object]:
        return [
            answer
            for i in range(0, len(some), 25)
            for answer in say(to_pixels(some[i : i + 25], size_px))
        ]

    before = {name: answers(pictures, say) for name, say in says.items()}
    found = {}
    for change, apply in CHANGES.items():
        changed = [apply(picture) for picture in pictures]
        same = [
            [float(a == b) for a, b in zip(before[name], answers(changed, say), strict=True)]
            for name, say in says.items()
        ]
        found[f"same_after_{change}_fraction"] = mean_metric(np.mean(same, axis=0), seed=seed)
    turned = [
        float(a == b)
        for name, say in says.items()
        for a, b in zip(before[name], answers(pictures[::-1], say)[::-1], strict=True)
    ]
    return {**found, "same_in_any_order_fraction": metric(float(np.mean(turned)), bar=1.0)}


def pictures_per_second(
    looks: Mapping[str, Callable[[Tensor], Any]], size_px: int, num: int = 64
) -> dict[str, float]:
    """Of each eye, 16 pictures at a time, the best of three."""
    pixels = torch.rand(16, 3, size_px, size_px, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = {}
    for name, look in looks.items():
        took = []
        with torch.inference_mode():
            look(pixels)
            for _ in range(3):
                began = time.monotonic()
                for _ in range(num // 16):
                    look(pixels)
                took.append(time.monotonic() - began)
        found[name] = num / min(took)
    return found
