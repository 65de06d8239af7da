"""Drawings of reserved subjects with all that eyes are asked about, wrong captions included."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.illustrator import (
    RESERVED_IDS,
    attributes,
    character,
    fashion_attributes,
    fashion_captions,
    garment,
    illustrate,
    illustrate_fashion,
    illustrate_product,
    mascot_captions,
    person,
    product,
    product_attributes,
    product_captions,
    random_fashion_scene,
    random_scene,
    random_shot,
)
from onbrand.illustrator.skeleton import coco_17

__all__ = ["AMONG", "WORLDS", "Seen", "draw"]

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


def _mascot(rng: np.random.Generator, number: int, size_px: int) -> Seen:
    who, scene = character(int(rng.choice(len(RESERVED_IDS)))), random_scene(rng)
    drawn = illustrate(who, scene, size_px, seed=number)
    lines = mascot_captions(who, scene, rng, AMONG, wording=number)
    told, joints = attributes(who, scene), coco_17(drawn.keypoints)
    return Seen(Image.fromarray(drawn.pixels), drawn.parts, joints, told, lines, who.id)


def _product(rng: np.random.Generator, number: int, size_px: int) -> Seen:
    what, shot = product(int(rng.choice(len(RESERVED_IDS)))), random_shot(rng)
    drawn = illustrate_product(what, shot, size_px, seed=number)
    lines = product_captions(what, shot, rng, AMONG, wording=number)
    told = product_attributes(what, shot)
    return Seen(Image.fromarray(drawn.pixels), drawn.parts, coco_17({}), told, lines, what.id)


def _worn(rng: np.random.Generator, number: int, size_px: int) -> Seen:
    who = person(int(rng.choice(len(RESERVED_IDS))))
    what = garment(int(rng.choice(len(RESERVED_IDS))))
    scene = random_fashion_scene(rng)
    drawn = illustrate_fashion(who, what, scene, size_px, seed=number)
    lines = fashion_captions(who, what, scene, rng, AMONG, wording=number)
    told, joints = fashion_attributes(who, what, scene), coco_17(drawn.keypoints)
    return Seen(Image.fromarray(drawn.pixels), drawn.parts, joints, told, lines, who.id)


WORLDS: dict[str, Callable[[np.random.Generator, int, int], Seen]] = {
    "mascots": _mascot,
    "products": _product,
    "fashion": _worn,
}


def draw(world: str, num: int, *, seed: int, size_px: int) -> list[Seen]:
    """`num` drawings of reserved subjects of a world, a function of the seed."""
    rng = np.random.default_rng([seed, 0xE7])
    return [WORLDS[world](rng, number, size_px) for number in range(num)]
