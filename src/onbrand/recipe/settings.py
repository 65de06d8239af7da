"""What every table of a recipe is: typed, frozen, and without room for unknown names."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Fraction", "Settings"]

Fraction = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """A table of a recipe."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)
