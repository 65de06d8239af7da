"""A run that is killed outright and called again ends at the very same bytes."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from brand_folder import tiny_brief, tiny_dataset, tiny_recipe
from PIL import Image

from onbrand import training
from onbrand.artifacts.dataset import Dataset
from onbrand.events import Advanced, Event
from onbrand.generation import sample
from onbrand.models.packs import open_pack

FILES = ("pytorch_lora_weights.safetensors", "kohya.safetensors")
PRELOAD = [
    "onbrand.training.stages",
    "onbrand.models.adapters",
    "onbrand.models.perception",
    "transformers",
    "peft",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
]
KILLS = random.Random(7).sample(
    [(t, n) for t, m in (("appearance", 6), ("detail", 4)) for n in range(1, m + 1)], 3
)


def score(pictures: Sequence[Image.Image], texts: Sequence[str], /) -> dict[str, float]:
    return {"identity": 0.5}


def train_and_die(
    pack: Path, brand: Path, out: Path, arm: str, kill_at: tuple[str, int] | None
) -> None:
    """Train in this process; at the given step of the given stage, end it with SIGKILL."""

    def listen(event: Event) -> None:
        if isinstance(event, Advanced) and (event.task, event.done) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    training.train(
        Dataset.load(brand),
        tiny_brief(),
        tiny_recipe(),
        open_pack(pack),
        out,
        sample=sample,
        score=score,
        arm=arm,
        emit=listen,
    )


def in_a_process(*arguments: object) -> int | None:
    """Exit code of train_and_die in a process of its own (negative: the signal that ended it)."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    process = context.Process(target=train_and_die, args=arguments)
    process.start()
    process.join(600)  # a loaded machine takes minutes to import what is preloaded
    return process.exitcode


@pytest.mark.parametrize("arm", ["onbrand", "dreambooth_lora"])
def test_killed_runs_end_at_the_same_bytes(
    arm: str, tiny_pack_folder: Path, tmp_path: Path
) -> None:
    """SIGKILL at random steps, run after run: the LoRA files equal those of an unbroken run."""
    brand = tmp_path / "brand"
    tiny_dataset(brand)
    kills = KILLS if arm == "onbrand" else [(arm, 5)]
    for kill in sorted(kills):
        code = in_a_process(tiny_pack_folder, brand, tmp_path / "killed", arm, kill)
        assert code == -signal.SIGKILL, kill
    assert in_a_process(tiny_pack_folder, brand, tmp_path / "killed", arm, None) == 0
    assert in_a_process(tiny_pack_folder, brand, tmp_path / "whole", arm, None) == 0
    stages = sorted(p.name for p in (tmp_path / "whole" / "stages").iterdir())
    assert stages == sorted(p.name for p in (tmp_path / "killed" / "stages").iterdir())
    for stage in stages:
        for name in FILES:
            ours = (tmp_path / "killed" / "stages" / stage / name).read_bytes()
            assert ours == (tmp_path / "whole" / "stages" / stage / name).read_bytes()
