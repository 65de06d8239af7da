"""What every table of a recipe is: typed, frozen, and without room for unknown names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from onbrand.errors import nearest

__all__ = ["Fraction", "Settings", "instead"]

Fraction = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """A table of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def instead(word: str, choices: Iterable[str]) -> str:
    """Advice for an unknown word: the nearest choice, or all of them."""
    guess = nearest(word, choices)
    return f"did you mean {guess!r}?" if guess else f"there are {', '.join(choices)}"
