"""What a second call of a verb finds of the first: kept, gone on with, not taken for another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from brand_folder import SHORTEST_RECIPE, draw_picture

import onbrand as ob

SHORT = {"num_prompts": 1, "num_per_prompt": 1, "num_steps": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_pack_folder: Path) -> Path:
    """A trained brand. Copy it before changing it."""
    root = tmp_path_factory.mktemp("brands")
    (root / "drawn").mkdir()
    for index in range(6):
        draw_picture(index).save(root / "drawn" / f"{index}.png")
    recipe = root / "recipe.toml"
    recipe.write_text(SHORTEST_RECIPE.format(base=tiny_pack_folder))
    brand = ob.new(root / "kuro", pictures=root / "drawn", subject="fox", recipe=str(recipe))
    ob.train(brand)
    return brand


@pytest.fixture
def brand(trained: Path, tmp_path: Path) -> Path:
    """A trained brand of the test's own."""
    return Path(shutil.copytree(trained, tmp_path / "kuro"))


def test_a_baseline_stays_the_models(brand: Path) -> None:
    """One that a report trained is in the next report, too, whatever settings the recipe leaves
    out and however the model's own recipe was told."""
    assert "dreambooth_lora" in ob.report(brand, baselines=True, **SHORT).baselines
    model = ob.BrandModel.load(brand / "model")
    model.parents["recipe"] = "0123456789abcdef"  # told otherwise by another version
    model.save()
    assert "dreambooth_lora" in ob.report(brand, **SHORT).baselines
