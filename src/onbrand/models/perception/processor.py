"""What a preprocessor_config.json beside the weights tells: the side and the normalisation that a
network was trained with. Where someone saved the network alone, its family's defaults hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from onbrand.models.layout import read_json

__all__ = [
    "CLIP",
    "HALF",
    "IMAGENET",
    "UNIT",
    "Statistics",
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


def processor_size(folder: Path) -> int | None:
    """Side in pixels of what the processor in that folder makes; None where it does not say.

    Where it crops after resizing, the side of the crop; where it keeps the picture's shape, the
    shorter side.
    """
    facts = _processor(folder)
    places = ("crop_size", "size") if facts.get("do_center_crop") else ("size",)
    for place in places:
        size = facts.get(place)
        sides = size if isinstance(size, dict) else {"height": size}
        for side in ("height", "shortest_edge", "longest_edge"):
            if isinstance(found := sides.get(side), int):
                return found
    return None


def normalisation(
    folder: Path, statistics: Statistics, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Mean and deviation [1, 3, 1, 1] of pixels in [-1, 1]: what the processor in that folder says,
    else `statistics`, both of pixels in [0, 1]."""
    facts = _processor(folder)
    if facts.get("do_normalize", True):
        told = [facts.get("image_mean") or statistics[0], facts.get("image_std") or statistics[1]]
    else:
        told = list(UNIT)
    mean, deviation = (
        torch.tensor(cast(Any, values), device=device).expand(3).view(1, 3, 1, 1) for values in told
    )
    return mean * 2 - 1, deviation * 2


def _processor(folder: Path) -> dict[str, object]:
    path = folder / "preprocessor_config.json"
    return read_json(path) if path.is_file() else {}
