"""What every table of a recipe is: typed, frozen, and without room for unknown names."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["Fraction", "Settings"]

Fraction = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """A table of a recipe."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        """1e2 is a number of steps, too."""
        return int(value) if isinstance(value, float) and value.is_integer() else value
