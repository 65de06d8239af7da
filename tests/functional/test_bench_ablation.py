"""The ablation on a tiny pack: rows trained one from another, kept, compared by character."""

from __future__ import annotations

from pathlib import Path

import pytest

from onbrand.bench import row_tables, run_ablation, table
from onbrand.bench.ablation.rows import FIRST, ROWS, recipe_of
from onbrand.bench.ablation.score import summarise_rows
from onbrand.bench.ablation.words import GROUPS, looked_at, row_cells
from onbrand.bench.render import render_section
from onbrand.errors import InputError, RecipeError
from onbrand.events import Event, Noted
from onbrand.models.packs import Pack
from onbrand.recipe import Recipe, recipe_file


def recipes(tmp_path: Path) -> dict[str, Recipe]:
    made = {}
    for name, row in ROWS.items():
        file = tmp_path / f"{name}.toml"
        file.write_text(recipe_of(row, recipe_file("demo").read_text("utf-8")), "utf-8")
        made[name] = Recipe.load(file)
    return made


def seen(recipe: Recipe) -> int:
    """Pictures that pass through the model, prior pictures counted."""
    return sum(
        s.steps_for(20) * s.batch_size * (2 if s.weight("prior") else 1) for s in recipe.stage
    )


def test_a_row_differs_in_one_thing_from_the_row_it_is_compared_with(tmp_path: Path) -> None:
    """Every row stands behind the one it is compared with, sees as many pictures unless it has a
    stage more, and shares the stages that both have."""
    made = recipes(tmp_path)
    for place, (name, row) in enumerate(ROWS.items()):
        assert made[name].gate == []
        if name in (FIRST, "all"):  # all that helped, together
            continue
        assert row.against in list(ROWS)[:place]
        own, other = made[name], made[row.against]
        if len(own.stage) == len(other.stage):
            assert seen(own) == seen(other), name
        changed = [a != b for a, b in zip(own.stage, other.stage, strict=False)]
        ways = own.identity.mode != other.identity.mode
        longer = len(own.stage) != len(other.stage)
        head = own.stage[0].head_weight != other.stage[0].head_weight
        assert (sum(changed) if not head else 1) + ways + longer == 1, name
        assert not changed[0] or head


def test_rows_are_trained_from_one_another_and_kept(tiny_pack: Pack, tmp_path: Path) -> None:
    """A row keeps the stages of the row it is compared with; a second run trains nothing; rows that
    nobody asked for are not trained."""
    told: list[Event] = []
    settings = {
        "base": str(tiny_pack.root), "quick": True, "work": tmp_path, "num_characters": 1,
        "rows": ("perceptual",),
    }  # fmt: skip
    found = run_ablation(**settings, emit=told.append, json_path=tmp_path / "ablation.json")
    assert list(found["rows"]) == [FIRST, "reconstruction", "perceptual"]
    kept = [event for event in told if isinstance(event, Noted) and "kept: " in event.message]
    assert len(kept) == 2
    row = found["rows"]["perceptual"]
    assert row["against"] == "reconstruction"
    both = row["metrics"]["identity"]["value"], found["rows"]["reconstruction"]["metrics"]
    assert row["differences"]["identity"]["value"] == pytest.approx(
        both[0] - both[1]["identity"]["value"]
    )
    assert set(found["baselines"]) == {FIRST, "base", "prompt_only", "real"}
    assert {"expression_fraction", "pose_fraction"} <= set(found["metrics"])

    again: list[Event] = []
    assert run_ablation(**settings, emit=again.append)["rows"] == found["rows"]
    assert not any(isinstance(event, Noted) for event in again)
    assert "What each brings" in render_section(found)
    assert found["ids"] == [100]
    assert "The consistency bench grades others." in render_section(found)
    before = {name: fact for name, fact in found.items() if name != "ids"}
    assert "This result is of before they were others" in render_section(before)
    assert [table.title for table in row_tables(found)] == list(GROUPS)
    with pytest.raises(InputError, match="no row poze"):
        run_ablation(**{**settings, "rows": ("poze",)})


