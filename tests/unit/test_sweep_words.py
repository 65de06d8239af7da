"""Words that a sweep adds to prompts."""

from __future__ import annotations

import pytest

from onbrand.errors import InputError
from onbrand.recipe import Recipe
from onbrand.road.sweeps.settings import Axis, check_axes


@pytest.mark.parametrize("field", ["style", "pose", "negative"])
def test_words_that_are_no_text_are_refused(field: str) -> None:
    """Before anything is drawn or written: half a character cannot be written down."""
    axis = Axis(f"prompt.{field}", ("flat", "caf\udce9"))
    with pytest.raises(InputError, match="is no text in UTF-8"):
        check_axes([axis], Recipe.load("demo"))
