"""Recipes load, count what they see, and refuse typos with the nearest name."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from onbrand.errors import RecipeError
from onbrand.recipe import Recipe, recipe_file, recipe_names

STAGE = '[[stage]]\nkind = "detail"\nnum_steps = 3\n'


def test_the_demo_keeps_its_promise() -> None:
    """recipes/demo.toml passes at most 2,000 pictures through the model, prior pictures counted."""
    demo = Recipe.load("demo")
    assert [stage.kind for stage in demo.stage] == ["appearance", "detail"]
    seen = sum(s.steps_for(20) * s.batch_size * (2 if s.weight("prior") else 1) for s in demo.stage)
    assert seen <= 2000


def test_a_recipe_is_told_alike_before_and_after_it_was_kept() -> None:
    """What a default is told as is told of the same value from a manifest: digests are alike."""
    (stage,) = tomllib.loads(STAGE)["stage"]
    gate = {"after": "detail", "metric": "identity", "at_least": 0.5}
    recipe = Recipe.model_validate({"stage": [stage], "gate": [gate]})
    kept = Recipe.model_validate(json.loads(recipe.model_dump_json()))
    assert json.dumps(kept.model_dump()) == json.dumps(recipe.model_dump())


@pytest.mark.parametrize("name", recipe_names())
def test_built_in_recipes_teach(name: str) -> None:
    """Every built-in recipe loads and comments nearly every line."""
    Recipe.load(name)
    text = recipe_file(name).read_text()
    assert text.startswith("#")
    assert text.count("#") >= 20
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize("name", ["demo", "mascot"])
def test_recipes_for_the_built_in_base_gate_identity(name: str) -> None:
    """After detail, by the built-in eyes."""
    (gate,) = Recipe.load(name).gate
    assert (gate.after, gate.metric, gate.not_worse) == (
        "detail",
        "identity",
        ["directional_alignment", "diversity"],
    )


def test_the_recipe_for_large_bases_is_made_for_them() -> None:
    """A tenth of the built-in base's rate, attention alone, one picture at a time."""
    (stage,), lora = (large := Recipe.load("large")).stage, large.lora
    assert stage.learning_rate == 1e-4
    assert stage.batch_size == stage.gradient_accumulation == 4
    assert lora.targets == "attention"
    assert large.gradient_checkpointing
    assert large.precision == "bfloat16"


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
        (STAGE + "losses = { prior = { weight = 1, max_timestep = 9 } }", "looks at no estimate"),
        (
            STAGE + "losses = { perceptual = { weight = 1, from_fraction = 0.5 } }",
            "from_fraction is the adversarial loss's",
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
        (STAGE + "min_snr_gamma = -1", r"min_snr_gamma = -1: should be 0 \(off\)"),
        (STAGE + 'min_snr_gamma = "of"', "min_snr_gamma = 'of': should be 0"),
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
    with pytest.raises(RecipeError, match=r"'mascott', nor a \.toml file there: did you mean"):
        Recipe.load("mascott")
    with pytest.raises(RecipeError, match="no recipe file"):
        Recipe.load(tmp_path / "mine.toml")


def test_what_keys_there_are_is_told_once(tmp_path: Path) -> None:
    """Two unknown keys that resemble none have one list behind them; a brief is called one."""
    file = tmp_path / "recipe.toml"
    file.write_text("xyzzy = 1\nplugh = 2\n" + STAGE)
    with pytest.raises(RecipeError) as raised:
        Recipe.load(file)
    assert "unknown key 'xyzzy'" in str(raised.value)
    assert "unknown key 'plugh'" in str(raised.value)
    assert str(raised.value).count("there are") == 1
    file.write_text('name = "Kuro"\nsubject = "fox"\n')
    with pytest.raises(RecipeError, match="is a brief, not a recipe"):
        Recipe.load(file)


def test_zero_turns_min_snr_off(tmp_path: Path) -> None:
    """TOML has no null: min_snr_gamma = 0 is none."""
    file = tmp_path / "recipe.toml"
    file.write_text(STAGE + "min_snr_gamma = 0")
    assert Recipe.load(tmp_path).stage[0].min_snr_gamma is None


GATE = '[[gate]]\nafter = "detail"\n'


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ('metric = "validation_los"\nat_most = 1', "did you mean 'validation_loss'"),
        ('metric = "validation_loss"\nat_least = 1', "less is better: give it at_most"),
        ('metric = "identity"\nat_most = 1', "more is better: give it at_least"),
        ('metric = "identity"', "give it at_least"),
        ('metric = "oiliness"\nat_most = 1\nat_least = 0', "and no at_least"),
        ('metric = "identity"\nat_least = 1\n[gate.fallback]\n', "changes nothing"),
        (
            'metric = "identity"\nat_least = 1\nfallback = { losses = { percept = 1 } }',
            "no loss named 'percept'.*'perceptual'",
        ),
        (
            'metric = "identity"\nat_least = 1\nfallback = { lerning_rate = 1e-4 }',
            "lerning_rate.*'learning_rate'",
        ),
        ('metric = "oiliness"\nat_most = 1.2\nof_base = true', "a difference.*without of_base"),
        ('metric = "prior_drift"\nat_most = 2\nof_base = true', "how far from the base.*of_base"),
        (
            'metric = "diversity"\nat_least = 0.1\n[validation]\nnum_per_prompt = 1',
            "pictures of one prompt.*num_per_prompt is 1",
        ),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(tmp_path: Path, toml: str, says: str) -> None:
    """Wrong-sided bounds, unknown metrics, fallbacks that change nothing: each says what to do."""
    path = tmp_path / "recipe.toml"
    path.write_text(STAGE + GATE + toml, "utf-8")
    with pytest.raises(RecipeError, match=says):
        Recipe.load(path)


def test_an_early_stop_reads_a_known_metric(tmp_path: Path) -> None:
    """A misspelt stop_metric is refused with the nearest valid name."""
    path = tmp_path / "recipe.toml"
    path.write_text('[validation]\nstop_metric = "identty"\n' + STAGE, "utf-8")
    with pytest.raises(RecipeError, match="did you mean 'identity'"):
        Recipe.load(path)


def test_fallbacks_are_read_in_order_and_change_a_stage(tmp_path: Path) -> None:
    """One table or several; what they do not name stays; they survive a manifest."""
    stage = "losses = { perceptual = 0.5, identity = 0.2 }\n"
    gate = GATE + 'metric = "identity"\nat_least = 0.5\n'
    path = tmp_path / "recipe.toml"
    path.write_text(
        STAGE + stage + gate + "[[gate.fallback]]\nlearning_rate = 5e-5\n"
        "[[gate.fallback]]\nnum_steps = 9\nlosses = { identity = 0.6 }\n",
        "utf-8",
    )
    recipe = Recipe.load(path)
    first, second = recipe.gate[0].fallback
    assert first.changes() == {"learning_rate": 5e-5}
    changed = second.applied(recipe.stage[0])
    assert [changed.weight(name) for name in ("perceptual", "identity")] == [0.5, 0.6]
    assert (changed.num_steps, changed.learning_rate) == (9, recipe.stage[0].learning_rate)
    again = Recipe.model_validate_json(recipe.model_dump_json())
    assert [f.changes() for f in again.gate[0].fallback] == [first.changes(), second.changes()]
    path.write_text(STAGE + gate + "[gate.fallback]\nlearning_rate = 5e-5\n", "utf-8")
    assert Recipe.load(path).gate[0].fallback == [first]
    assert recipe.reads("identity")
    assert not recipe.reads("prior_drift")


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": True},
        {"lora": {"rank": True}},
        {"lora": {"alpha": "16"}},
        {"stage": [{"kind": "detail", "num_steps": "300"}]},
        {"stage": [{"kind": "detail", "num_steps": 3, "augment": {"flip": "yes"}}]},
        {"stage": [{"kind": "detail", "num_steps": 3, "losses": {"perceptual": True}}]},
        {"gate": [{"after": "detail", "metric": "identity", "at_least": True}]},
    ],
)
def test_values_of_another_type_are_refused(wrong: dict[str, Any]) -> None:
    """A word for a number, or yes for a figure, is a slip; a whole number is a figure, too."""
    right = {"lora": {"alpha": 16}, "stage": [{"kind": "detail", "num_steps": 3}]}
    assert isinstance(Recipe.model_validate(right).lora.alpha, float)
    with pytest.raises(ValidationError, match="should be a valid"):
        Recipe.model_validate(right | wrong)
