"""Tells whether two pictures are nearly the same: saved anew, mirrored, cropped by up to 3 %.

Compared is what stands on the plain ground: lines of one colour are trimmed from all sides, so that
neither a margin nor the place on a white page counts. The rest is shrunk to a thumbnail, also of
slightly narrower cuts and in the mirror, and two pictures are near where a thumbnail of one
correlates with the other's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand import pixels

__all__ = ["Look", "Lookalikes", "is_near", "look_of", "near_pairs"]

READ_PX = 192
LEAST_PX = 8  # of a side, that is never trimmed further
SIDE = 16
NEAR_COSINE = 0.97
ASPECT = 0.1  # difference of two aspects' logarithms
SAME_GROUND = 14  # of 255, in the channel that differs most
PLAIN_DIFFERENCE = 24  # of 255: what a line of one colour may stray by, in all but
ODD_FRACTION = 0.01  # of its pixels
CUTS = (
    (0.0, 0.0, 0.0, 0.0),
    *((share,) * 4 for share in (0.02, 0.04)),
    *(tuple(0.02 * (side == at) for at in range(4)) for side in range(4)),
)
"""What is cut from left, top, right and bottom, as a share of the side."""

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Look:
    """A print of a picture: `views` are thumbnails less their mean, of unit length, [14, 768]: one
    per cut and its mirror, the whole first. `aspect` is the logarithm of width by height, `grounds`
    the colours next to it of what was trimmed, [0 to 4 sides, 3]."""

    views: Floats
    aspect: float
    grounds: NDArray[np.float64]


Lookalikes = Mapping[str, tuple[str, Look]]
"""The hash of each look-alike's pixels -> its name and its print"""


def look_of(image: Image.Image) -> Look:
    """The picture's print."""
    small = pixels.flatten(image).copy()
    small.thumbnail((READ_PX, READ_PX), Image.Resampling.BOX)
    (left, top, right, bottom), grounds = _trimmed(np.asarray(small))
    width, height = right - left, bottom - top
    views = []
    for cut in CUTS:
        box = (
            left + cut[0] * width,
            top + cut[1] * height,
            right - cut[2] * width,
            bottom - cut[3] * height,
        )
        view = small.resize((SIDE, SIDE), Image.Resampling.BOX, box=box)
        values = np.asarray(view, np.float32)
        views += [_unit(values), _unit(values[:, ::-1])]
    return Look(np.stack(views), math.log(width / height), grounds)


def is_near(one: Look, other: Look) -> bool:
    """Whether two pictures are nearly the same: re-saved, scaled, mirrored, on another margin, or
    changed in a trifle. On a ground of another colour they are two."""
    return bool(near_pairs([one, other]))


def near_pairs(looks: Sequence[Look]) -> list[tuple[int, int]]:
    """All pairs (i < j) of near pictures; by matrix products: of 3,000 in about ten seconds."""
    views = np.stack([look.views for look in looks])
    cosine = np.full((len(looks), len(looks)), -1, np.float32)
    for view in range(views.shape[1]):
        np.maximum(cosine, views[:, view] @ views[:, 0].T, out=cosine)
    aspect = np.array([look.aspect for look in looks])
    close = np.maximum(cosine, cosine.T) >= NEAR_COSINE
    close &= np.abs(aspect[:, None] - aspect) <= ASPECT
    found = np.argwhere(np.triu(close, k=1)).tolist()
    return [(i, j) for i, j in found if _on_one_ground(looks[i], looks[j])]


def _on_one_ground(one: Look, other: Look) -> bool:
    """Whether one colour lies beside both; true where one has nothing beside it."""
    if not len(one.grounds) or not len(other.grounds):
        return True
    apart = np.abs(one.grounds[:, None] - other.grounds).max(axis=2)
    return float(apart.min()) <= SAME_GROUND


def _unit(values: Floats) -> Floats:
    """[n] of unit length; less one mean for all channels, so that brightness does not count."""
    flat = values.ravel() - values.mean()
    return np.asarray(flat / max(float(np.linalg.norm(flat)), 1e-6), np.float32)


def _trimmed(rgb: Bytes) -> tuple[tuple[int, int, int, int], NDArray[np.float64]]:
    """The box (left, top, right, bottom) inside all lines of one colour, and the colour of the
    last one of each side that had any; the whole of a picture that is nothing but such lines."""
    box = [0, 0, rgb.shape[1], rgb.shape[0]]
    last: dict[int, Bytes] = {}
    trimming = True
    while trimming:
        trimming = False
        for side, axis in product((0, 2), (0, 1)):
            line = _line(rgb, box, side + axis)
            while box[2 + axis] - box[axis] > LEAST_PX and _is_plain(line):
                last[side + axis] = line
                box[side + axis] += -1 if side else 1
                trimming = True
                line = _line(rgb, box, side + axis)
    left, top, right, bottom = box
    if max(right - left, bottom - top) <= LEAST_PX:
        return (0, 0, rgb.shape[1], rgb.shape[0]), np.empty((0, 3))
    colours = [np.median(line, axis=0) for line in last.values()]
    return (left, top, right, bottom), np.asarray(colours, np.float64).reshape(-1, 3)


def _line(rgb: Bytes, box: Sequence[int], side: int) -> Bytes:
    """The pixels along a side of the box, [n, 3]."""
    left, top, right, bottom = box
    at = box[side] - (side >= 2)
    return rgb[top:bottom, at] if side % 2 == 0 else rgb[at, left:right]


def _is_plain(line: Bytes) -> bool:
    strays = np.abs(line - np.median(line, axis=0)).max(axis=1) > PLAIN_DIFFERENCE
    return float(strays.mean()) <= ODD_FRACTION
