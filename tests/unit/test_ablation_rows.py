"""The ablation's rows against the recipes that the package ships."""

from __future__ import annotations

import pytest
import tomlkit

from onbrand.bench.ablation.rows import RECIPES_OWN, ROWS, recipe_of
from onbrand.recipe import Recipe, recipe_file


@pytest.mark.parametrize("name", ["demo", "mascot"])
def test_the_row_that_is_called_the_recipe_is_the_recipe(name: str) -> None:
    """Its second stage has the recipe's own losses and steps."""
    told = recipe_file(name).read_text(encoding="utf-8")
    row = Recipe.model_validate(tomlkit.parse(recipe_of(ROWS[RECIPES_OWN], told)).unwrap())
    assert row.stage[1].losses == Recipe.load(name).stage[1].losses
    assert row.stage[1].num_steps == Recipe.load(name).stage[1].num_steps


def test_rows_see_as_many_pictures_as_the_recipe() -> None:
    """A picture of the class is one, too, whether the recipe has such pictures or the row."""
    told = recipe_file("demo").read_text(encoding="utf-8")
    plain = "losses = { perceptual = 0.5, identity = 0.5"
    beside = told.replace(plain, f"{plain}, prior = 0.3").replace(
        "num_steps = 60 ", "num_steps = 30 "
    )
    names = ("reconstruction", "class", "both", "prior")
    for given in (told, beside):
        rows = {name: tomlkit.parse(recipe_of(ROWS[name], given)).unwrap() for name in names}
        steps = {name: row["stage"][1]["num_steps"] for name, row in rows.items()}
        assert steps == {"reconstruction": 60, "class": 30, "both": 60, "prior": 30}
