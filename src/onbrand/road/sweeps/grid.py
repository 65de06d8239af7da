"""Axes become combinations: all of them, or some drawn at random."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from pydantic import ValidationError

from onbrand.errors import InputError, RecipeError
from onbrand.recipe import Recipe
from onbrand.road.sweeps.settings import (
    DRAWING_PATHS,
    Axis,
    Drawing,
    Value,
    with_settings,
    written,
)
from onbrand.toml import explain

__all__ = ["Combination", "combine", "label_of", "said", "short_names"]

MOST_COMBINATIONS = 10_000


@dataclass(frozen=True)
class Combination:
    """One value of each axis: `number` counts from 1, in the grid's order, the last axis running
    fastest. `recipe` is what it trains with, `drawing` how its pictures are drawn; `refused` says
    why the recipe cannot be so ("" when it can)."""

    number: int
    settings: Mapping[str, Value]
    label: str
    recipe: Recipe
    drawing: Drawing
    refused: str = ""

    @property
    def training(self) -> dict[str, Value]:
        """The settings that training reads."""
        return {path: v for path, v in self.settings.items() if path not in DRAWING_PATHS}


def combine(
    axes: Sequence[Axis],
    recipe: Recipe,
    drawing: Drawing,
    *,
    num_random: int | None = None,
    seed: int = 7,
) -> list[Combination]:
    """The grid of the axes, or `num_random` different combinations of it (all, if it has fewer).

    `recipe` and `drawing` hold every setting that no axis names. A combination that the recipe
    refuses is among them, and says why. Raises `InputError` for an impossible number.
    """
    size = prod(len(axis.values) for axis in axes)
    if num_random is not None and num_random < 1:
        raise InputError(f"{num_random} combinations at random: ask for one at least")
    numbers = range(size)
    if num_random is not None and num_random < size:
        chosen: Sequence[int] = sorted(random.Random(seed).sample(numbers, num_random))
    else:
        chosen = numbers
    if len(chosen) > MOST_COMBINATIONS:
        raise InputError(
            f"{size:,} combinations are more than anyone looks at: name fewer values, or take "
            "some at random (--random 50)"
        )
    names = short_names(axes)
    return [
        _combination(number, _settings(axes, index), names, recipe, drawing)
        for number, index in enumerate(chosen, 1)
    ]


def _settings(axes: Sequence[Axis], index: int) -> dict[str, Value]:
    """The values of the grid's cell `index`: mixed-radix digits, the last axis running fastest."""
    settings: dict[str, Value] = {}
    for axis in reversed(axes):
        index, digit = divmod(index, len(axis.values))
        settings[axis.path] = axis.values[digit]
    return {axis.path: settings[axis.path] for axis in axes}


def _combination(
    number: int,
    settings: Mapping[str, Value],
    names: Mapping[str, str],
    recipe: Recipe,
    drawing: Drawing,
) -> Combination:
    refused, trained = "", recipe
    changes = {DRAWING_PATHS[path]: v for path, v in settings.items() if path in DRAWING_PATHS}
    try:
        trained = with_settings(
            recipe, {path: v for path, v in settings.items() if path not in DRAWING_PATHS}
        )
    except RecipeError as fault:
        refused = str(fault)
    except ValidationError as fault:  # each value alone was fine: two of them conflict
        refused = explain(fault, Recipe)
    drawn = Drawing.model_validate({**drawing.model_dump(), **changes})
    return Combination(number, settings, label_of(settings, names), trained, drawn, refused)


def short_names(axes: Sequence[Axis]) -> dict[str, str]:
    """Path -> as few of its last words as tell it from the others: "learning rate"; a constant
    axis is left out, unless all are."""
    varied = [axis for axis in axes if len(axis.values) > 1] or list(axes)
    paths = [axis.path for axis in varied]
    names = {}
    for path in paths:
        parts = path.split(".")
        for count in range(1, len(parts) + 1):
            end = parts[-count:]
            if sum(other.split(".")[-count:] == end for other in paths) == 1:
                break
        names[path] = " ".join(end).replace("_", " ")
    return names


def label_of(settings: Mapping[str, Value], names: Mapping[str, str]) -> str:
    """What people read: "learning rate 0.0001 · batch size 8"."""
    return " · ".join(f"{name} {said(settings[path], path)}" for path, name in names.items())


def said(value: Value, path: str) -> str:
    """A value of the setting as people write it: 1e-4, 8, on; words in quotes, no words as none."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str):
        no_words = "the base's own" if path == "sample.sampler" else "none"
        return f"“{value}”" if value else no_words
    return written(value)
