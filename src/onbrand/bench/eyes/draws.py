"""Drawings of reserved subjects with all that eyes are asked about, wrong captions included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.illustrator import (
    ATTRIBUTES,
    FASHION_ATTRIBUTES,
    PRODUCT_ATTRIBUTES,
    RESERVED_IDS,
    TRAITS,
    attributes,
    caption,
    character,
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

__all__ = ["AMONG", "WORLDS", "Seen", "draw"]

AMONG = 20  # captions

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Seen:
    """A drawing: `parts` [h, w], indices into PARTS; `joints` [17, 3]; `attributes`; `captions`,
    the true one first, in each other one attribute changed."""

    picture: Image.Image
    parts: NDArray[np.uint8]
    joints: Floats
    attributes: Mapping[str, str]
    captions: Sequence[str]
    subject: int


def _mascot(rng: np.random.Generator, number: int, size_px: int) -> Seen:
    who, scene = character(int(rng.choice(len(RESERVED_IDS)))), random_scene(rng)
    drawn = illustrate(who, scene, size_px, seed=number)

    def words(changed: Mapping[str, str]) -> str:
        mine, its = _split(changed, ("species", "colour", "outfit", "accessory"))
        other = replace(scene, **its)
        return caption(replace(who, **mine), other, _again(number))

    choices = {name: TRAITS[name] for name in ("species", "colour", "outfit", "accessory")}
    choices |= {n: ATTRIBUTES[n] for n in ("pose", "expression", "prop", "place", "hour")}
    told = attributes(who, scene)
    lines = _captions(words, choices, rng)
    joints = coco_17(drawn.keypoints)
    return Seen(Image.fromarray(drawn.pixels), drawn.parts, joints, told, lines, who.id)


def _product(rng: np.random.Generator, number: int, size_px: int) -> Seen:
    what, shot = product(int(rng.choice(len(RESERVED_IDS)))), random_shot(rng)
    drawn = illustrate_product(what, shot, size_px, seed=number)

    def words(changed: Mapping[str, str]) -> str:
        mine, its = _split(changed, ("kind", "colour", "pattern"))
        return product_caption(replace(what, **mine), replace(shot, **its), _again(number))

    choices = _without("product_", PRODUCT_ATTRIBUTES, ("kind", "colour", "pattern"))
    choices |= {name: PRODUCT_ATTRIBUTES[name] for name in ("stand", "place", "hour")}
    told, lines = product_attributes(what, shot), _captions(words, choices, rng)
    return Seen(Image.fromarray(drawn.pixels), drawn.parts, coco_17({}), told, lines, what.id)


def _worn(rng: np.random.Generator, number: int, size_px: int) -> Seen:
    who = person(int(rng.choice(len(RESERVED_IDS))))
    what = garment(int(rng.choice(len(RESERVED_IDS))))
    scene = random_fashion_scene(rng)
    drawn = illustrate_fashion(who, what, scene, size_px, seed=number)

    def words(changed: Mapping[str, str]) -> str:
        mine, its = _split(changed, ("kind", "colour", "pattern"))
        return fashion_caption(who, replace(what, **mine), replace(scene, **its), _again(number))

    choices = _without("garment_", FASHION_ATTRIBUTES, ("kind", "colour", "pattern"))
    choices |= {
        "pose": FASHION_ATTRIBUTES["person_pose"],
        **{name: FASHION_ATTRIBUTES[name] for name in ("place", "hour")},
    }
    told, lines = fashion_attributes(who, what, scene), _captions(words, choices, rng)
    joints = coco_17(drawn.keypoints)
    return Seen(Image.fromarray(drawn.pixels), drawn.parts, joints, told, lines, who.id)


def _again(number: int) -> np.random.Generator:
    """The choice of words, the same for the true caption and the wrong ones."""
    return np.random.default_rng((number, 0xCA))


def _without(
    before: str, table: Mapping[str, tuple[str, ...]], names: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    return {name: table[before + name] for name in names}


def _split(
    changed: Mapping[str, str], mine: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What changes the subject, and what changes its scene."""
    own = {name: value for name, value in changed.items() if name in mine}
    return own, {name: value for name, value in changed.items() if name not in mine}


def _captions(
    words: Callable[[Mapping[str, str]], str],
    choices: Mapping[str, tuple[str, ...]],
    rng: np.random.Generator,
) -> list[str]:
    """The true caption, then different wrong ones; a change that no word tells makes none."""
    found = {words({}): None}
    for name, value in _changes(choices, rng):
        found.setdefault(words({name: value}))
        if len(found) == AMONG:
            break
    return list(found)


def _changes(
    choices: Mapping[str, tuple[str, ...]], rng: np.random.Generator
) -> Iterator[tuple[str, str]]:
    """Attributes in turn, with another value each time, as long as there are any."""
    left = {name: list(rng.permutation(list(values))) for name, values in choices.items()}
    while any(left.values()):
        for name, values in left.items():
            if values:
                yield name, str(values.pop())


WORLDS: dict[str, Callable[[np.random.Generator, int, int], Seen]] = {
    "mascots": _mascot,
    "products": _product,
    "fashion": _worn,
}


def draw(world: str, num: int, *, seed: int, size_px: int) -> list[Seen]:
    """`num` drawings of reserved subjects of a world, a function of the seed."""
    rng = np.random.default_rng([seed, 0xE7])
    return [WORLDS[world](rng, number, size_px) for number in range(num)]
