"""The illustrator's parts as a parser tells them apart, and the box of a drawn face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onbrand.illustrator.canvas import PARTS

__all__ = ["PARSED", "WORN", "face_box", "parsed", "parsed_names"]

_MERGED = {
    "legs": "body", "belly": "body", "arms": "body", "muzzle": "head", "trim": "product",
    "label": "product",
}  # fmt: skip
PARSED: tuple[str, ...] = tuple(part for part in PARTS if part not in _MERGED)
WORN = ("dress", "shirt", "t-shirt", "sweater", "skirt", "trousers", "coat")
_SMALLEST_FACE = 25 / 128**2  # share of the picture: 5 x 5 of 128 x 128


def parsed_names(parts: Sequence[str] = PARTS) -> list[str]:
    """What a parser calls each part."""
    return [_MERGED.get(part, part) for part in parts]


_CLASS_OF = np.array([PARSED.index(name) for name in parsed_names()], np.uint8)
_FACE = np.isin(parsed_names(), ("head", "mouth", "eyes", "face"))


def parsed(parts_hw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Indices into PARTS as indices into PARSED."""
    return _CLASS_OF[parts_hw]


def face_box(parts_hw: NDArray[np.uint8]) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom in px of what is seen of the face; None where it is less than
    5 x 5 px of 128 x 128."""
    rows, columns = np.nonzero(_FACE[parts_hw])
    if len(rows) < _SMALLEST_FACE * parts_hw.size:
        return None
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    left, top, right, bottom = (float(side) for side in box)
    return left, top, right, bottom
