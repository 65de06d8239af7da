"""Every error that onbrand raises on purpose, in one tree.

    OnbrandError                something onbrand can explain            exit code 1
    ├── InputError              what was passed cannot be used           exit code 2
    │   ├── BriefError          brief.toml
    │   ├── RecipeError         recipe.toml, or a recipe's name
    │   ├── PictureError        one picture file
    │   ├── DatasetError        the pictures as a whole
    │   └── PromptError         a prompt
    ├── ModelError              the base or an adapter
    │   ├── PackError           no such pack, or no pipeline there
    │   └── WeightsError        a pickle, or weights of another model
    ├── TrainingError           training ended before it was done
    │   ├── GateFailed          a stage missed its gate (all is kept)    exit code 3
    │   ├── NonFiniteLoss       the loss or its gradient became NaN or infinite
    │   └── OutOfMemory         the recipe needs more memory than there is
    ├── ArtifactError           a folder that is damaged, or not what it should be
    └── StorageError            the disk is full, or cannot be written

A message is one line: what was passed, what it conflicts with, what to do. The command line prints
it and leaves with the class's `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ArtifactError",
    "BriefError",
    "DatasetError",
    "GateFailed",
    "InputError",
    "ModelError",
    "NonFiniteLoss",
    "OnbrandError",
    "OutOfMemory",
    "PackError",
    "PictureError",
    "PromptError",
    "RecipeError",
    "StorageError",
    "TrainingError",
    "WeightsError",
    "counted",
    "instead",
    "nearest",
]


class OnbrandError(Exception):
    """Anything that onbrand raises on purpose; `exit_code` is what the command line leaves with."""

    exit_code: int = 1


class InputError(OnbrandError):
    """What the user passed cannot be used as it is."""

    exit_code = 2


class BriefError(InputError):
    """brief.toml is missing, is no TOML, or says something that cannot be."""


class RecipeError(InputError):
    """A recipe is missing, is no TOML, or has unknown or conflicting settings."""


class PictureError(InputError):
    """One picture file cannot be read safely."""


class DatasetError(InputError):
    """The pictures as a whole cannot be learned from or measured on."""


class PromptError(InputError):
    """A prompt is empty or does not match its seeds."""


class ModelError(OnbrandError):
    """The base model or an adapter cannot be used."""


class PackError(ModelError):
    """There is no such pack, no pipeline at that place, or a role is missing."""


class WeightsError(ModelError):
    """Weights are a pickle, are damaged, or belong to another model."""


class TrainingError(OnbrandError):
    """Training ended before its job was done."""


class GateFailed(TrainingError):
    """A stage missed its gate. Everything trained so far is saved."""

    exit_code = 3


class NonFiniteLoss(TrainingError):
    """The loss or its gradient became NaN or infinite; the message names step and pictures."""


class OutOfMemory(TrainingError):
    """The machine or its card has no memory left; the message says what to lower."""


class ArtifactError(OnbrandError):
    """A folder is damaged, or is not the kind of artifact that was asked for."""


class StorageError(OnbrandError):
    """The disk is full, read-only, or a folder may not be written."""


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that `word` was most likely meant to be; None when nothing is close.

    By difflib's ratio with a cutoff of 0.6, case ignored.
    """
    by_lower = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def instead(word: str, choices: Iterable[str]) -> str:
    """Advice for an unknown word: the nearest choice, or all of them."""
    guess = nearest(word, choices)
    return f"did you mean {guess!r}?" if guess else f"there are {', '.join(choices)}"


def counted(num: int, noun: str) -> str:
    """The number with its noun: "1 picture", "1,200 pictures"."""
    return f"{num:,} {noun}" if num == 1 else f"{num:,} {noun}s"
