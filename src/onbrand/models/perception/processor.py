"""What a preprocessor_config.json beside the weights tells, or the image processor's part of a
processor_config.json: the side, the normalisation and the order of colours that a network was
trained with. Where someone saved the network alone, its family's defaults hold.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from onbrand.errors import PackError, WeightsError
from onbrand.models.layout import read_json

__all__ = [
    "CLIP",
    "HALF",
    "IMAGENET",
    "UNIT",
    "Statistics",
    "blue_first",
    "normalisation",
    "processor_size",
]

Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]

# mean and deviation of pixels in [0, 1], the defaults of transformers' processors
IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP: Statistics = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)
HALF: Statistics = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
UNIT: Statistics = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # pixels as they are, in [0, 1]
FLIP = "do_flip_channel_order"


def processor_size(folder: Path) -> int | None:
    """Side in pixels of what the processor in that folder makes; None where it does not say.

    Where it crops after resizing, the side of the crop; where it keeps the picture's shape, the
    shorter side. Raises PackError for a side that is none.
    """
    facts = _processor(folder)
    places = ("crop_size", "size") if facts.get("do_center_crop") else ("size",)
    for place in places:
        size = facts.get(place)
        if isinstance(size, list) and len(size) == 2:
            size = dict(zip(("height", "width"), size, strict=True))
        sides = size if isinstance(size, dict) else {"height": size}
        for side in ("height", "shortest_edge", "longest_edge"):
            found = sides.get(side)
            if found is None:
                continue
            if type(found) is not int or found < 1:
                raise PackError(_damaged(folder, place, size, "whole pixels, at least 1"))
            return found
    return None


def normalisation(
    folder: Path, statistics: Statistics, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Mean and deviation [1, 3, 1, 1] of pixels in [-1, 1]: what the processor in that folder says,
    else `statistics`, both of pixels in [0, 1].

    Raises PackError for numbers that are none, WeightsError for a processor that makes pixels in
    another way.
    """
    facts = _processor(folder)
    _need_plain(folder, facts)
    # MobileViT's alone flips, and does not normalise
    if facts.get("do_normalize", FLIP not in facts):
        mean = _three(folder, facts, "image_mean", statistics[0])
        deviation = _three(folder, facts, "image_std", statistics[1])
        if min(deviation) <= 0:
            raise PackError(_damaged(folder, "image_std", deviation, "above 0"))
    else:
        mean, deviation = map(list, UNIT)
    shaped = [torch.tensor(told, device=device).view(1, 3, 1, 1) for told in (mean, deviation)]
    return shaped[0] * 2 - 1, shaped[1] * 2


def blue_first(folder: Path) -> bool:
    """Whether the processor in that folder swaps red and blue."""
    return bool(_processor(folder).get(FLIP))


def _need_plain(folder: Path, facts: dict[str, object]) -> None:
    """Raise WeightsError unless pixels are brought to [0, 1], then normalised once at most."""
    factor = facts.get("rescale_factor")
    odd = {
        "do_rescale": facts.get("do_rescale") is False,
        "rescale_factor": factor is not None
        and not (isinstance(factor, float) and math.isclose(factor, 1 / 255, rel_tol=1e-3)),
        "rescale_offset": bool(facts.get("rescale_offset")),
        "include_top": bool(facts.get("include_top")),
    }
    for name in (name for name, is_odd in odd.items() if is_odd):
        raise WeightsError(
            f"the processor in {folder} says {name} = {facts[name]!r}: pixels that are not divided "
            "by 255 and normalised once at most (EfficientNet's are normalised twice) are not "
            "supported. Take a model with another processor."
        )


def _three(
    folder: Path, facts: dict[str, object], name: str, usual: tuple[float, ...]
) -> list[float]:
    """A number for each colour, of one or of three."""
    told = usual if facts.get(name) is None else facts[name]
    given = list(told) if isinstance(told, list | tuple) else [told]
    numbers = [float(n) for n in given if isinstance(n, int | float) and math.isfinite(n)]
    if len(numbers) != len(given) or len(numbers) not in (1, 3):
        raise PackError(_damaged(folder, name, told, "one or three finite numbers"))
    return numbers * (3 // len(numbers))


def _damaged(folder: Path, name: str, told: object, wanted: str) -> str:
    return f"the processor in {folder} is damaged: {name} is {told!r}, but should be {wanted}."


def _processor(folder: Path) -> dict[str, object]:
    alone, among = folder / "preprocessor_config.json", folder / "processor_config.json"
    if alone.is_file():
        return read_json(alone)
    # transformers 5 saves a model's whole processor in one file
    inner = read_json(among).get("image_processor") if among.is_file() else None
    return inner if isinstance(inner, dict) else {}
