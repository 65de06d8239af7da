"""Recipes load, count what they see, and refuse typos with the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from onbrand.errors import RecipeError
from onbrand.recipe import Recipe, recipe_file, recipe_names

STAGE = '[[stage]]\nkind = "detail"\nnum_steps = 3\n'


def test_the_demo_keeps_its_promise() -> None:
    """recipes/demo.toml passes at most 2,000 pictures through the model, prior pictures counted."""
    demo = Recipe.load("demo")
    assert [stage.kind for stage in demo.stage] == ["appearance", "detail"]
    assert demo.num_pictures_seen(20) == sum(
        s.steps_for(20) * (s.batch_size + (s.batch_size if "prior" in s.losses else 0))
        for s in demo.stage
    )
    assert demo.num_pictures_seen(20) <= 2000


@pytest.mark.parametrize("name", recipe_names())
def test_built_in_recipes_teach(name: str) -> None:
    """Every built-in recipe loads, gates identity after detail, and comments nearly every line."""
    recipe = Recipe.load(name)
    (gate,) = recipe.gate
    assert (gate.after, gate.metric, gate.not_worse) == (
        "detail",
        "identity",
        ["alignment", "diversity"],
    )
    text = recipe_file(name).read_text()
    assert text.startswith("#")
    assert text.count("#") >= 20
    assert max(map(len, text.splitlines())) <= 110


def test_a_recipe_survives_json() -> None:
    """What a manifest stores of a recipe reads back equal."""
    for name in recipe_names():
        recipe = Recipe.load(name)
        assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        (STAGE + "lerning_rate = 1e-4", r"stage\[1\]\.lerning_rate.*'learning_rate'"),
        (STAGE + "augment = { flop = true }", r"augment\.flop'.*'flip'"),
        ("[lora]\nrankk = 3\n" + STAGE, r"lora\.rankk.*'rank'"),
        ("sed = 3\n" + STAGE, "unknown key 'sed'.*'seed'"),
        ('[[stage]]\nkind = "detial"\nnum_steps = 1', "did you mean 'detail'"),
        (STAGE + "losses = { percept = 0.1 }", "no loss named 'percept'.*'perceptual'"),
        (
            '[[stage]]\nkind = "appearance"\nnum_steps = 1\nlosses = { identity = 1 }',
            "belongs to a stage of kind 'detail'",
        ),
        (
            STAGE + '[[gate]]\nafter = "detials"\nmetric = "identity"\nat_least = 1',
            "no stage of the recipe.*'detail'",
        ),
        (
            STAGE + '[[gate]]\nafter = "detail"\nmetric = "identty"\nat_least = 1',
            "reads 'identty'.*'identity'",
        ),
        (STAGE + "learning_rate = -1", "greater than 0"),
        (STAGE + "learning_rate = nan", r"learning_rate = nan"),
        ("resolution_px = 100\n" + STAGE, "multiple of 8"),
        ("", "'stage' is missing"),
        ("stage = [", "no valid TOML"),
    ],
)
def test_a_wrong_recipe_is_one_line_that_helps(tmp_path: Path, toml: str, says: str) -> None:
    """Each mistake names the file and the key, and offers what was likely meant."""
    file = tmp_path / "recipe.toml"
    file.write_text(toml)
    with pytest.raises(RecipeError, match=says) as raised:
        Recipe.load(file)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_unknown_recipe_offers_the_nearest(tmp_path: Path) -> None:
    """A misspelt name and a missing file are told apart."""
    with pytest.raises(RecipeError, match="did you mean 'mascot'"):
        Recipe.load("mascott")
    with pytest.raises(RecipeError, match="no recipe file"):
        Recipe.load(tmp_path / "mine.toml")


def test_zero_turns_min_snr_off(tmp_path: Path) -> None:
    """TOML has no null: min_snr_gamma = 0 is none."""
    file = tmp_path / "recipe.toml"
    file.write_text(STAGE + "min_snr_gamma = 0")
    assert Recipe.load(tmp_path).stage[0].min_snr_gamma is None
