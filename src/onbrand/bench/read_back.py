"""Prompts that name attributes, and how many of them a reader sees in the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.bench.characters import named_attributes
from onbrand.bench.record import Result, mean_metric
from onbrand.illustrator import (
    RESERVED_IDS,
    attributes,
    caption,
    character,
    describe_product,
    fashion_attributes,
    fashion_caption,
    garment,
    illustrate,
    illustrate_fashion,
    illustrate_product,
    person,
    product,
    product_attributes,
    product_caption,
    random_fashion_scene,
    random_scene,
    random_shot,
)
from onbrand.illustrator.skeleton import coco_17

__all__ = ["WORLDS", "Asked", "ask", "hits"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt, the attributes it names, and the illustrator's own picture of it, with COCO-17's
    joints [17, 3] of its figure (x_px, y_px, 1 where seen; all zero for a product)."""

    prompt: str
    attributes: Mapping[str, str]
    picture: Image.Image
    joints: NDArray[np.float32]


def _mascot(rng: np.random.Generator, number: int, size_px: int) -> Asked:
    who, scene = character(int(rng.choice(len(RESERVED_IDS)))), random_scene(rng)
    words = caption(who, scene, rng, subject=f"a {who.colour} {who.species}")
    drawn = illustrate(who, scene, size_px, seed=number)
    named = named_attributes(attributes(who, scene))
    return Asked(words, named, Image.fromarray(drawn.pixels), coco_17(drawn.keypoints))


def _product(rng: np.random.Generator, number: int, size_px: int) -> Asked:
    what, shot = product(int(rng.choice(len(RESERVED_IDS)))), random_shot(rng)
    words = product_caption(what, shot, rng, subject=describe_product(what))
    drawn = illustrate_product(what, shot, size_px, seed=number)
    known = product_attributes(what, shot)
    named = {n: known[n] for n in ("product_kind", "product_colour", "product_pattern", "place")}
    return Asked(words, named, Image.fromarray(drawn.pixels), coco_17({}))


def _worn(rng: np.random.Generator, number: int, size_px: int) -> Asked:
    who = person(int(rng.choice(len(RESERVED_IDS))))
    what = garment(int(rng.choice(len(RESERVED_IDS))))
    scene = random_fashion_scene(rng)
    words = fashion_caption(who, what, scene, rng)
    drawn = illustrate_fashion(who, what, scene, size_px, seed=number)
    known = fashion_attributes(who, what, scene)
    wanted = ("garment_kind", "garment_colour", "garment_pattern", "person", "person_pose", "place")
    named = {n: known[n] for n in wanted}
    return Asked(words, named, Image.fromarray(drawn.pixels), coco_17(drawn.keypoints))


WORLDS: dict[str, Callable[[np.random.Generator, int, int], Asked]] = {
    "mascots": _mascot,
    "products": _product,
    "fashion": _worn,
}


def ask(world: str, num: int, *, seed: int, size_px: int) -> list[Asked]:
    """`num` prompts about reserved subjects of a world, a function of the seed."""
    rng = np.random.default_rng([seed, 0xA2])
    return [WORLDS[world](rng, number, size_px) for number in range(num)]


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
