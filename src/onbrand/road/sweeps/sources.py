"""Where a sweep's axes come from: a sweep.toml, or words on the command line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from onbrand.errors import InputError
from onbrand.recipe.settings import Settings
from onbrand.road.sweeps.settings import Axis, Value, written
from onbrand.toml import explain, read_toml

__all__ = ["SweepFile", "axis_of", "example_sweep", "load_sweep_file", "parse_words", "words_of"]


@dataclass(frozen=True)
class SweepFile:
    """A sweep.toml: its axes and, when only some combinations are wanted, how many and which."""

    axes: tuple[Axis, ...]
    num_random: int | None = None
    seed: int | None = None


def example_sweep() -> str:
    """A commented sweep.toml to begin from."""
    return (Path(__file__).parent / "sweep.toml").read_text("utf-8")


def parse_words(words: Iterable[str]) -> list[Axis]:
    """Axes from the command line: "PATH=VALUE,VALUE". A value is read as TOML (1e-4, true), else as
    text. Texts that hold a comma go into a TOML list: prompt.style=["flat, bold", ""].

    Raises `InputError` for a word without a path, a path given twice, an empty value outside of a
    list, or a list that is no TOML.
    """
    axes: list[Axis] = []
    for word in words:
        path, sign, text = word.partition("=")
        path, text = path.strip(), text.strip()
        if not sign or not path:
            raise InputError(
                f"--set {word!r} names no values: write it as PATH=VALUE,VALUE, such as "
                "lora.rank=8,16"
            )
        if any(axis.path == path for axis in axes):
            raise InputError(f"{path} is given twice: name all its values in one place")
        if text.startswith("["):
            values = _toml(f"values = {text}", word)["values"]
            axes.append(axis_of(path, values, "--set"))
        else:
            parts = [part.strip() for part in text.split(",")] if text else []
            if "" in parts:
                raise InputError(
                    f"--set {word!r} has an empty value: leave the comma out, or write a list "
                    'where no words are meant, such as prompt.style=["", "flat sticker"]'
                )
            axes.append(axis_of(path, [_scalar(part) for part in parts], "--set"))
    return axes


def _toml(text: str, word: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise InputError(f"--set {word!r} is no list as TOML has it: {fault}") from fault


def _scalar(text: str) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return value if isinstance(value, Value) else text


def words_of(axis: Axis) -> str:
    """The axis as a word that `parse_words` reads back."""
    texts = [_written(value) for value in axis.values]
    plain = all(not isinstance(v, str) or (_scalar(v) == v and v == v.strip()) for v in axis.values)
    if plain and "" not in texts and not any(set(text) & set(",[=") for text in texts):
        return f"{axis.path}={','.join(texts)}"
    return f"{axis.path}={json.dumps(list(axis.values), ensure_ascii=False)}"


def _written(value: Value) -> str:
    """A value as TOML reads it; a text as it is."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool) else written(value)


def load_sweep_file(path: Path) -> SweepFile:
    """The axes under [set] of a TOML file, and its `random` and `seed`.

    Raises `InputError` for a missing file, no TOML, or anything else in it.
    """
    tables = read_toml(path, InputError)
    try:
        read = _File.model_validate(tables)
    except ValidationError as fault:
        raise InputError(f"{path}: {explain(fault, _File)}") from fault
    axes = tuple(axis_of(at, values, str(path)) for at, values in _leaves(read.set, ""))
    return SweepFile(axes, read.random, read.seed)


class _File(Settings):
    """A file of settings to try."""

    set: dict[str, Any]
    random: int | None = Field(default=None, ge=1)
    seed: int | None = Field(default=None, ge=0)


def _leaves(table: Mapping[str, Any], above: str) -> Iterable[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def axis_of(path: str, values: Any, source: str) -> Axis:
    """Each value once, in its order; one value alone need not be a list. Raises `InputError`, which
    names the `source`, for what is no value."""
    many = isinstance(values, Sequence) and not isinstance(values, str)
    listed = list(values) if many else [values]
    for value in listed:
        if not isinstance(value, Value):
            raise InputError(
                f"{source}: {path} = {value!r} is neither a number, a text nor true or false"
            )
    kept: dict[tuple[bool, Value], Value] = {}
    for value in listed:  # 8.0 is 8, but true is not 1
        kept.setdefault((isinstance(value, bool), value), value)
    return Axis(path, tuple(kept.values()))
