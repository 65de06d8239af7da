"""Who a mascot is: the traits that never change from picture to picture.

An id is a character: `character(17)` is the same one everywhere. Ids in RESERVED_IDS are for
evaluation; `pretraining_character` never returns one of them, nor one with the signature of one.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np

from onbrand.illustrator.chance import unreserved
from onbrand.illustrator.colours import COLOURS
from onbrand.illustrator.species import SPECIES

__all__ = [
    "RESERVED_IDS",
    "TRAITS",
    "Character",
    "character",
    "describe",
    "lookalikes",
    "pretraining_character",
    "reserved_signatures",
]

RESERVED_IDS = range(256)

TRAITS: dict[str, tuple[str, ...]] = {
    "species": tuple(SPECIES),
    "colour": tuple(COLOURS),
    "belly": ("cream", "white", "pale", "same"),
    "head": ("round", "wide", "tall", "square"),
    "ears": ("usual", "big", "small", "folded"),
    "eyes": ("dot", "round", "sparkling", "tall"),
    "eye_colour": ("brown", "green", "blue", "purple"),
    "mark": (
        "none",
        "eye patch",
        "forehead star",
        "freckles",
        "stripes",
        "forehead blaze",
        "belly heart",
    ),
    "build": ("slim", "round", "small"),
    "outfit": ("none", "scarf", "bow tie", "t-shirt", "striped sweater", "overalls", "cape"),
    "outfit_colour": ("red", "yellow", "green", "blue", "purple", "pink", "white", "teal"),
    "accessory": ("none", "glasses", "cap", "beanie", "flower", "crown", "headphones", "party hat"),
    "accessory_colour": ("red", "yellow", "green", "blue", "purple", "pink", "white", "orange"),
}

# what an unremarkable draw looks like: bare characters stay common, so that captions can be short
_WEIGHTS: dict[str, tuple[float, ...]] = {
    "ears": (5, 2, 1.5, 1.5),
    "mark": (5, 1, 1, 1, 1, 1, 1),
    "outfit": (2.5, 1.4, 1, 1, 1, 1, 1),
    "accessory": (4, 1, 1, 1, 1, 1, 1, 1),
}


@dataclass(frozen=True, slots=True)
class Character:
    """Fixed traits, each a word of TRAITS; `tone` picks a neighbouring tone of the colour."""

    id: int
    species: str
    colour: str
    belly: str
    head: str
    ears: str
    eyes: str
    eye_colour: str
    mark: str
    build: str
    outfit: str
    outfit_colour: str
    accessory: str
    accessory_colour: str
    tone: int = 0
    changed_trait: str | None = None

    @property
    def signature(self) -> tuple[str, ...]:
        """The traits but for colours of what is not there: two characters with one signature are
        doubles. It does not know what clothes and a species' own looks hide (a robot's eyes have
        no shape), so that doubles may also have different signatures."""
        hidden = set()
        if self.outfit == "none":
            hidden.add("outfit_colour")
        if self.accessory == "none":
            hidden.add("accessory_colour")
        if self.eyes in ("dot", "tall"):
            hidden.add("eye_colour")
        return tuple("-" if name in hidden else getattr(self, name) for name in TRAITS)


@lru_cache(maxsize=4096)
def character(identity: int) -> Character:
    """The character with this id.

    Raises:
        ValueError: for a negative id.
    """
    if identity < 0:
        raise ValueError(f"a character id is 0 or more, got {identity}")
    rng = np.random.default_rng((identity, 0x0B_4A_4D))
    drawn: dict[str, str] = {}
    for name, words in TRAITS.items():
        weights = np.asarray(_WEIGHTS.get(name, (1.0,) * len(words)))
        drawn[name] = words[int(rng.choice(len(words), p=weights / weights.sum()))]
    for name, against in (("outfit_colour", "colour"), ("accessory_colour", "outfit_colour")):
        if drawn[name] == drawn[against]:  # clothes that vanish into the fur are no design
            words = TRAITS[name]
            drawn[name] = words[(words.index(drawn[name]) + 1 + int(rng.integers(3))) % len(words)]
    return Character(id=identity, tone=int(rng.integers(3)), **drawn)


@lru_cache(maxsize=1)
def reserved_signatures() -> frozenset[tuple[str, ...]]:
    """Signatures of all reserved characters and their eight look-alikes: never to be trained
    on."""
    people = [character(k) for k in RESERVED_IDS]
    doubles = [double for person in people for double in lookalikes(person)]
    return frozenset(person.signature for person in [*people, *doubles])


def pretraining_character(index: int) -> Character:
    """The index-th character that weights may be trained on.

    Never a reserved id, and never one with the signature of a reserved character or of one of its
    look-alikes. It may differ from one in what is not drawn alone (see `Character.signature`).
    """
    return unreserved(character, lambda made: made.signature, reserved_signatures(), index)


_NEAR = {
    "white": {"grey"}, "grey": {"white", "black"}, "red": {"orange"}, "orange": {"red", "brown"},
    "teal": {"blue", "green"}, "blue": {"teal"}, "green": {"teal"}, "brown": {"orange"},
    "black": {"grey"},
}  # fmt: skip

# the traits a look-alike may differ in, most telling first
_TELLING = (
    "colour", "accessory", "outfit", "mark", "outfit_colour", "ears", "belly", "eyes",
    "accessory_colour", "head",
)  # fmt: skip


_TOPS = ("t-shirt", "striped sweater", "overalls")
_HATS = ("cap", "beanie", "crown", "party hat")


def _choices(person: Character, name: str) -> list[str]:
    """The other words for a trait whose change could be seen on this person; none if it is hidden
    by clothes, a hat or the species' own looks. It does not know all that hides or pales: 19 of
    the reserved characters' 2,048 look-alikes cannot be told even from the front."""
    hidden = {
        "outfit_colour": person.outfit == "none",
        "accessory_colour": person.accessory == "none",
        "belly": person.outfit in _TOPS,
        "ears": SPECIES[person.species].ears == "none"
        or person.accessory in ("beanie", "headphones"),
        "eyes": SPECIES[person.species].muzzle == "screen",
    }
    if hidden.get(name, False):
        return []
    unlike = {getattr(person, name)}
    if name == "mark":
        covered = {"forehead star", "forehead blaze"} if person.accessory in _HATS else set()
        covered |= {"belly heart"} if person.outfit in _TOPS else set()
        covered |= {"eye patch"} if SPECIES[person.species].patches else set()
        unlike |= covered | ({"none"} if person.mark in covered else set())
    if name == "colour":  # grey for white would be a quarrel about lighting
        unlike |= _NEAR.get(person.colour, set())
    return [word for word in TRAITS[name] if word not in unlike]


