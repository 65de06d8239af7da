"""Is a killed run the same run? SIGKILL at seeded moments, called again, compared by hash.

Every run is `onbrand train` in a process of its own, as a person starts it. A moment is something
that the model's folder shows (a step in the log, a checkpoint being written, an export that is not
measured yet, the time between two stages) and some milliseconds after it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from onbrand.bench.characters import draw_brand
from onbrand.bench.probe import kept
from onbrand.bench.record import Result, mean_metric, metric
from onbrand.errors import TrainingError
from onbrand.events import Advanced, Finished, Listener, Started, silent
from onbrand.files import fingerprint_bytes, fingerprint_file, write_text_atomic

__all__ = [
    "RECIPE",
    "Moment",
    "kill",
    "kill_and_go_on",
    "measure_kills",
    "moments",
    "new_brand",
    "outcome",
]

RECIPE = """\
base = "{base}"
seed = 7
precision = "float32"
[lora]
rank = 4
targets = "all"
[validation]
num_prompts = 1
num_per_prompt = 2
num_steps = 3
[prior]
num_pictures = 2
[[stage]]
kind = "appearance"
learning_rate = 1e-3
batch_size = 2
num_steps = 12
augment = {{ rotate_degrees = 6, scale_fraction = 0.1 }}
[[stage]]
kind = "detail"
learning_rate = 5e-4
batch_size = 2
num_steps = 8
losses = {{ perceptual = 0.5, identity = 0.5, prior = 0.3 }}
loss_max_timestep = 700
"""
IDENTITY = 0
LONGEST_DELAY_S = 0.2
LONGEST_RUN_S = 1800.0
STAGES = {"01-appearance": 12, "02-detail": 8}
BETWEEN = (
    "run.json",  # the base is being drawn and measured
    "previews/00-base.png",  # pictures are being encoded
    *(f"stages/{stage}/resume.tmp" for stage in STAGES),  # a checkpoint is being written
    *(f"stages/{stage}/kohya.safetensors" for stage in STAGES),  # an export, not whole yet
    *(f"previews/{stage}.png" for stage in STAGES),  # drawn, not scored yet
    "manifest.json",  # between two stages
)


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill: `delay_s` after `mark`, a file of the model's folder or "STAGE step N"."""

    mark: str
    delay_s: float

    def has_come(self, model: Path) -> bool:
        """Whether the folder shows the mark, or a later step of its stage."""
        step = self.mark.partition(" step ")[2]
        if not step:
            return (model / self.mark).exists() or self._too_late(model)
        try:
            return self._log(model).read_bytes().count(b"\n") >= int(step)
        except OSError:
            return False

    def log_state(self, model: Path) -> tuple[int, ...]:
        """Changes whenever the log of a step's stage is written: a killed run left its own."""
        try:
            told = self._log(model).stat()
        except OSError:
            return ()
        return told.st_ino, told.st_mtime_ns, told.st_size

    def _log(self, model: Path) -> Path:
        return model / "stages" / self.mark.partition(" step ")[0] / "log.jsonl"

    def _too_late(self, model: Path) -> bool:
        """A file that came and went between two looks: the stage's end is taken instead."""
        stage = Path(self.mark).parts[1:2]
        return bool(stage) and (model / "stages" / stage[0] / "kohya.safetensors").exists()


def moments(num: int, seed: int) -> list[list[Moment]]:
    """`num` runs' kills: all marks between steps and random steps, shuffled; every fourth run is
    killed twice, the second time while it goes on."""
    rng = random.Random(f"kills {seed}")
    steps = [f"{stage} step {n + 1}" for stage, last in STAGES.items() for n in range(last)]
    marks = [*BETWEEN, *rng.sample(steps, len(steps))][: max(num, 1)]
    while len(marks) < num:
        marks.append(rng.choice(steps))
    rng.shuffle(marks)
    runs = [[Moment(mark, rng.uniform(0, LONGEST_DELAY_S))] for mark in marks]
    for run in runs[3::4]:
        run.append(Moment(f"02-detail step {rng.randint(2, 8)}", rng.uniform(0, LONGEST_DELAY_S)))
    return runs


def outcome(model: Path) -> str:
    """16 hex digits over all that training leaves: exports, checkpoints, previews, figures."""
    files = sorted([*model.glob("stages/*/*.safetensors"), *model.glob("previews/*.png")])
    told = {p.relative_to(model).as_posix(): fingerprint_file(p) for p in files}
    manifest = json.loads((model / "manifest.json").read_text(encoding="utf-8"))
    figures = [[s["name"], s["metrics"]] for s in manifest["stages"]]
    return fingerprint_bytes(json.dumps([told, figures, manifest["ship"]]).encode())


