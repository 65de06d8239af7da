"""A picture's caption among others that one changed attribute makes untrue.

What tells them apart sees every attribute. A caption that only leaves something out is still true,
and is not among them. Words of a list exclude each other, but for a few poses of people: who is
waving is not "standing".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from onbrand.illustrator.character import TRAITS, Character
from onbrand.illustrator.fashion import (
    FASHION_ATTRIBUTES,
    FashionScene,
    Garment,
    Person,
    fashion_caption,
)
from onbrand.illustrator.product import PRODUCT_ATTRIBUTES, Product, Shot, product_caption
from onbrand.illustrator.scene import ATTRIBUTES, Scene, caption

__all__ = ["fashion_captions", "mascot_captions", "product_captions"]

Choices = Mapping[str, tuple[str, ...]]
Tells = Callable[[str, str, str], bool]  # attribute, new value, caption: whether it is in there
ARTICLES = ("a", "an")
MASCOT: Choices = {
    **{name: TRAITS[name] for name in ("species", "colour", "outfit", "accessory")},
    **{name: ATTRIBUTES[name] for name in ("pose", "expression", "prop", "place", "hour")},
}
PRODUCT: Choices = {
    **{name: PRODUCT_ATTRIBUTES[f"product_{name}"] for name in ("kind", "colour", "pattern")},
    **{name: PRODUCT_ATTRIBUTES[name] for name in ("stand", "place", "hour")},
}
FASHION: Choices = {
    **{name: FASHION_ATTRIBUTES[f"garment_{name}"] for name in ("kind", "colour", "pattern")},
    "pose": FASHION_ATTRIBUTES["person_pose"],
    **{name: FASHION_ATTRIBUTES[name] for name in ("place", "hour")},
}
# a pose of people, and another that is true of it
_IMPLIED = {"with both hands on the hips": "with a hand on the hip", "waving": "with an arm up"}


def mascot_captions(
    who: Character, scene: Scene, rng: np.random.Generator, num: int, wording: int
) -> list[str]:
    """The true caption, then at most num - 1 different untrue ones; `wording` is the seed of how
    all of them put it."""

    def words(changed: Mapping[str, str]) -> str:
        return caption(*_with(changed, who, scene), _again(wording))

    def tells(name: str, value: str, text: str) -> bool:
        if name in ("outfit", "accessory"):  # captions may leave clothes out
            worn = f"{getattr(who, f'{name}_colour')} {value}"
            return f" {worn} " in f" {_bare(text)} "
        return value != "none"

    return _captions(words, tells, MASCOT, rng, num)


def product_captions(
    what: Product, shot: Shot, rng: np.random.Generator, num: int, wording: int
) -> list[str]:
    """As `mascot_captions`."""

    def words(changed: Mapping[str, str]) -> str:
        return product_caption(*_with(changed, what, shot), _again(wording))

    def tells(name: str, value: str, text: str) -> bool:
        if name == "pattern":  # printed goods, too, have "details" in their second colour
            return value != "plain"
        return (name, value) != ("stand", "paper") or "seamless paper" in text

    return _captions(words, tells, PRODUCT, rng, num)


def fashion_captions(
    who: Person, what: Garment, scene: FashionScene, rng: np.random.Generator, num: int,
    wording: int,
) -> list[str]:  # fmt: skip
    """As `mascot_captions`."""

    def words(changed: Mapping[str, str]) -> str:
        return fashion_caption(who, *_with(changed, what, scene), _again(wording))

    def tells(name: str, value: str, text: str) -> bool:
        return name != "pose" or value != _IMPLIED.get(scene.pose)

    return _captions(words, tells, FASHION, rng, num)


def _again(wording: int) -> np.random.Generator:
    """The choice of words, the same for the true caption and the untrue ones."""
    return np.random.default_rng((wording, 0xCA))


def _with(changed: Mapping[str, str], subject: Any, scene: Any) -> tuple[Any, Any]:
    """The subject with those of its traits changed, and its scene with the rest."""
    mine = {name: value for name, value in changed.items() if hasattr(subject, name)}
    its = {name: value for name, value in changed.items() if name not in mine}
    return replace(subject, **mine), replace(scene, **its)


def _captions(
    words: Callable[[Mapping[str, str]], str],
    tells: Tells,
    choices: Choices,
    rng: np.random.Generator,
    num: int,
) -> list[str]:
    """A change that no word tells makes no caption, though the caption may be another: one that
    leaves something out draws fewer chances, and puts all that follows differently. Such changes
    are shuffled with the others all the same, for callers go on drawing from `rng`."""
    true = words({})
    found = {true: None}
    for name, value in _changes(choices, rng):
        if len(found) >= num:
            break
        other = words({name: value})
        if tells(name, value, other) and not _says_no_more(other, true):
            found.setdefault(other)
    return list(found)


def _says_no_more(other: str, true: str) -> bool:
    """Whether all words of `other`, articles apart, are words of the true caption."""
    beyond = _counted(other) - _counted(true)
    return not any(word not in ARTICLES for word in beyond)


def _counted(text: str) -> Counter[str]:
    return Counter(_bare(text).split())


def _bare(text: str) -> str:
    return text.replace(",", "")


def _changes(choices: Choices, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Attributes in turn, in any order, with another value each time, as long as there are any."""
    order = [str(name) for name in rng.permutation(list(choices))]
    left = {name: list(rng.permutation(list(choices[name]))) for name in order}
    while any(left.values()):
        for name, values in left.items():
            if values:
                yield name, str(values.pop())