def lookalikes(person: Character, num: int = 8) -> list[Character]:
    """`num` characters that differ from `person` in exactly one trait, each in another one where
    there are enough; ids are kept, `changed_trait` names the difference.

    More than the trait may be seen to change, where new clothes cover a mark or a belly; a few
    changes cannot be seen (`indistinguishable` tells).

    Raises:
        ValueError: if `num` is more than there are; every character has several dozen.
    """
    rng = np.random.default_rng((person.id, 0x100_1A))
    made: list[Character] = []
    open_words = {name: _choices(person, name) for name in _TELLING}
    most = sum(len(words) for words in open_words.values())
    if num > most:
        raise ValueError(f"character {person.id} has {most} look-alikes, {num} were asked for")
    while len(made) < num:
        names = [name for name in _TELLING if open_words[name]]
        for name in names[: num - len(made)]:
            word = open_words[name].pop(int(rng.integers(len(open_words[name]))))
            made.append(_changed(person, name, word))
    return made


def _changed(person: Character, name: str, word: str) -> Character:
    traits = {f.name: getattr(person, f.name) for f in fields(Character)}
    return Character(**{**traits, name: word, "changed_trait": name})


def _article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def trait_phrases(person: Character) -> dict[str, str]:
    """Noun phrases for the traits there are, in the order a person would name them. A few name
    what cannot be seen: a robot's eyes, a star under a cap, a belly under a t-shirt."""
    phrases: dict[str, str] = {}
    if person.ears != "usual" and SPECIES[person.species].ears != "none":
        phrases["ears"] = f"{person.ears} ears"
    if person.belly != "same":
        phrases["belly"] = f"a {person.belly} belly"
    eyes = {"dot": "dot eyes", "tall": "tall black eyes"}
    phrases["eyes"] = eyes.get(person.eyes, f"{person.eyes} {person.eye_colour} eyes")
    marks = {
        "eye patch": "a patch over one eye", "forehead star": "a star on the forehead",
        "freckles": "freckles", "stripes": "stripes", "forehead blaze": "a blaze on the forehead",
        "belly heart": "a heart on the belly",
    }  # fmt: skip
    if person.mark != "none":
        phrases["mark"] = marks[person.mark]
    if person.outfit != "none":
        worn = f"{person.outfit_colour} {person.outfit}"
        phrases["outfit"] = worn if person.outfit == "overalls" else f"a {worn}"
    if person.accessory != "none":
        worn = f"{person.accessory_colour} {person.accessory}"
        plural = person.accessory in ("glasses", "headphones")
        phrases["accessory"] = worn if plural else _article(worn)
    return phrases


def describe(person: Character) -> str:
    """Every fixed trait spelled out as a noun phrase: 'a red fox with big ears, dot eyes, a blue
    scarf'; seen or not (see `trait_phrases`)."""
    build = {"slim": "", "round": "chubby ", "small": "little "}[person.build]
    head = {"round": "", "wide": "wide-headed ", "tall": "tall-headed ", "square": "square-headed "}
    who = _article(f"{build}{head[person.head]}{person.colour} {person.species}")
    return f"{who} with " + ", ".join(trait_phrases(person).values())


assert {f.name for f in fields(Character)} >= set(TRAITS)
