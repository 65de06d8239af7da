"""What a second call of a verb finds of the first: kept, gone on with, not taken for another."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from brand_folder import SHORTEST_RECIPE, drawn_brand

import onbrand as ob
from onbrand.errors import InputError
from onbrand.events import Advanced, Event, Started

SHORT = {"num_prompts": 1, "num_per_prompt": 1, "num_steps": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_pack_folder: Path) -> Path:
    """A trained brand. Copy it before changing it."""
    recipe = SHORTEST_RECIPE.format(base=tiny_pack_folder)
    brand = drawn_brand(tmp_path_factory.mktemp("brands"), recipe)
    ob.train(brand)
    return brand


@pytest.fixture
def brand(trained: Path, tmp_path: Path) -> Path:
    """A trained brand of the test's own."""
    return Path(shutil.copytree(trained, tmp_path / "kuro"))


def test_a_baseline_stays_the_models(brand: Path) -> None:
    """One that a report trained is in the next report, too, whatever settings the recipe leaves
    out and however the model's own recipe was told; not one that learned other words."""
    assert "dreambooth_lora" in ob.report(brand, baselines=True, **SHORT).baselines
    model = ob.BrandModel.load(brand / "model")
    model.parents["recipe"] = "0123456789abcdef"  # told otherwise by another version
    model.save()
    assert "dreambooth_lora" in ob.report(brand, **SHORT).baselines
    baseline = ob.BrandModel.load(brand / "baselines" / "dreambooth_lora")
    replace(baseline, brief=baseline.brief.model_copy(update={"trigger": "mika"})).save()
    assert "dreambooth_lora" not in ob.report(brand, **SHORT).baselines


def test_a_stopped_generation_goes_on_after_another(brand: Path) -> None:
    """Other pictures may have been drawn since: its own folder is found and filled."""

    def stop(event: Event) -> None:
        if isinstance(event, Advanced):
            raise KeyboardInterrupt

    asked = {"brand": brand, "num_per_prompt": 9, "num_steps": 1}
    with pytest.raises(KeyboardInterrupt):
        ob.generate("waving", emit=stop, **asked)
    other = ob.generate("sitting", brand, num_per_prompt=1, num_steps=1)
    assert other.root.name == "002"
    told: list[Event] = []
    assert ob.generate("waving", emit=told.append, **asked).root.name == "001"
    assert [event.total for event in told if isinstance(event, Started)] == [1]
    assert ob.generate("waving", **asked).root.name == "003"


def test_a_report_of_nothing_keeps_the_last_ones_pictures(brand: Path) -> None:
    """No prompts or no pictures: refused before anything is drawn or removed."""
    ob.report(brand, **SHORT)
    before = sorted((brand / "judged").rglob("*"))
    for name in SHORT:
        with pytest.raises(InputError, match=f"{name}=0: there must be 1"):
            ob.report(brand, **{**SHORT, name: 0})
    assert sorted((brand / "judged").rglob("*")) == before
