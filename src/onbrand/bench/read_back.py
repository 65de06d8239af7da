"""Prompts that name attributes, and how many of them a reader sees in the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.bench.record import Result, mean_metric
from onbrand.bench.worlds import NAMED, WORLDS

__all__ = ["Asked", "ask", "hits"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt, the attributes it names, and the illustrator's own picture of it, with COCO-17's
    joints [17, 3] of its figure (x_px, y_px, 1 where seen; all zero for a product)."""

    prompt: str
    attributes: Mapping[str, str]
    picture: Image.Image
    joints: NDArray[np.float32]


def ask(world: str, num: int, *, seed: int, size_px: int) -> list[Asked]:
    """`num` prompts about reserved subjects of a world, a function of the seed."""
    rng = np.random.default_rng([seed, 0xA2])
    asked = []
    for number in range(num):
        one = WORLDS[world](rng, number, size_px)
        named = {name: one.attributes[name] for name in NAMED[world]}
        asked.append(Asked(one.caption(rng), named, one.picture, one.joints))
    return asked


def hits(
    world: str, asked: Sequence[Asked], seen: Sequence[Mapping[str, str]], seed: int
) -> dict[str, Result]:
    """Share of prompts whose attribute is seen, per attribute, and the mean of all; empty when the
    reader does not know the first of them. Mascots' names stand alone, other worlds' begin with
    the world."""
    if next(iter(asked[0].attributes)) not in seen[0]:
        return {}
    before = "" if world == "mascots" else f"{world}_"
    names = [name for name in asked[0].attributes if name in seen[0]]
    found = {
        name: [float(a.attributes[name] == s[name]) for a, s in zip(asked, seen, strict=True)]
        for name in names
    }
    every = [float(np.mean(row)) for row in zip(*found.values(), strict=True)]
    shares = {
        f"{before}attribute_{name}_fraction": mean_metric(values, seed=seed)
        for name, values in found.items()
    }
    return {f"{before}attributes_fraction": mean_metric(every, seed=seed), **shares}
