"""Who a brand could be mistaken for: the line-up that retrieval chooses from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from onbrand.illustrator import (
    RESERVED_IDS,
    Character,
    Scene,
    character,
    illustrate,
    lookalikes,
    random_scene,
)

__all__ = ["OWN", "Gallery", "character_gallery", "draw", "folder_gallery", "line_up"]

OWN = "this brand"


@dataclass(frozen=True)
class Gallery:
    """A line-up: pictures[k] are the pictures of names[k]. The brand itself is named `OWN`.

    When no `OWN` is in it (a folder brand), the judge puts the held-out pictures in its place.
    """

    names: tuple[str, ...]
    pictures: tuple[tuple[Image.Image, ...], ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.pictures) or len(set(self.names)) != len(self.names):
            raise ValueError(
                f"a gallery needs one list of pictures for each distinct name, but got "
                f"{len(self.names)} names ({len(set(self.names))} distinct) and "
                f"{len(self.pictures)} lists"
            )

    @property
    def chance(self) -> float:
        """The share of hits that guessing would give."""
        return 1 / (len(self.names) + (OWN not in self.names))


@lru_cache(maxsize=256)
def draw(
    who: Character, scenes: tuple[Scene, ...], size_px: int, seed: int
) -> tuple[Image.Image, ...]:
    """Draw one character in each scene; the n-th scene always uses the noise of (seed, n).

    Remembered, because characters judged one after another share a line-up: treat as read-only.
    """
    return tuple(
        Image.fromarray(illustrate(who, scene, size_px=size_px, seed=seed * 1000 + n).pixels)
        for n, scene in enumerate(scenes)
    )


def line_up(
    own_id: int | None, num_others: int, num_lookalikes: int
) -> list[tuple[str, Character]]:
    """Others (the lowest reserved ids but `own_id`) and the look-alikes of each, with names.

    `own_id` comes first, named `OWN`; its look-alikes are "like this brand: colour" and so on.
    Not all can be told: of the 2,048 of reserved ids, 19 look like their character when drawn from
    the front (none of ids 0 to 19; one each of 104 and 107).

    Raises:
        ValueError: if a character has fewer look-alikes than that.
    """
    others = [i for i in RESERVED_IDS if i != own_id][:num_others]
    people: list[tuple[str, Character]] = []
    for identity in ([] if own_id is None else [own_id]) + others:
        who = character(identity)
        name = OWN if identity == own_id else f"character {identity}"
        people.append((name, who))
        for number, other in enumerate(lookalikes(who, num_lookalikes), start=1):
            people.append((f"like {name}: {other.changed_trait} ({number})", other))
    return people


def character_gallery(
    own_id: int | None = None,
    *,
    num_others: int = 19,
    num_lookalikes: int = 8,
    num_pictures: int = 6,
    size_px: int = 128,
    seed: int = 0,
) -> Gallery:
    """The design's line-up: the character, 19 other reserved ones, 8 one-trait look-alikes of each.

    Everyone is drawn in the same `num_pictures` scenes, so that nothing but the traits tells them
    apart; the scenes come from `seed` and are those of no training picture.
    """
    rng = np.random.default_rng([seed, 0x6A11])
    scenes = tuple(random_scene(rng) for _ in range(num_pictures))
    people = line_up(own_id, num_others, num_lookalikes)
    return Gallery(
        tuple(name for name, _ in people),
        tuple(draw(who, scenes, size_px, seed) for _, who in people),
    )


def folder_gallery(
    lookalikes_of_brand: Sequence[tuple[str, Image.Image]],
    *,
    num_others: int = 19,
    num_pictures: int = 6,
    size_px: int = 128,
    seed: int = 0,
) -> Gallery:
    """The line-up for a folder of pictures: its look-alikes, and beside them 19 reserved characters
    with theirs. `OWN` is left to the judge, who fills it with the held-out pictures.

    Look-alike pictures whose names, without ending, differ in a last number only ("red-01",
    "red-02") are one identity; any other picture, a bare number too, is one of its own.
    """
    people: dict[str, list[Image.Image]] = {}
    for name, picture in lookalikes_of_brand:
        people.setdefault(re.sub(r"[-_ ]+\d+$", "", name) or name, []).append(picture)
    drawn = character_gallery(
        None, num_others=num_others, num_pictures=num_pictures, size_px=size_px, seed=seed
    )
    return Gallery(
        tuple(f"look-alike {name}" for name in people) + drawn.names,
        tuple(tuple(pictures) for pictures in people.values()) + drawn.pictures,
    )
