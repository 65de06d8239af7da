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


def test_numbers_may_be_written_either_way() -> None:
    """1e2 steps are a hundred; true is no number of anything, of training or of drawing."""
    recipe = Recipe.load("demo")
    check_axes([Axis("stage.appearance.num_steps", (1e2, 2e2))], recipe)
    for path in ("stage.appearance.num_steps", "sample.num_steps", "sample.guidance"):
        with pytest.raises(InputError, match="should be a valid"):
            check_axes([Axis(path, (True,))], recipe)
