"""What the captions show, and what they do not: the holes to fill with more pictures.

A model draws with ease what its pictures show. A brand with twenty smiling front views and nothing
else gives a mascot that cannot frown, and the person who could draw a frowning one should be told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

__all__ = ["WORDS", "coverage", "tags_of"]

WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "expression": {
        "happy": ("happy", "happily", "smiling", "smile", "smiles", "cheerful", "joyful", "grin"),
        "laughing": ("laughing", "laughs", "laugh"),
        "sad": ("sad", "sadly", "crying", "cries", "tears", "unhappy", "weeping"),
        "angry": ("angry", "angrily", "furious", "annoyed", "grumpy", "frowning", "frown"),
        "surprised": ("surprised", "surprise", "shocked", "astonished", "wide eyes"),
        "frightened": ("frightened", "scared", "afraid", "worried"),
        "sleepy": ("sleepy", "sleepily", "sleeping", "asleep", "tired", "bored", "dull"),
        "winking": ("winking", "wink", "winks"),
        "calm": ("calm", "calmly", "neutral", "relaxed", "serious"),
    },
    "pose": {
        "standing": ("standing", "stands"),
        "sitting": ("sitting", "sits", "seated"),
        "lying": ("lying", "lies down", "reclining"),
        "walking": ("walking", "walks"),
        "running": ("running", "runs"),
        "jumping": ("jumping", "jumps", "leaping"),
        "waving": ("waving", "waves"),
        "dancing": ("dancing", "dances", "ballerina"),
        "cheering": ("cheering", "arms up", "fists raised"),
        "flying": ("flying", "floating"),
        "thinking": ("thinking", "thinks"),
    },
    "view": {
        "front": ("front view", "facing front", "facing the viewer", "facing forward"),
        "side": ("side view", "in profile", "facing left", "facing right", "from the side"),
        "back": ("back view", "from behind", "rear view", "facing away"),
    },
}
"""Attribute -> value -> the words in a caption that tell it."""

_PROP = re.compile(
    r"\b(?:holding|carrying|with|wearing|driving|pushing|reading|playing|under|inside)\s+"
    r"(?:an?|the|two|three|its|his|her|some)\s+((?:[\w-]+\s+){0,2}?[\w-]+?)"
    r"(?=\s+(?:on|in|at|of|and|with|to|under|over|around|near|by|is|\w+ing)\b|[,.;]|$)"
)
_BODY = re.compile(
    r"\b(?:eyes?|mouths?|tooth|teeth|tongues?|arms?|hands?|fists?|ears?|face|faces|faced|smile|"
    r"frown|wink|expression|look|tears?|belly|tail|nose|background)\b"
)
_ASKED = {
    "expression": ("happy", "sad", "angry", "surprised"),
    "pose": ("standing", "sitting", "walking", "running", "jumping", "waving"),
    "view": ("side", "back"),
}
_FEWEST_FOR_A_PAIR = 3


def tags_of(caption: str) -> list[str]:
    """What a caption tells, as "expression:happy", "pose:sitting", "prop:red balloon"."""
    text = caption.lower()
    tags = [
        f"{attribute}:{value}"
        for attribute, values in WORDS.items()
        for value, words in values.items()
        if any(re.search(rf"\b{word}\b", text) for word in words)
    ]
    props = [found[1] for found in _PROP.finditer(text) if not _BODY.search(found[1])]
    return tags + [f"prop:{prop}" for prop in dict.fromkeys(props)]


def coverage(captions: Sequence[str], tags: Sequence[Sequence[str]]) -> dict[str, Any]:
    """How many pictures show each expression, pose, view and prop, and the holes as sentences.

    `captions[i]` and `tags[i]` are of one picture. JSON values only.
    """
    counts: dict[str, Counter[str]] = {name: Counter() for name in (*WORDS, "prop")}
    for tag in (tag for of_one in tags for tag in of_one):
        attribute, value = tag.split(":", 1)
        counts[attribute][value] += 1
    without = sum(not caption for caption in captions)
    told: dict[str, Any] = {
        attribute: dict(sorted(values.items(), key=lambda item: (-item[1], item[0])))
        for attribute, values in counts.items()
    }
    return {
        **told,
        "num_without_caption": without,
        "holes": _holes(len(captions), without, counts, tags),
    }


def _holes(
    num: int, without: int, counts: Mapping[str, Counter[str]], tags: Sequence[Sequence[str]]
) -> list[str]:
    if without == num:
        return [f"none of the {num} pictures has a caption: what they cover cannot be told"]
    holes = []
    if without:
        holes.append(f"{without} of {num} pictures have no caption")
    for attribute, asked in _ASKED.items():
        missing = [value for value in asked if not counts[attribute][value]]
        if missing:
            holes.append(f"no caption tells of the {attribute} {_either(missing)}")
        seldom = [v for v in asked if counts[attribute][v] == 1 and num >= 10]
        if seldom:
            holes.append(f"a single picture shows the {attribute} {_either(seldom)}")
    if not counts["prop"]:
        holes.append("no caption tells of a prop that it holds, wears or uses")
    return holes + _pairs(counts, tags)


def _pairs(counts: Mapping[str, Counter[str]], tags: Sequence[Sequence[str]]) -> list[str]:
    """Expressions and poses that are each common, but never seen together."""
    together = Counter(pair for of_one in tags for pair in product(of_one, repeat=2))
    holes = []
    for look, times in counts["expression"].most_common():
        unseen = [
            pose
            for pose, others in counts["pose"].most_common()
            if min(times, others) >= _FEWEST_FOR_A_PAIR
            and not together[(f"expression:{look}", f"pose:{pose}")]
        ]
        if unseen:
            holes.append(f"it is never {look} while {_either(unseen)}")
    return holes


def _either(words: Sequence[str]) -> str:
    """ "sad", "sad or angry", "sad, angry or calm"."""
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} or {words[-1]}"
