"""Reserved subjects of each world in a random scene: drawn, and all that is true of the drawing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.illustrator import (
    RESERVED_IDS,
    attributes,
    caption,
    character,
    describe_product,
    fashion_attributes,
    fashion_caption,
    fashion_captions,
    garment,
    illustrate,
    illustrate_fashion,
    illustrate_product,
    mascot_captions,
    person,
    product,
    product_attributes,
    product_caption,
    product_captions,
    random_fashion_scene,
    random_scene,
    random_shot,
)
from onbrand.illustrator.skeleton import coco_17

__all__ = ["NAMED", "WORLDS", "Drawn"]

NAMED = {
    "mascots": ("species", "colour", "pose", "expression", "prop", "place"),
    "products": ("product_kind", "product_colour", "product_pattern", "place"),
    "fashion": (
        "garment_kind", "garment_colour", "garment_pattern", "person", "person_pose", "place",
    ),
}  # fmt: skip
"""The attributes that prompts of a world put into words."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawing: `parts` [h, w], indices into PARTS; COCO-17's `joints` [17, 3] of its figure
    (x_px, y_px, 1 where seen; all zero for a product); `subject` is its id. `caption(rng)` is true,
    of `captions(rng, num, wording)` the first is, each other is untrue by one attribute."""

    picture: Image.Image
    parts: NDArray[np.uint8]
    joints: NDArray[np.float32]
    attributes: Mapping[str, str]
    subject: int
    caption: Callable[[np.random.Generator], str]
    captions: Callable[[np.random.Generator, int, int], Sequence[str]]


def _mascot(rng: np.random.Generator, number: int, size_px: int) -> Drawn:
    who, scene = character(int(rng.choice(len(RESERVED_IDS)))), random_scene(rng)
    drawn = illustrate(who, scene, size_px, seed=number)
    return Drawn(
        Image.fromarray(drawn.pixels),
        drawn.parts,
        coco_17(drawn.keypoints),
        attributes(who, scene),
        who.id,
        partial(caption, who, scene, subject=f"a {who.colour} {who.species}"),
        partial(mascot_captions, who, scene),
    )


def _product(rng: np.random.Generator, number: int, size_px: int) -> Drawn:
    what, shot = product(int(rng.choice(len(RESERVED_IDS)))), random_shot(rng)
    drawn = illustrate_product(what, shot, size_px, seed=number)
    return Drawn(
        Image.fromarray(drawn.pixels),
        drawn.parts,
        coco_17({}),
        product_attributes(what, shot),
        what.id,
        partial(product_caption, what, shot, subject=describe_product(what)),
        partial(product_captions, what, shot),
    )


def _worn(rng: np.random.Generator, number: int, size_px: int) -> Drawn:
    who = person(int(rng.choice(len(RESERVED_IDS))))
    what = garment(int(rng.choice(len(RESERVED_IDS))))
    scene = random_fashion_scene(rng)
    drawn = illustrate_fashion(who, what, scene, size_px, seed=number)
    return Drawn(
        Image.fromarray(drawn.pixels),
        drawn.parts,
        coco_17(drawn.keypoints),
        fashion_attributes(who, what, scene),
        who.id,
        partial(fashion_caption, who, what, scene),
        partial(fashion_captions, who, what, scene),
    )


WORLDS: dict[str, Callable[[np.random.Generator, int, int], Drawn]] = {
    "mascots": _mascot,
    "products": _product,
    "fashion": _worn,
}
"""Each draws a reserved subject from the generator; `number` seeds the drawing itself."""
