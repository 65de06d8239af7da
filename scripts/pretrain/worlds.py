"""What each world's pretraining pictures show: five of a subject, a function of its index alone.

Mascots: four scenes of a character, and a look-alike (one trait changed) in the first of them, for
the eyes. Products and people: five shots of a product, five garments on a person. Faults: the three
worlds in turn, every picture spoiled and its caption saying so, or negative prompts would be inert.
Never a reserved subject, nor one that looks like one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from onbrand.illustrator import (
    TRAITS,
    Character,
    FashionPicture,
    FashionScene,
    Fault,
    Garment,
    Illustration,
    Person,
    Product,
    ProductPicture,
    Scene,
    Shot,
    attributes,
    caption,
    fashion_attributes,
    fashion_caption,
    fashion_captions,
    fashion_faults,
    illustrate,
    illustrate_fashion,
    illustrate_product,
    lookalikes,
    mascot_captions,
    mascot_faults,
    pretraining_character,
    pretraining_garment,
    pretraining_person,
    pretraining_product,
    product_attributes,
    product_caption,
    product_captions,
    product_faults,
    random_fashion_scene,
    random_scene,
    random_shot,
)
from onbrand.illustrator.character import reserved_signatures

__all__ = ["PICTURES_EACH", "SIZE_PX", "WORLDS", "captions_of", "people_and_scenes", "world_of"]

PICTURES_EACH = 5
SIZE_PX = 128
CAPTIONS_EACH = 3

Picture = Illustration | ProductPicture | FashionPicture
Label = dict[str, Any]


def people_and_scenes(index: int) -> Iterator[tuple[Character, Scene, int]]:
    """The five (character, scene, picture seed) of the index-th pretraining character."""
    person = pretraining_character(index)
    rng = np.random.default_rng((index, 0xD5A3))
    scenes = [random_scene(rng) for _ in range(PICTURES_EACH - 1)]
    for j, scene in enumerate(scenes):
        yield person, scene, PICTURES_EACH * index + j
    allowed = [d for d in lookalikes(person) if d.signature not in reserved_signatures()]
    double = allowed[int(rng.integers(len(allowed)))]
    yield double, scenes[0], PICTURES_EACH * index


def mascots(index: int) -> Iterator[tuple[Picture, Label]]:
    """Labels: attributes, traits, changed_trait, captions."""
    for j, (person, scene, seed) in enumerate(people_and_scenes(index)):
        rng = np.random.default_rng((index, j, 0xCA97))
        yield (
            illustrate(person, scene, SIZE_PX, seed),
            {
                "changed_trait": person.changed_trait,
                "attributes": attributes(person, scene),
                "traits": {name: getattr(person, name) for name in TRAITS},
                "captions": [caption(person, scene, rng) for _ in range(CAPTIONS_EACH)],
            },
        )


def _shots(index: int) -> Iterator[tuple[Product, Shot, list[str]]]:
    """The five (product, shot, captions) of the index-th pretraining product."""
    what, rng = pretraining_product(index), np.random.default_rng((index, 0xD5A4))
    for _ in range(PICTURES_EACH):
        shot = random_shot(rng)
        yield what, shot, [product_caption(what, shot, rng) for _ in range(CAPTIONS_EACH)]


def products(index: int) -> Iterator[tuple[Picture, Label]]:
    """Labels: attributes, captions."""
    for j, (what, shot, words) in enumerate(_shots(index)):
        label = {"attributes": product_attributes(what, shot), "captions": words}
        yield illustrate_product(what, shot, SIZE_PX, PICTURES_EACH * index + j), label


def _worn(index: int) -> Iterator[tuple[Person, Garment, FashionScene, list[str]]]:
    """The five (person, garment, scene, captions) of the index-th pretraining person."""
    who, rng = pretraining_person(index), np.random.default_rng((index, 0xD5A5))
    for j in range(PICTURES_EACH):
        what, scene = pretraining_garment(PICTURES_EACH * index + j), random_fashion_scene(rng)
        words = [fashion_caption(who, what, scene, rng) for _ in range(CAPTIONS_EACH)]
        yield who, what, scene, words


def fashion(index: int) -> Iterator[tuple[Picture, Label]]:
    """Labels: attributes, captions."""
    for j, (who, what, scene, words) in enumerate(_worn(index)):
        label = {"attributes": fashion_attributes(who, what, scene), "captions": words}
        yield illustrate_fashion(who, what, scene, SIZE_PX, PICTURES_EACH * index + j), label


def faults(index: int) -> Iterator[tuple[Picture, Label]]:
    """Labels: captions, fault, severity (2 or 3)."""
    rng = np.random.default_rng((index, 0xD5A6))
    for j in range(PICTURES_EACH):
        number = 7_000_000 + PICTURES_EACH * index + j
        draw, possible = _spoilable((index + j) % 3, number, rng)
        fault = Fault(possible[int(rng.integers(len(possible)))], int(rng.integers(2, 4)))
        drawn = draw(SIZE_PX, number, [fault])
        label = {"captions": [drawn.caption], "fault": fault.tag, "severity": fault.severity}
        yield drawn, label


def _spoilable(
    world: int, number: int, rng: np.random.Generator
) -> tuple[Callable[..., Picture], tuple[str, ...]]:
    """A picture of a world that waits for its size, seed and faults, and the tags that can be seen
    in it."""
    if world == 0:
        scene, mascot = random_scene(rng), pretraining_character(number)
        return partial(illustrate, mascot, scene), mascot_faults(mascot, scene)
    if world == 1:
        shot, thing = random_shot(rng), pretraining_product(number)
        return partial(illustrate_product, thing, shot), product_faults(shot)
    look, who = random_fashion_scene(rng), pretraining_person(number)
    what = pretraining_garment(number)
    return partial(illustrate_fashion, who, what, look), fashion_faults(who, look)


WORLDS: dict[str, Callable[[int], Iterator[tuple[Picture, Label]]]] = {
    "mascots": mascots,
    "products": products,
    "fashion": fashion,
    "faults": faults,
}


def world_of(label: Label) -> str | None:
    """The world of a drawn picture; None of a spoiled one."""
    told = label.get("attributes", {})
    marks = {"species": "mascots", "product_kind": "products", "garment_kind": "fashion"}
    return next((world for mark, world in marks.items() if mark in told), None)


def captions_of(label: Label, rng: np.random.Generator, num: int) -> list[str]:
    """A true caption of a drawn picture that is not spoiled, then at most num - 1 that one changed
    attribute makes untrue."""
    index, j, wording = label["subject"], label["row"] % PICTURES_EACH, int(rng.integers(2**31))
    match world_of(label):
        case "mascots":
            who, scene, _ = next(islice(people_and_scenes(index), j, None))
            return mascot_captions(who, scene, rng, num, wording)
        case "products":
            thing, shot, _ = next(islice(_shots(index), j, None))
            return product_captions(thing, shot, rng, num, wording)
        case _:
            person, garment, look, _ = next(islice(_worn(index), j, None))
            return fashion_captions(person, garment, look, rng, num, wording)
