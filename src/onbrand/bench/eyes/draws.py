"""Drawings of reserved subjects with all that eyes are asked about, wrong captions included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.bench.worlds import WORLDS

__all__ = ["AMONG", "Seen", "draw"]

AMONG = 20  # captions

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Seen:
    """A drawing: `parts` [h, w], indices into PARTS; `joints` [17, 3]; `attributes`; `captions`,
    the true one first, each other untrue by one attribute."""

    picture: Image.Image
    parts: NDArray[np.uint8]
    joints: Floats
    attributes: Mapping[str, str]
    captions: Sequence[str]
    subject: int


def draw(world: str, num: int, *, seed: int, size_px: int) -> list[Seen]:
    """`num` drawings of reserved subjects of a world, a function of the seed."""
    rng = np.random.default_rng([seed, 0xE7])
    seen = []
    for number in range(num):
        one = WORLDS[world](rng, number, size_px)
        lines = one.captions(rng, AMONG, number)
        seen.append(Seen(one.picture, one.parts, one.joints, one.attributes, lines, one.subject))
    return seen
