"""The error tree, exit codes, near names, and events."""

from __future__ import annotations

import pytest

from onbrand import errors
from onbrand.errors import InputError, OnbrandError, instead, nearest
from onbrand.events import Finished, Noted, Started, silent

HELPERS = ("counted", "instead", "nearest")


def test_every_error_is_in_one_tree() -> None:
    """One `except OnbrandError` catches all that onbrand raises on purpose."""
    kinds = [getattr(errors, name) for name in errors.__all__ if name not in HELPERS]
    assert all(issubclass(kind, OnbrandError) for kind in kinds)


def test_wrong_input_leaves_with_two_and_the_rest_with_one() -> None:
    """The exit code tells a wrong call from a job that could not be done."""
    assert {name: getattr(errors, name).exit_code for name in ("RecipeError", "DatasetError")} == {
        "RecipeError": 2,
        "DatasetError": 2,
    }
    assert InputError.exit_code == 2
    assert errors.StorageError.exit_code == 1
    assert errors.GateFailed.exit_code == 3


def test_the_tree_drawn_in_the_file_is_the_real_one() -> None:
    """Every class is drawn in errors.py's docstring."""
    assert errors.__doc__ is not None
    for name in errors.__all__:
        assert name in HELPERS or name in errors.__doc__


@pytest.mark.parametrize(
    ("word", "meant"),
    [("lerning_rate", "learning_rate"), ("Learning_Rate", "learning_rate"), ("zebra", None)],
)
def test_nearest_finds_what_was_meant(word: str, meant: str | None) -> None:
    """A typo finds its name in any case; a strange word finds nothing."""
    assert nearest(word, ["learning_rate", "num_steps"]) == meant


def test_events_are_values() -> None:
    """Two events with the same facts are equal, and none can be changed."""
    assert Noted("kept") == Noted("kept")
    assert Finished("x").facts == {}
    with pytest.raises(AttributeError):
        Started("x").task = "y"
    silent(Noted("nobody hears"))


def test_an_unknown_word_is_answered_by_the_nearest_or_by_all() -> None:
    """One typing error away is meant; otherwise the choices are told."""
    assert instead("detial", ["detail", "appearance"]) == "did you mean 'detail'?"
    assert instead("x", ["detail", "appearance"]) == "there are detail, appearance"
