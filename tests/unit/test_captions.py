"""Untrue captions: each claims something that is not drawn, as the attributes have it."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from onbrand.illustrator import (
    ATTRIBUTES,
    FASHION_ATTRIBUTES,
    PRODUCT_ATTRIBUTES,
    TRAITS,
    character,
    fashion_captions,
    garment,
    mascot_captions,
    person,
    product,
    product_captions,
    random_fashion_scene,
    random_scene,
    random_shot,
)
from onbrand.illustrator.goods import PRINT_WORDS
from onbrand.illustrator.setting import HOURS, PLACES, Setting

# a pattern that finds what a caption claims, and all such claims that are true of the drawing
Claims = list[tuple[str, set[str]]]
Told = tuple[list[str], Claims]

IMPLIED = {"with both hands on the hips": "with a hand on the hip", "waving": "with an arm up"}


def any_of(*words: str) -> str:
    """A pattern of whole words; longer ones are tried first."""
    return rf"(?<![\w-])(?:{'|'.join(sorted(words, key=len, reverse=True))})(?![\w-])"


COLOUR = any_of(*{*TRAITS["colour"], *TRAITS["outfit_colour"], *TRAITS["accessory_colour"]})


def where(setting: Setting) -> Claims:
    """Place and hour."""
    places = {name: words.removesuffix(" background") for name, words in PLACES.items()}
    return [
        (any_of(*places.values()), {places[setting.place]}),
        (any_of(*HOURS.values()), {HOURS[setting.hour]}),
    ]


def sold(kinds: tuple[str, ...], kind: str, colour: str, pattern: str) -> Claims:
    """Kind with its colour, and the print. That there are "details" is true of all goods."""
    bare = [name.removeprefix("pair of ") for name in kinds]
    return [
        (f"{COLOUR} {any_of(*bare)}", {f"{colour} {kind.removeprefix('pair of ')}"}),
        (any_of(*PRINT_WORDS.values()), {PRINT_WORDS.get(pattern, "")}),
    ]


def mascots(k: int, num: int) -> Told:
    """The list of a mascot, and what may be claimed of it."""
    rng = np.random.default_rng((k, 9))
    who, scene = character(k), random_scene(rng)
    clothes = any_of(*TRAITS["outfit"][1:], *TRAITS["accessory"][1:])
    return mascot_captions(who, scene, rng, num, wording=k), [
        (f"{COLOUR} {any_of(*TRAITS['species'])}", {f"{who.colour} {who.species}"}),
        (
            f"{COLOUR} {clothes}",
            {f"{who.outfit_colour} {who.outfit}", f"{who.accessory_colour} {who.accessory}"},
        ),
        (any_of(*ATTRIBUTES["pose"]), {scene.pose}),
        ("|".join(word[:4] for word in ATTRIBUTES["expression"]), {scene.expression[:4]}),
        (
            f"holding an? {any_of(*ATTRIBUTES['prop'])}",
            {f"holding a {scene.prop}", f"holding an {scene.prop}"},
        ),
        *where(scene),
    ]


def products(k: int, num: int) -> Told:
    """The list of a product, and what may be claimed of it."""
    rng = np.random.default_rng((k, 9))
    what, shot = product(k), random_shot(rng)
    stands = {"paper": "seamless paper"}
    return product_captions(what, shot, rng, num, wording=k), [
        *sold(PRODUCT_ATTRIBUTES["product_kind"], what.kind, what.colour, what.pattern),
        (
            any_of("seamless paper", *PRODUCT_ATTRIBUTES["stand"][1:]),
            {stands.get(shot.stand, shot.stand)},
        ),
        *where(shot),
    ]


def fashion(k: int, num: int) -> Told:
    """The list of a garment, and what may be claimed of it and its wearer."""
    rng = np.random.default_rng((k, 9))
    who, what, scene = person(k), garment(k), random_fashion_scene(rng)
    poses = [pose for pose in FASHION_ATTRIBUTES["person_pose"] if pose != "standing"]
    return fashion_captions(who, what, scene, rng, num, wording=k), [
        *sold(FASHION_ATTRIBUTES["garment_kind"], what.kind, what.colour, what.pattern),
        (
            rf"{any_of(*poses)}|standing(?! with)",
            {scene.pose, IMPLIED.get(scene.pose, ""), "standing" if " " in scene.pose else ""},
        ),
        *where(scene),
    ]


WORLDS: dict[str, Callable[[int, int], Told]] = {
    "mascots": mascots, "products": products, "fashion": fashion,
}  # fmt: skip


def holds(text: str, claims: Claims) -> bool:
    """Whether all that the caption claims is true."""
    return all(set(re.findall(pattern, text)) <= truths for pattern, truths in claims)


@pytest.mark.parametrize("world", WORLDS)
def test_the_first_caption_alone_is_true(world: str) -> None:
    """Of a hundred and fifty lists of twenty: whatever the wording, no other caption only leaves
    something out."""
    for k in range(150):
        (true, *others), claims = WORLDS[world](k, 20)
        assert holds(true, claims)
        assert len(others) == 19
        assert [text for text in others if holds(text, claims)] == []


@pytest.mark.parametrize("world", WORLDS)
def test_lists_are_as_short_as_they_are_asked_for(world: str) -> None:
    """The true caption is there even of none; of two, one is untrue."""
    assert [len(WORLDS[world](3, num)[0]) for num in (0, 1, 2)] == [1, 1, 2]
