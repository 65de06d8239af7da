"""The recipe that a bench is given: made short by --quick, refused in a line where it is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from onbrand.bench import run_consistency
from onbrand.bench.characters import quick_recipe
from onbrand.bench.exam import Settings
from onbrand.errors import RecipeError
from onbrand.models.packs import Pack
from onbrand.recipe import Recipe, recipe_file

IN_EPOCHS = """
[[stage]]
kind = "appearance"
num_epochs = 2
batch_size = 8
gradient_accumulation = 4
"""


def test_quick_recipe_is_a_recipe_with_hardly_any_steps(tmp_path: Path) -> None:
    """What --quick trains with stays valid and keeps the stages and their losses."""
    file = tmp_path / "quick.toml"
    original = Recipe.load("demo")
    file.write_text(quick_recipe(recipe_file("demo").read_text("utf-8")), "utf-8")
    quick = Recipe.load(file)
    assert [s.kind for s in quick.stage] == [s.kind for s in original.stage]
    assert [s.losses for s in quick.stage] == [s.losses for s in original.stage]
    assert sum(s.steps_for(20) * s.batch_size for s in quick.stage) < 40
    assert quick.gate == []
    file.write_text(quick_recipe(IN_EPOCHS), "utf-8")
    assert Recipe.load(file).stage[0].num_steps == 3


def test_a_recipe_that_is_none_is_refused_in_a_line(tiny_pack: Pack, tmp_path: Path) -> None:
    """No TOML, or a setting that cannot be, is told before anything is trained, with --quick too;
    one with a byte order mark is read."""
    for text, told in (("[[stage]\nkind", "is no valid TOML"), ("seed = -1", "seed = -1")):
        file = tmp_path / "bad.toml"
        file.write_text(text, "utf-8")
        with pytest.raises(RecipeError, match=told):
            run_consistency(base=str(tiny_pack.root), quick=True, work=tmp_path, recipe=str(file))
    file.write_text("\ufeff" + IN_EPOCHS, "utf-8")
    _, settings = Settings.of(str(tiny_pack.root), str(file), quick=True)
    assert "num_epochs" not in settings.recipe
