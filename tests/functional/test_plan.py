"""`train --plan`: what a run will take is measured over real steps, and nothing is begun."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from brand_folder import drawn_brand, tiny_brief, tiny_dataset, tiny_recipe
from PIL import Image

import onbrand as ob
from onbrand import training
from onbrand.app.cli import main
from onbrand.generation import sample
from onbrand.models import Pack
from onbrand.models.adapters import has_lora
from onbrand.models.diffusion import DiffusionModel

RECIPE = """
base = "{base}"
[lora]
rank = 2
[validation]
num_prompts = 1
num_per_prompt = 1
num_steps = 2
[[stage]]
kind = "appearance"
head_weight = 1 # a parser takes more memory than the tiny base itself
batch_size = 2
num_steps = 30
[[stage]]
kind = "detail"
head_weight = 1
batch_size = 48
num_steps = 20
every = 2
losses = {{ perceptual = 0.1, identity = 0.1, prior = 0.5 }}
loss_max_timestep = 700
"""


@pytest.fixture(scope="module")
def brand(tmp_path_factory: pytest.TempPathFactory, tiny_pack_folder: Path) -> Path:
    """A brand of three pictures whose second stage is far heavier than its first."""
    recipe = RECIPE.format(base=tiny_pack_folder)
    return drawn_brand(tmp_path_factory.mktemp("planned"), recipe, num=3)


def test_the_plan_measures_what_it_says(brand: Path) -> None:
    """Steps and pictures are the recipe's; 96 pictures a step cost more time and memory than 2; no
    stage is begun."""
    plan = ob.plan(brand)
    light, heavy = plan.stages
    assert [(s.name, s.num_steps, s.num_pictures_seen) for s in plan.stages] == [
        ("appearance", 30, 60),
        ("detail", 20, 20 * 96),
    ]
    assert heavy.step_s > 1.3 * light.step_s > 0
    assert heavy.memory_bytes > light.memory_bytes + 10 * 2**20
    assert plan.seconds > 30 * light.step_s + 20 * heavy.step_s
    assert plan.memory_bytes == heavy.memory_bytes
    assert not (brand / "model").exists()


def test_memory_freed_before_hides_nothing(brand: Path) -> None:
    """In a process that has used and freed much heap, the heavier stage still shows as heavier."""
    blocks = [bytearray(50_000) for _ in range(20_000)]  # 1 GB, each too small to be mapped alone
    pins = [bytearray(64) for _ in range(1000)]
    del blocks
    light, heavy = ob.plan(brand).stages
    assert pins
    assert heavy.memory_bytes > light.memory_bytes + 10 * 2**20


def test_the_command_prints_a_table(brand: Path, capsys: pytest.CaptureFixture) -> None:
    """A row for each stage and one for all, on stdout, and it says that figures were measured."""
    with pytest.raises(SystemExit) as left:
        main(["train", str(brand), "--plan"])
    assert left.value.code == 0
    table = " ".join(capsys.readouterr().out.split())
    assert all(word in table for word in ("appearance", "detail", "1,920", "all", "measured just"))
    assert not (brand / "model").exists()


def test_the_plan_draws_as_many_pictures_as_validation_does(
    tiny_pack: Pack, tmp_path: Path
) -> None:
    """All that a look draws at once, with the adapter on; what that takes counts as memory."""
    recipe = tiny_recipe(
        validation={"num_prompts": 2, "num_per_prompt": 3, "num_steps": 2, "guidance": 2.0},
        stage=[tiny_recipe().stage[0].model_dump()],
    )
    seen: list[tuple[int, bool]] = []

    def hungry(model: DiffusionModel, prompts: Sequence[str], **more: Any) -> list[Image.Image]:
        seen.append((len(prompts), has_lora(model)))
        held = bytearray(len(prompts) * 64 * 2**20)
        held[::4096] = b"x" * len(held[::4096])
        return sample(model, prompts, **more)

    dataset = tiny_dataset(tmp_path / "brand")
    plain, dear = (
        training.forecast(dataset, tiny_brief(), recipe, tiny_pack, sample=by)
        for by in (sample, hungry)
    )
    assert seen == [(6, True), (1, True)]
    assert dear.memory_bytes > plain.memory_bytes + 200 * 2**20


def test_the_plan_counts_encoding(tiny_pack: Pack, tmp_path: Path) -> None:
    """Twelve pictures to encode take longer before the first step than four."""
    recipe = tiny_recipe(stage=[tiny_recipe().stage[0].model_dump()])
    few, many = (tiny_dataset(tmp_path / str(num), num=num) for num in (4, 64))
    short, long = (
        training.forecast(dataset, tiny_brief(), recipe, tiny_pack, sample=instant)
        for dataset in (few, many)
    )
    assert short.prepare_s > 0
    assert long.prepare_s > 4 * short.prepare_s


class Patient:
    """A reviewer that finds nothing."""

    def drift(self, pictures: Sequence[Image.Image], base: Sequence[Image.Image], /) -> float:
        return 0.0

    def explain(self, figures: Mapping[str, float], base: Mapping[str, float], /) -> list[str]:
        return []


def test_the_plan_counts_all_that_is_drawn(
    tiny_pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Previews, the looks of an early stop, the base's and the stage's own, and as many pictures
    of the plain class where prior_drift is read: a second each by this clock."""
    validation = {
        "num_prompts": 2, "num_per_prompt": 1, "num_steps": 2,
        "preview_every": 1, "stop_every": 2, "stop_patience": 9, "stop_metric": "prior_drift",
    }  # fmt: skip
    stage = {"kind": "appearance", "num_steps": 4, "batch_size": 2}
    recipe, dataset = (
        tiny_recipe(stage=[stage], validation=validation),
        tiny_dataset(tmp_path / "b"),
    )
    drawn: list[str] = []

    def counted(model: DiffusionModel, prompts: Sequence[str], **more: Any) -> list[Image.Image]:
        drawn.extend(prompts)
        return instant(model, prompts)

    training.train(
        dataset, tiny_brief(), recipe, tiny_pack, tmp_path / "model",
        sample=counted, score=lambda pictures, texts: {}, reviewer=Patient(),
    )  # fmt: skip
    clock = SimpleNamespace(monotonic=itertools.count().__next__)
    monkeypatch.setattr("onbrand.training.rehearsal.time", clock)
    monkeypatch.setattr("onbrand.training.cache.time", SimpleNamespace(monotonic=lambda: 0.0))
    plan = training.forecast(dataset, tiny_brief(), recipe, tiny_pack, sample=instant)
    assert plan.prepare_s + plan.stages[0].look_s == len(drawn)


def instant(model: DiffusionModel, prompts: Sequence[str], **more: Any) -> list[Image.Image]:
    """Pictures that take no time."""
    return [Image.new("RGB", (32, 32)) for _ in prompts]
