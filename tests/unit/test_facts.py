"""What run.json holds of a run: each setting that decides weights or figures, and no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from brand_folder import tiny_brief, tiny_dataset, tiny_recipe

from onbrand.generation import sample
from onbrand.models.packs import Pack
from onbrand.recipe import Recipe
from onbrand.training.facts import open_history
from onbrand.training.history import History
from onbrand.training.session import Session
from onbrand.training.stages import open_session, plan


@pytest.fixture(scope="module")
def session(tiny_pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Session:
    root = tmp_path_factory.mktemp("facts")
    return open_session(
        tiny_dataset(root / "brand"), tiny_brief(), tiny_recipe(), tiny_pack, root / "m",
        "onbrand", None, sample, lambda pictures, texts: {}, lambda event: None,
    )  # fmt: skip


def opened(session: Session, root: Path, arm: str = "onbrand", rate: float = 1e-3) -> History:
    """What a folder of its own is told that it depends on."""
    root.mkdir()
    plans = plan(session.dataset, session.recipe)
    return open_history(replace(session, root=root), plans, arm, rate)


def changed(one: History, other: History) -> set[str]:
    """Names of what differs."""
    keys = one.trains.keys() | other.trains.keys()
    found = {key for key in keys if one.trains.get(key) != other.trains.get(key)}
    stages = zip(one.stages, other.stages, strict=True)
    found |= {f"stage {i}" for i, (a, b) in enumerate(stages, 1) if a != b}
    return found | ({"looks"} if one.looks != other.looks else set())


def with_stage(number: int, **changes: Any) -> dict[str, Any]:
    """The tiny recipe's stages, that one changed."""
    stages = [stage.model_dump() for stage in tiny_recipe().stage]
    stages[number - 1] |= changes
    return {"stage": stages}


def with_look(**changes: Any) -> dict[str, Any]:
    return {"validation": tiny_recipe().validation.model_dump() | changes}


STOP = {"stop_every": 2, "stop_metric": "validation_loss"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        ({"seed": 8}, {"recipe"}),
        ({"precision": "auto"}, {"recipe"}),
        ({"optimizer": "adamw8bit"}, {"recipe"}),
        ({"lora": {"rank": 2, "alpha": 3}}, {"recipe"}),
        ({"identity": {"mode": "none", "train": False}}, {"recipe"}),
        ({"identity": {"mode": "tokens"}}, {"recipe", "identity"}),
        ({"prior": {"num_pictures": 3, "weight": 0.5}}, {"recipe"}),
        ({"gradient_checkpointing": True}, set()),
        ({"gate": [{"after": "detail", "metric": "identity", "at_least": 0.4}]}, set()),
        (with_look(num_prompts=1), {"looks", "stage 2"}),
        (with_look(num_steps=3), {"looks", "stage 2"}),
        (with_look(guidance=3.0), {"looks", "stage 2"}),
        (with_look(**STOP), {"looks", "stage 1", "stage 2"}),
        (with_stage(1, learning_rate=2e-2), {"stage 1"}),
        (with_stage(2, loss_max_timestep=500), {"stage 2"}),
        (with_stage(2, gradient_accumulation=2), set()),
        (with_stage(1, head_weight=1.0), set()),
        (with_stage(1, head_weight=3.0), {"stage 1"}),
    ],
)
def test_a_setting_changes_what_depends_on_it(
    session: Session, tmp_path: Path, changes: dict[str, Any], expected: set[str]
) -> None:
    """Weights of all stages, of one, or figures alone; what decides neither changes nothing."""
    before = opened(session, tmp_path / "before")
    recipe: Recipe = tiny_recipe(**changes)
    after = opened(replace(session, recipe=recipe), tmp_path / "after")
    assert changed(before, after) == expected


def test_the_size_changes_all_that_is_drawn(session: Session, tmp_path: Path) -> None:
    """Weights, figures, and the class pictures of the stage that keeps its prior."""
    before = opened(session, tmp_path / "before")
    after = opened(replace(session, size_px=session.pack.num_px * 2), tmp_path / "after")
    assert changed(before, after) == {"size", "looks", "stage 2"}


def test_words_that_pictures_are_told_by_change_all(session: Session, tmp_path: Path) -> None:
    """The trigger stands in every prompt; the brand's name in none."""
    before = opened(session, tmp_path / "before")
    for number, (field, expected) in enumerate((("trigger", {"brief"}), ("name", set()))):
        brief = tiny_brief().model_copy(update={field: "other"})
        after = opened(replace(session, brief=brief), tmp_path / f"after {number}")
        assert changed(before, after) == expected


def test_each_arm_trains_its_own(session: Session, tmp_path: Path) -> None:
    """A baseline takes nothing over from the stages."""
    before = opened(session, tmp_path / "before")
    after = opened(session, tmp_path / "after", arm="dreambooth_lora")
    assert "recipe" in changed(before, after)