def test_a_recipe_without_the_rows_stages_is_refused_at_once(
    tiny_pack: Pack, tmp_path: Path
) -> None:
    """One line names the stage that is missing, or counted in epochs, before a row is trained."""
    detail = '[[stage]]\nkind = "detail"\n'
    first = '[[stage]]\nkind = "appearance"\nnum_steps = 2\n'
    for number, (text, told) in enumerate(
        (
            (f"{detail}num_steps = 2\n", "'appearance' with num_steps; the recipe has detail"),
            (first, "'detail' with num_steps; the recipe has appearance"),
            (f"{first}{detail}num_epochs = 2\n", "the recipe has one with num_epochs"),
        )
    ):
        file, work = tmp_path / f"{number}.toml", tmp_path / "work"
        file.write_text(text, "utf-8")
        with pytest.raises(RecipeError, match=told):
            run_ablation(
                base=str(tiny_pack.root), work=work, recipe=str(file), rows=("reconstruction",)
            )
        assert not work.exists()


def test_a_difference_is_marked_where_it_is_sure() -> None:
    """▲ where the interval by character leaves out 0 for the better, ▼ for the worse; a figure that
    few characters have gets neither, and what chance alone would mark is said."""
    worn = {"outfit_identity": 0.5}
    rows = {name: ROWS[name] for name in (FIRST, "reconstruction")}
    records = [
        {
            "id": n, "seconds": 1.0,
            "rows": {
                FIRST: {
                    "identity": 0.5 + n / 10, "alignment": 0.9, "pose_fraction": 0.5, **worn,
                },
                "reconstruction": {
                    "identity": 0.6 + n / 10 + n / 100, "alignment": 0.9 + (-1) ** n / 10,
                    "pose_fraction": 0.25,
                    **({"outfit_identity": 0.6} if n < 5 else {}),
                },
            },
            "beside": {arm: {"identity": 0.4} for arm in ("base", "prompt_only", "real")},
        }
        for n in range(6)
    ]  # fmt: skip
    found = summarise_rows(records, rows, seed=0)
    first, second = row_cells(found, GROUPS["What each brings"])
    assert first[2:] == ["0.75", "0.900", "50\u202f%"]
    assert second[0].startswith("reconstruction (")
    assert second[2].startswith("+0.125 (")
    assert second[2].endswith("▲")
    assert not second[3].endswith(("▲", "▼"))
    assert second[4] == "−25 (−25 to −25) ▼"
    assert row_cells(found, GROUPS["Part by part"])[1][2:] == ["+0.100 (of 5)"]
    assert row_cells(found, GROUPS["Part by part"], brief=True)[1][2:] == ["+0.100"]
    told = found["rows"]["reconstruction"]["differences"]
    assert [told[name]["num"] for name in ("identity", "outfit_identity")] == [6, 5]
    assert looked_at(found, GROUPS["What each brings"]).startswith("3 intervals: ")
    assert looked_at(found, GROUPS["Part by part"]).startswith("0 intervals: ")
    assert "|  | Reconstruction | Appearance |" in render_section(found)


def test_the_first_table_is_of_the_recipe_or_names_its_row() -> None:
    """The recipe as it is goes by onbrand, wherever it stands; without it the last row is named."""
    arms = {arm: {"identity": 0.4} for arm in ("base", "prompt_only", "real")}
    names = (FIRST, "reconstruction", "both", "prior", "head")
    told = {name: {"identity": 0.1 * n} for n, name in enumerate(names)}
    records = [{"id": 0, "seconds": 1.0, "rows": told, "beside": arms}]
    for asked, title in ((names, "onbrand"), (names[:2], "Reconstruction")):
        found = summarise_rows(records, {name: ROWS[name] for name in asked}, seed=0)
        assert f"|  | {title} | Appearance |" in render_section(found)
        assert [column.header for column in table(found).columns][1] == title


@pytest.mark.parametrize(("num", "by_chance"), [(6, 14), (7, 13), (16, 8), (99, 6)])
def test_fewer_characters_let_chance_mark_more(num: int, by_chance: int) -> None:
    """A hundred differences of six characters, and of more: intervals of few are too narrow."""
    change = {"value": 0.1, "interval": [0.0, 0.2], "num": num, "better": "higher"}
    row = {"metrics": {"identity": change}, "differences": {"identity": change}}
    found = {"rows": {str(n): row for n in range(100)}}
    told = f"100 intervals: chance alone would mark about {by_chance} of them."
    assert looked_at(found, ["identity"]) == told
