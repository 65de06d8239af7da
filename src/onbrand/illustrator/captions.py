"""A picture's caption among others that one changed attribute makes untrue.

What tells them apart sees every attribute. A caption that only leaves something out is still true,
and is not among them.
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


def mascot_captions(
    who: Character, scene: Scene, rng: np.random.Generator, num: int, wording: int
) -> list[str]:
    """The true caption, then at most num - 1 different untrue ones; `wording` is the seed of how
    all of them put it."""

    def words(changed: Mapping[str, str]) -> str:
        return caption(*_with(changed, who, scene), _again(wording))

    return _captions(words, MASCOT, rng, num)


def product_captions(
    what: Product, shot: Shot, rng: np.random.Generator, num: int, wording: int
) -> list[str]:
    """As `mascot_captions`."""

    def words(changed: Mapping[str, str]) -> str:
        return product_caption(*_with(changed, what, shot), _again(wording))

    return _captions(words, PRODUCT, rng, num)


def fashion_captions(
    who: Person, what: Garment, scene: FashionScene, rng: np.random.Generator, num: int,
    wording: int,
) -> list[str]:  # fmt: skip
    """As `mascot_captions`."""

    def words(changed: Mapping[str, str]) -> str:
        return fashion_caption(who, *_with(changed, what, scene), _again(wording))

    return _captions(words, FASHION, rng, num)


def _again(wording: int) -> np.random.Generator:
    """The choice of words, the same for the true caption and the untrue ones."""
    return np.random.default_rng((wording, 0xCA))


def _with(changed: Mapping[str, str], subject: Any, scene: Any) -> tuple[Any, Any]:
    """The subject with those of its traits changed, and its scene with the rest."""
    mine = {name: value for name, value in changed.items() if hasattr(subject, name)}
    its = {name: value for name, value in changed.items() if name not in mine}
    return replace(subject, **mine), replace(scene, **its)


def _captions(
    words: Callable[[Mapping[str, str]], str], choices: Choices, rng: np.random.Generator, num: int
) -> list[str]:
    """A change that no word tells makes no caption."""
    true = words({})
    found = {true: None}
    for name, value in _changes(choices, rng):
        if len(found) == num:
            break
        if not _says_no_more(other := words({name: value}), true):
            found.setdefault(other)
    return list(found)


def _says_no_more(other: str, true: str) -> bool:
    """Whether all words of `other`, articles apart, are words of the true caption."""
    beyond = _counted(other) - _counted(true)
    return not any(word not in ARTICLES for word in beyond)


def _counted(text: str) -> Counter[str]:
    return Counter(text.replace(",", "").split())


def _changes(choices: Choices, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Attributes in turn, in any order, with another value each time, as long as there are any."""
    order = [str(name) for name in rng.permutation(list(choices))]
    left = {name: list(rng.permutation(list(choices[name]))) for name in order}
    while any(left.values()):
        for name, values in left.items():
            if values:
                yield name, str(values.pop())