def _start(brand: Path) -> subprocess.Popen[bytes]:
    with (brand / "said.txt").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "onbrand", "train", str(brand)],
            stdout=said,
            stderr=said,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def _finish(brand: Path) -> None:
    child = _start(brand)
    if child.wait(LONGEST_RUN_S) != 0:
        said = (brand / "said.txt").read_text("utf-8", "replace").splitlines()[-1:]
        raise TrainingError(f"onbrand train {brand} left with {child.returncode}: {said}")


def kill_and_go_on(brand: Path, kills: list[Moment]) -> tuple[str, int]:
    """Train the brand, killed at these moments, to its end: the outcome, and how many of the kills
    met a run at work (a run may end before its moment comes)."""
    hits = sum(kill(brand, moment) for moment in kills)
    _finish(brand)
    return outcome(brand / "model"), hits


def kill(brand: Path, moment: Moment) -> bool:
    """Train the brand until that moment; whether it was killed. A step counts once this very
    process has written its stage's log: one that still loads is not at work."""
    model = brand / "model"
    is_step, left = " step " in moment.mark, moment.log_state(model)
    child = _start(brand)
    began = time.monotonic()
    while child.poll() is None and time.monotonic() - began < LONGEST_RUN_S:
        at_work = not is_step or moment.log_state(model) != left
        if at_work and moment.has_come(model):
            time.sleep(moment.delay_s)
            child.send_signal(signal.SIGKILL)
            break
        time.sleep(0.0005)
    return child.wait() == -signal.SIGKILL


def measure_kills(
    folder: Path, *, base: str, num: int, seed: int, emit: Listener = silent
) -> dict[str, Result]:
    """The share of `num` killed runs that end at the outcome of an unbroken one; kept by run."""
    template = new_brand(folder, base, seed)
    emit(Started("kills", num + 1, "runs"))
    whole = kept(folder, "whole", lambda: _one(folder, template, "whole", []))
    emit(Advanced("kills", 1))
    rows = []
    for number, kills in enumerate(moments(num, seed)):
        name = f"kill-{number:02d}"
        rows.append(kept(folder, name, _bound(folder, template, name, kills)))
        same = sum(row["outcome"] == whole["outcome"] for row in rows)
        emit(Advanced("kills", number + 2, {"identical": same}))
    same = sum(row["outcome"] == whole["outcome"] for row in rows)
    emit(Finished("kills", {"runs": num, "identical": same}))
    hits = sum(row["num_killed"] for row in rows)
    return {
        "killed_runs_identical_fraction": mean_metric(
            [float(row["outcome"] == whole["outcome"]) for row in rows], bar=1.0, seed=seed
        ),
        "kills_at_work_fraction": metric(hits / sum(len(row["kills"]) for row in rows)),
    }


def _bound(folder: Path, template: Path, name: str, kills: list[Moment]) -> Callable[[], Result]:
    return lambda: _one(folder, template, name, kills)


def _one(folder: Path, template: Path, name: str, kills: list[Moment]) -> Result:
    """One run in a fresh copy of the brand, which is thrown away after."""
    brand = folder / name
    shutil.rmtree(brand, ignore_errors=True)
    shutil.copytree(template, brand)
    found, hits = kill_and_go_on(brand, kills)
    shutil.rmtree(brand)
    told = [{"mark": k.mark, "delay_s": round(k.delay_s, 3)} for k in kills]
    return {"outcome": found, "num_killed": hits, "kills": told}


def new_brand(folder: Path, base: str, seed: int) -> Path:
    """A reserved character as a brand with the bench's recipe, its pictures frozen: folder/brand,
    drawn once."""
    from onbrand import road
    from onbrand.models import open_pack

    brand = folder / "brand"
    if (brand / "dataset" / "manifest.json").is_file():
        return brand
    shutil.rmtree(brand, ignore_errors=True)
    recipe = folder / "recipe.toml"
    write_text_atomic(recipe, RECIPE.format(base=base))
    drawn = folder / "drawn"
    draw_brand(
        IDENTITY,
        drawn,
        num_train=6,
        num_held_out=2,
        num_prompts=2,
        size_px=open_pack(base).num_px,
        seed=seed,
    )
    return road.new(
        brand,
        pictures=drawn / "pictures",
        brief=drawn / "brief.toml",
        recipe=str(recipe),
        base=base,
    )
