"""Whether an eye says the same of a picture that was saved as JPEG, cut or shifted a little, or
stands elsewhere in its batch; and how many pictures it sees in a second."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from onbrand.bench.record import Result, mean_metric, metric
from onbrand.judging.looking import to_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CHANGES", "Change", "Move", "Question", "pictures_per_second", "steadiness"]

BATCH = 25
TOLERANCE = 1e-4  # of numbers that are told in another order; of labels, the share that may differ
STEP = 0.03  # of the side: what is cut off each side, and how far a picture is shifted


@dataclass(frozen=True, slots=True)
class Move:
    """Where a change takes what lay x pixels from the left edge, or from the upper one."""

    scale: float = 1.0
    offset: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        """scale · x + offset, of any shape."""
        return x * self.scale + self.offset


STILL = Move()


@dataclass(frozen=True, slots=True)
class Change:
    """What is done to a square picture, and how its side, in pixels, tells where things go."""

    apply: Callable[[Image.Image], Image.Image]
    move: Callable[[int], Move]


def _jpeg(picture: Image.Image) -> Image.Image:
    held = io.BytesIO()
    picture.save(held, "JPEG", quality=85)
    return Image.open(held).convert("RGB")


def _cropped(picture: Image.Image) -> Image.Image:
    side = picture.width
    edge = round(STEP * side)
    return picture.crop((edge, edge, side - edge, side - edge)).resize((side, side))


def _crop_move(side: int) -> Move:
    edge = round(STEP * side)
    scale = side / (side - 2 * edge)
    return Move(scale, -scale * edge)


def _shifted(picture: Image.Image) -> Image.Image:
    """To the right and down, the edge repeated."""
    step = round(STEP * picture.width)
    pixels = np.pad(np.asarray(picture), ((step, 0), (step, 0), (0, 0)), mode="edge")
    return Image.fromarray(pixels[: picture.height, : picture.width])


CHANGES: Mapping[str, Change] = {
    "jpeg": Change(_jpeg, lambda side: STILL),
    "crop": Change(_cropped, _crop_move),
    "shift": Change(_shifted, lambda side: Move(offset=round(STEP * side))),
}


@dataclass(frozen=True, slots=True)
class Question:
    """What an eye is asked of each of its `pictures`. `say(pixels, numbers, move)` gives an answer
    a picture, of those with these numbers, moved so: a tensor, or words and how sure they are.
    `stays(before, after, move)` is how much of an answer is left, in [0, 1]."""

    pictures: Sequence[Image.Image]
    say: Callable[[Tensor, Sequence[int], Move], Sequence[Any]]
    stays: Callable[[Any, Any, Move], float]


@torch.inference_mode()
def steadiness(asked: Mapping[str, Question], size_px: int, seed: int) -> dict[str, Result]:
    """Per role how much of its answers stays through the change that is worst for each picture;
    per change the mean over all roles' pictures; and the share of answers that are the same, but
    for TOLERANCE, when the batches are turned round, which must be all."""
    kept = {name: _kept(question, size_px) for name, question in asked.items()}
    pooled = np.concatenate([rows for rows, _ in kept.values()], axis=1)
    turned = np.concatenate([still for _, still in kept.values()])
    return {
        **{
            f"same_{name}_fraction": mean_metric(rows.min(0).tolist(), seed=seed)
            for name, (rows, _) in kept.items()
        },
        **{
            f"same_after_{change}_fraction": mean_metric(row.tolist(), seed=seed)
            for change, row in zip(CHANGES, pooled, strict=True)
        },
        "same_in_any_order_fraction": metric(float(turned.mean()), bar=1.0),
    }


def _kept(question: Question, size_px: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[changes, n] how much stays of each answer, and [n] 1 where the order changes nothing."""
    numbers = range(len(question.pictures))

    def answers(some: Sequence[Image.Image], order: Sequence[int], move: Move) -> list[Any]:
        return [
            answer
            for i in range(0, len(some), BATCH)
            for answer in question.say(
                to_pixels(some[i : i + BATCH], size_px), order[i : i + BATCH], move
            )
        ]

    before = answers(question.pictures, numbers, STILL)
    rows = []
    for change in CHANGES.values():
        move = change.move(size_px)
        after = answers([change.apply(one) for one in question.pictures], numbers, move)
        rows.append([question.stays(a, b, move) for a, b in zip(before, after, strict=True)])
    turned = answers(question.pictures[::-1], numbers[::-1], STILL)[::-1]
    still = [float(_close(a, b)) for a, b in zip(before, turned, strict=True)]
    return np.array(rows, np.float64), np.array(still, np.float64)


def _close(one: Any, two: Any) -> bool:
    """Whether two answers are the same but for TOLERANCE."""
    if isinstance(one, Mapping):
        return one.keys() == two.keys() and all(_close(one[key], two[key]) for key in one)
    if isinstance(one, Tensor):
        if one.shape != two.shape:
            return False
        if one.is_floating_point():
            return torch.allclose(one, two, rtol=TOLERANCE, atol=TOLERANCE)
        return float((one != two).float().mean()) <= TOLERANCE
    return bool(abs(one - two) <= TOLERANCE)


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
