"""The dataset that a model was trained on stays while that model is planned, trained, measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from brand_folder import SHORTEST_RECIPE, at_work_elsewhere, draw_picture

import onbrand as ob
from onbrand.errors import StorageError
from onbrand.road import curate


@pytest.fixture
def brand(tmp_path: Path, tiny_pack_folder: Path) -> Path:
    """A brand whose pictures have become more since they were frozen."""
    (tmp_path / "pictures").mkdir()
    for index in range(4):
        draw_picture(index).save(tmp_path / "pictures" / f"{index}.png")
    (tmp_path / "recipe.toml").write_text(SHORTEST_RECIPE.format(base=tiny_pack_folder))
    root = ob.new(
        tmp_path / "kuro", pictures=tmp_path / "pictures", recipe=str(tmp_path / "recipe.toml")
    )
    draw_picture(9).save(root / "pictures" / "9.png")
    return root


def test_a_plan_changes_no_dataset(brand: Path) -> None:
    """It counts the new picture, and what a trained model is measured on is still there."""
    before = {file: file.read_bytes() for file in (brand / "dataset").rglob("*.*")}
    assert ob.plan(brand).num_pictures == 3
    assert {file: file.read_bytes() for file in (brand / "dataset").rglob("*.*")} == before


def test_nothing_is_curated_under_a_running_training(brand: Path) -> None:
    """While another process holds the folder, `curate` says so; then it takes the new picture."""
    with (
        at_work_elsewhere(brand),
        pytest.raises(StorageError, match="another onbrand is at work in"),
    ):
        curate(brand)
    assert len(curate(brand).assets) == 5
