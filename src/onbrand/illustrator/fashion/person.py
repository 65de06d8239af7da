"""Who wears it: people of many looks, and shop mannequins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from onbrand.illustrator.chance import pick, unreserved
from onbrand.illustrator.character import RESERVED_IDS
from onbrand.illustrator.colours import Colour, hex_colour

__all__ = [
    "HAIR",
    "PERSON_TRAITS",
    "SKIN",
    "Person",
    "describe_person",
    "person",
    "pretraining_person",
]

SKIN: dict[str, Colour] = {
    "pale": hex_colour("#fbe3d3"), "fair": hex_colour("#f3cdb0"), "olive": hex_colour("#dfb088"),
    "tan": hex_colour("#c68f63"), "brown": hex_colour("#96633f"), "dark": hex_colour("#643f2b"),
}  # fmt: skip
HAIR: dict[str, Colour] = {
    "black": hex_colour("#33303a"), "brown": hex_colour("#6d4630"), "blond": hex_colour("#e6be6e"),
    "red": hex_colour("#b9552f"), "grey": hex_colour("#b6b8bf"),
}  # fmt: skip
PERSON_TRAITS: dict[str, tuple[str, ...]] = {
    "kind": ("woman", "man", "mannequin"),
    "skin": tuple(SKIN),
    "age": ("young", "middle-aged", "old"),
    "build": ("slim", "average", "curvy"),
    "hair": ("short", "bob", "long", "curly", "bun", "ponytail", "bald"),
    "hair_colour": tuple(HAIR),
    "face": ("plain", "freckles", "glasses", "beard"),
}
_OF_KIND = {
    "woman": {"hair": ("short", "bob", "long", "curly", "bun", "ponytail"), "no face": ("beard",)},
    "man": {"hair": ("short", "curly", "bald", "long"), "no face": ()},
}


@dataclass(frozen=True, slots=True)
class Person:
    """Fixed traits, each a word of PERSON_TRAITS. The id is the face's: eyes, brows and proportions
    that have no word come from it. A mannequin has a build alone."""

    id: int
    kind: str = "woman"
    skin: str = "fair"
    age: str = "young"
    build: str = "average"
    hair: str = "bob"
    hair_colour: str = "brown"
    face: str = "plain"

    @property
    def is_mannequin(self) -> bool:
        """Without skin, hair, or a face."""
        return self.kind == "mannequin"

    @property
    def look(self) -> tuple[str, ...]:
        """What tells it from others in words."""
        return (self.kind, self.skin, self.age, self.build, self.hair, self.hair_colour, self.face)


def person(identity: int) -> Person:
    """The person of an id, always the same; ids of RESERVED_IDS are kept for evaluation."""
    rng = np.random.default_rng((identity, 0xFA))

    kind = ("woman", "man", "woman", "man", "woman", "mannequin", "man")[identity % 7]
    build = pick(rng, PERSON_TRAITS["build"])
    if kind == "mannequin":
        return Person(identity, kind, build=build, hair="bald")
    faces = tuple(f for f in PERSON_TRAITS["face"] if f not in _OF_KIND[kind]["no face"])
    age = PERSON_TRAITS["age"][int(rng.choice(3, p=(0.6, 0.25, 0.15)))]
    colour = pick(rng, tuple(HAIR)[:4]) if age != "old" or rng.random() < 0.25 else "grey"
    face = pick(rng, faces) if rng.random() < 0.6 else "plain"
    hair = pick(rng, _OF_KIND[kind]["hair"])
    return Person(identity, kind, pick(rng, tuple(SKIN)), age, build, hair, colour, face)


@lru_cache(maxsize=1)
def _reserved_looks() -> frozenset[tuple[str, ...]]:
    return frozenset(person(k).look for k in RESERVED_IDS if not person(k).is_mannequin)


def pretraining_person(number: int) -> Person:
    """The n-th person that models may learn from: none that looks like a reserved one, but for
    mannequins, of which there are only three looks."""
    return unreserved(person, lambda made: made.look, _reserved_looks(), number)


def describe_person(who: Person) -> str:
    """A noun phrase: 'a young woman with brown skin and long black hair'."""
    if who.is_mannequin:
        return "a shop mannequin"
    noun = {"young": "young ", "middle-aged": "middle-aged ", "old": "old "}[who.age] + who.kind
    hair = "no hair" if who.hair == "bald" else {
        "bun": f"{who.hair_colour} hair in a bun", "ponytail": f"a {who.hair_colour} ponytail",
        "bob": f"a {who.hair_colour} bob",
    }.get(who.hair, f"{who.hair} {who.hair_colour} hair")  # fmt: skip
    extras = {"freckles": "freckles", "glasses": "glasses", "beard": "a beard"}
    more = f", {extras[who.face]}" if who.face in extras else ""
    build = "curvy " if who.build == "curvy" else ""
    article = "an" if (build + noun)[0] in "aeiou" else "a"
    return f"{article} {build}{noun} with {who.skin} skin and {hair}{more}"
