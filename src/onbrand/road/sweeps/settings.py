"""What a sweep can try: a setting's dotted path, and values for it.

stage.NAME.FIELD, lora.FIELD, prior.FIELD, seed, …   fields of the recipe: each value trains
sample.guidance, sample.num_steps, sample.sampler    how pictures are drawn
prompt.style, prompt.pose, prompt.negative           words added to the brief's prompts
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, ValidationError, field_validator

from onbrand.errors import InputError, RecipeError, nearest
from onbrand.files import is_utf8
from onbrand.models.samplers import check_sampler
from onbrand.recipe import STAGE_LOSSES, Recipe
from onbrand.recipe.settings import Settings

__all__ = [
    "Axis",
    "Drawing",
    "Value",
    "check_axes",
    "paths_of",
    "stage_names",
    "with_settings",
    "written",
]

Value = str | int | float | bool

SAME_FOR_ALL: Mapping[str, str] = {
    "base": "each base has eyes of its own to look through, so its figures compare with no other's",
    "validation": "combinations are compared on the validation pictures: change it in recipe.toml",
    "gate": "a gate trains nothing: it only says which runs failed",
}
"""Parts of the recipe that a sweep may not change, and why."""


class Drawing(Settings):
    """How a combination's pictures are drawn. `sampler` is a name of models.samplers, "" the base's
    own; the texts are words: see `words`."""

    guidance: float = Field(default=4.0, ge=1)
    num_steps: int = Field(default=20, ge=1, le=1000)
    sampler: str = ""
    style: str = ""
    pose: str = ""
    negative: str = ""

    @field_validator("sampler")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            check_sampler(name)
        except InputError as fault:  # pydantic gathers ValueErrors only
            raise ValueError(str(fault)) from fault
        return name

    @field_validator("style", "pose", "negative")
    @classmethod
    def _is_text(cls, words: str) -> str:
        if not is_utf8(words):
            raise ValueError("is no text in UTF-8")
        return words

    def words(self, text: str) -> str:
        """The brief's text with the pose's words before it (right behind the subject) and the
        style's after it, between commas."""
        return ", ".join(filter(None, [self.pose.strip(), text, self.style.strip()]))


DRAWING_PATHS: Mapping[str, str] = {
    **{f"sample.{name}": name for name in ("guidance", "num_steps", "sampler")},
    **{f"prompt.{name}": name for name in ("style", "pose", "negative")},
}
"""Path -> the field of `Drawing`."""


@dataclass(frozen=True)
class Axis:
    """One setting and the values to try, in order, each once."""

    path: str
    values: tuple[Value, ...]

    @property
    def trains(self) -> bool:
        """Whether each value needs a training of its own."""
        return self.path not in DRAWING_PATHS


def stage_names(recipe: Recipe) -> list[str]:
    """The stages as training names them: their kinds; a kind's second stage is "detail-2"."""
    kinds = [stage.kind for stage in recipe.stage]
    counts = [kinds[: index + 1].count(kind) for index, kind in enumerate(kinds)]
    return [k if n == 1 else f"{k}-{n}" for k, n in zip(kinds, counts, strict=True)]


def paths_of(recipe: Recipe) -> list[str]:
    """Every path that can be swept with this recipe."""
    found: list[str] = []
    for name in Recipe.model_fields:
        value = getattr(recipe, name)
        if name in SAME_FOR_ALL:
            continue
        if name == "stage":
            for stage, title in zip(recipe.stage, stage_names(recipe), strict=True):
                found += [f"stage.{title}.{inner}" for inner in _fields(stage)]
                found += [f"stage.{title}.losses.{loss}" for loss in STAGE_LOSSES[stage.kind]]
        elif isinstance(value, Settings):
            found += [f"{name}.{inner}" for inner in _fields(value)]
        else:
            found.append(name)
    return [*found, *DRAWING_PATHS]


def _fields(settings: Settings) -> list[str]:
    """Fields that hold one value; those of an inner table by their path; kinds stay as they are."""
    found: list[str] = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings):
            found += [f"{name}.{inner}" for inner in _fields(value)]
        elif not isinstance(value, Mapping) and name != "kind":
            found.append(name)
    return found


def with_settings(recipe: Recipe, settings: Mapping[str, Value]) -> Recipe:
    """The recipe with these training settings (paths of `paths_of`) in place of its own.

    Raises pydantic's ValidationError for a value that its field refuses, RecipeError for one that
    conflicts with the rest of the recipe.
    """
    tables = recipe.model_dump()
    names = stage_names(recipe)
    for path, value in settings.items():
        parts = path.split(".")
        at: Any = tables
        if parts[0] == "stage":
            at, parts = tables["stage"][names.index(parts[1])], parts[2:]
        for part in parts[:-1]:
            at = at[part]
        if isinstance(at.get(parts[-1]), dict):  # a loss with settings of its own keeps them
            at, parts = at[parts[-1]], ["weight"]
        at[parts[-1]] = value
    return Recipe.model_validate(tables)


def check_axes(axes: Sequence[Axis], recipe: Recipe) -> None:
    """Raises `InputError` for no axis at all, an unknown path (naming the nearest), a path given
    twice, no value, or a value that the setting refuses whatever the others are."""
    if not axes:
        raise InputError(
            "nothing to sweep: write sweep.toml into the brand's folder (onbrand sweep --example "
            "prints one), or name a setting:  --set stage.appearance.learning_rate=1e-4,5e-5"
        )
    known = paths_of(recipe)
    for axis in axes:
        if axis.path not in known:
            raise InputError(_unknown(axis.path, known))
        if sum(other.path == axis.path for other in axes) > 1:
            raise InputError(f"{axis.path} is given twice: name all its values in one place")
        if not axis.values:
            raise InputError(f"{axis.path} has no value to try: name one or more")
        for value in axis.values:
            _check_value(axis, value, recipe)


def _unknown(path: str, known: Sequence[str]) -> str:
    top = path.split(".")[0]
    if top in SAME_FOR_ALL:
        return f"{path} cannot be swept: {SAME_FOR_ALL[top]}"
    table, _, last = path.rpartition(".")
    beside = [one for one in known if table and one.startswith(f"{table}.")]
    by_last = {one.removeprefix(f"{table}."): one for one in beside}
    meant = [one for one in known if one.split(".")[-1] == last]  # right name, wrong place
    if close := nearest(last, by_last):
        meant = [by_last[close]]
    elif not meant and not beside and (close := nearest(path, known)):
        meant = [close]
    if meant:
        return f"no setting {path!r} to sweep: did you mean {' or '.join(map(repr, meant))}?"
    return f"no setting {path!r} to sweep: there are {', '.join(beside or known)}"


def _check_value(axis: Axis, value: Value, recipe: Recipe) -> None:
    try:
        if axis.trains:
            with_settings(recipe, {axis.path: value})
        else:
            Drawing.model_validate({DRAWING_PATHS[axis.path]: value})
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        said = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input ")
        raise InputError(f"{axis.path} = {value!r}: {said}") from fault
    except RecipeError:
        return  # it may fit with other values; each combination is asked anew


def written(value: float) -> str:
    """A number as recipes have it, 2.5e-4 or 0.5 or 8: short, but never another number's words."""
    if isinstance(value, int):
        return str(value)
    short = f"{value:g}"
    if 0 < abs(value) < 1e-2:
        mantissa, exponent = f"{value:.6e}".split("e")
        short = f"{float(mantissa):g}e{int(exponent)}"
    return short if float(short) == value else repr(value)
