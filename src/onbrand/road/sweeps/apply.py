"""Training settings written into a recipe.toml that keeps its comments and its order."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from onbrand.errors import RecipeError
from onbrand.files import write_text_atomic
from onbrand.recipe import Recipe
from onbrand.road.sweeps.settings import Value, stage_names, written
from onbrand.toml import explain, read_toml

__all__ = ["apply_to_recipe"]


def apply_to_recipe(path: Path, settings: Mapping[str, Value]) -> None:
    """Puts each value where its path says (stage.detail.batch_size is the batch_size of the
    [[stage]] of that kind); a comment behind a value stays, a setting that was not there is added.

    Nothing is written unless the whole is a valid recipe. Raises `RecipeError` when it would not
    be or has lost a stage that a path names, `StorageError` when it cannot be written.
    """
    import tomlkit

    read_toml(path, RecipeError)  # says what is wrong with the file in its own words
    names = stage_names(Recipe.load(path))
    before = path.read_bytes().decode("utf-8-sig")
    document: Any = tomlkit.parse(before)
    for at, value in settings.items():
        parts = at.split(".")
        table = document
        if parts[0] == "stage":
            if parts[1] not in names:
                raise RecipeError(
                    f"{path} has no stage {parts[1]} any more: put it back, or sweep what is there"
                )
            table, parts = document["stage"][names.index(parts[1])], parts[2:]
        _put(table, parts, value)
    text = tomlkit.dumps(document)
    if "\r\n" in before:  # lines that are new end as the others do
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    _check(path, text)
    write_text_atomic(path, text)


def _put(table: Any, parts: list[str], value: Value) -> None:
    """Sets table[a][b] = value; a table that is missing on the way is made, inline in a stage."""
    import tomlkit

    for part in parts[:-1]:
        if part not in table:
            top = isinstance(table, tomlkit.TOMLDocument)
            table[part] = tomlkit.table() if top else tomlkit.inline_table()
        table = table[part]
    if isinstance(table.get(parts[-1]), Mapping):  # a loss with settings of its own keeps them
        table, parts = table[parts[-1]], ["weight"]
    name, item = parts[-1], _item(value)
    table[name] = item


def _item(value: Value) -> Any:
    """As people write it: 1e-4 rather than 0.0001."""
    import tomlkit

    return tomlkit.value(written(value)) if isinstance(value, float) else tomlkit.item(value)


def _check(path: Path, text: str) -> None:
    try:
        Recipe.model_validate(tomllib.loads(text))
    except ValidationError as fault:
        raise RecipeError(f"{path}: {explain(fault, Recipe)}") from fault
