"""Guesses from captions what a brand's subject is called, for a first brief that people correct."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

__all__ = ["STARTING_PROMPTS", "guess_subject"]

STARTING_PROMPTS: tuple[str, ...] = (
    "waving happily in a meadow by day",
    "sitting sadly on a plain white background",
    "jumping, surprised, in a city street at night",
    "standing angrily in a forest, holding an umbrella",
    "dancing happily on a beach, holding a balloon",
    "running in the mountains by day",
    "thinking, with a hand on the chin, holding a book",
    "cheering with both arms up in a snowy forest at night",
)
"""What a fresh brief asks for: poses, looks and places that differ, half of them for the report."""

_ARTICLE = re.compile(r"(?:^|\bof\s|,\s*)(?:an?|the|one)\s+", re.IGNORECASE)
_ENDS = re.compile(
    r"^(?:with|in|on|at|of|and|or|is|as|by|to|under|inside|from|while|who|that|\w+ing)$"
)
_KINDS_OF_PICTURE = {
    "photo", "picture", "image", "drawing", "illustration", "sketch", "sticker", "cartoon",
    "painting", "render", "rendering", "portrait", "close-up", "view", "flat", "pencil", "die-cut",
    "background", "plain", "shaded", "soft", "outlined",
}  # fmt: skip
_LONGEST = 3
_SHARE = 0.6


def guess_subject(captions: Sequence[str], *, trigger: str = "") -> str | None:
    """The longest phrase of up to three words that at least 60 % of the captions call it by.

    Looked for behind an article at the beginning, after "of" or after a comma: "a flat illustration
    of a blue gopher, waving" calls it "blue gopher". Behind the trigger word too: "kuro fox" and
    "kuro, a fox" are a fox. None when the captions do not agree.
    """
    told = [caption for caption in captions if caption]
    if trigger:
        named = re.compile(rf"(?<!\w)(?:an?\s+)?{re.escape(trigger)},?\s+(?:an?\s+|the\s+)?", re.I)
        told = [named.sub("a ", caption, count=1) for caption in told]
    if not told:
        return None
    counts: Counter[str] = Counter()
    for caption in told:
        counts.update(set(_phrases(caption.lower())))
    common = [phrase for phrase, times in counts.items() if times >= _SHARE * len(told)]
    return max(common, key=lambda phrase: (len(phrase.split()), counts[phrase]), default=None)


def _phrases(caption: str) -> list[str]:
    """What may name the subject: the first words behind each article, and their last words."""
    found = []
    for match in _ARTICLE.finditer(caption):
        words: list[str] = []
        for word in re.split(r"\s+", caption[match.end() :])[: _LONGEST + 1]:
            bare = word.rstrip(",.;:")
            if not bare or _ENDS.match(bare):
                break
            words.append(bare)
            if bare != word:
                break
        words = words[:_LONGEST]
        if not _KINDS_OF_PICTURE & set(words):
            found += [" ".join(words[i:]) for i in range(len(words))]
            found += [" ".join(words[: i + 1]) for i in range(len(words))]
    return found
