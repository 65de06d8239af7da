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
from onbrand.bench.training.kills import outcome
from onbrand.events import Advanced, Event
from onbrand.generation import sample
from onbrand.models.packs import open_pack

PRELOAD = [
    "onbrand.training.stages",
    "onbrand.models.adapters",
    "onbrand.models.perception",
    "transformers",
    "peft",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
]
Kill = tuple[str, int]
"""Where SIGKILL strikes: ("appearance", 3) after that step, ("score", 1) in the validation of the
first stage, ("write", 2) while the second checkpoint of the process takes its name."""

STEPS = random.Random(7).sample(
    [(t, n) for t, m in (("appearance", 6), ("detail", 4)) for n in range(1, m + 1)], 2
)
KILLS: list[Kill] = [("score", 0), *sorted(STEPS), ("write", 1), ("score", 1)]


def train_and_die(pack: Path, brand: Path, out: Path, arm: str, kill: Kill | None) -> None:
    """Train in this process; at the given place, end it with SIGKILL."""
    counts = {"score": -1, "write": 0}

    def strike(place: str, number: int) -> None:
        if (place, number) == kill:
            os.kill(os.getpid(), signal.SIGKILL)

    def count(place: str) -> None:
        counts[place] += 1
        strike(place, counts[place])

    def score(pictures: Sequence[Image.Image], texts: Sequence[str], /) -> dict[str, float]:
        count("score")
        return {"identity": 0.5}

    def listen(event: Event) -> None:
        if isinstance(event, Advanced):
            strike(event.task, event.done)

    whole_replace = os.replace

    def replace(source: str | Path, target: str | Path) -> None:
        if Path(target).name == "resume.safetensors":
            count("write")
        whole_replace(source, target)

    os.replace = replace  # in this process alone, which is about to end
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
    """SIGKILL at steps, while the base or a stage is measured, while a checkpoint is written, run
    after run: exports, checkpoints, pictures and figures equal those of an unbroken run."""
    brand = tmp_path / "brand"
    tiny_dataset(brand)
    for kill in KILLS if arm == "onbrand" else [(arm, 5)]:
        code = in_a_process(tiny_pack_folder, brand, tmp_path / "killed", arm, kill)
        assert code == -signal.SIGKILL, kill
    assert in_a_process(tiny_pack_folder, brand, tmp_path / "killed", arm, None) == 0
    assert in_a_process(tiny_pack_folder, brand, tmp_path / "whole", arm, None) == 0
    files = {
        name: sorted(
            p.relative_to(tmp_path / name) for p in (tmp_path / name).rglob("*.safetensors")
        )
        for name in ("killed", "whole")
    }
    assert files["killed"] == files["whole"]
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")
