"""Draws that every world makes: a word of a list, and subjects that are not reserved."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import numpy as np

__all__ = ["pick", "unreserved"]

Subject = TypeVar("Subject")
Look = TypeVar("Look")

_PRETRAINING_OFFSET = 1_000_000
_ANOTHER = 500_000_000


def pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    """One of the words, all alike."""
    return words[int(rng.integers(len(words)))]


def unreserved(
    draw: Callable[[int], Subject],
    look: Callable[[Subject], Look],
    reserved: Collection[Look],
    number: int,
) -> Subject:
    """The n-th subject for pretraining: `draw(id)` of an id beyond the reserved ones whose look
    is not in `reserved`."""
    identity = _PRETRAINING_OFFSET + number
    while look(draw(identity)) in reserved:
        identity += _ANOTHER
    return draw(identity)
