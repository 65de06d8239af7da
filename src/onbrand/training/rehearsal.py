"""What a run will take, before it begins: a few real steps of every stage, measured here and now.

The steps are the stages' own, at their own batch sizes, on two of the pictures; class pictures are
stood in for by noise. Nothing is written to the brand's folder.
"""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from onbrand.artifacts.brand_model import StageResult
from onbrand.artifacts.dataset import Dataset
from onbrand.brief import Brief
from onbrand.events import Advanced, Event, Finished, Listener, Started, silent
from onbrand.models.device import pictures_at_once
from onbrand.recipe import Recipe, Stage
from onbrand.training.cache import ENCODING, Examples, in_order
from onbrand.training.checks import check
from onbrand.training.engine import Loop, noise, read_log
from onbrand.training.guards import memory_errors
from onbrand.training.seams import Sampler
from onbrand.training.session import Session
from onbrand.training.stage_plan import StagePlan
from onbrand.training.stages import open_session, plan, run_stage
from onbrand.training.workers import ALONE

if TYPE_CHECKING:
    from onbrand.models.packs import Pack

__all__ = ["Forecast", "StageForecast", "forecast"]

NUM_PICTURES = 2  # of the brand, that are rehearsed with
NUM_CYCLES = 2  # of a stage's `every` steps, timed after one step that warms up
LONGEST_CYCLE = 4


@dataclass(frozen=True, slots=True)
class StageForecast:
    """What a stage will take: `step_s` a step (mean of those measured), `train_s` all of them,
    `look_s` for its validation pictures, `memory_bytes` at most."""

    name: str
    num_steps: int
    batch_size: int
    num_pictures_seen: int
    step_s: float
    train_s: float
    look_s: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """A run's stages, and `prepare_s` beside them: pictures encoded, class pictures drawn, and the
    base's own look."""

    num_pictures: int
    prepare_s: float
    stages: Sequence[StageForecast]

    @property
    def seconds(self) -> float:
        """All of the run, but for imports."""
        return self.prepare_s + sum(stage.train_s + stage.look_s for stage in self.stages)

    @property
    def memory_bytes(self) -> int:
        """The most that any stage needs."""
        return max(stage.memory_bytes for stage in self.stages)


class Rehearsal(Session):
    """A session whose class pictures are noise, and whose stages end without a result."""

    def class_examples(self, prompts: Sequence[str]) -> Examples:
        """One class picture, of noise."""
        side = self.size_px // self.model.vae_factor
        shape = (1, self.model.num_latent_channels, side, side)
        return Examples(("noise",), (noise(shape, 0, 0, [0])[0],), ((prompts[0],),))

    def finish(self, plan: StagePlan, loop: Loop, best_step: int | None = None) -> StageResult:
        """Nothing is exported or measured."""
        return StageResult(plan.name, plan.kind, plan.num_steps, 0, str(loop.folder), loop.seconds)


def forecast(
    dataset: Dataset,
    brief: Brief,
    recipe: Recipe,
    pack: Pack,
    *,
    sample: Sampler,
    emit: Listener = silent,
) -> Forecast:
    """Rehearse the recipe's stages and say what the whole run will take on this machine.

    Raises what training would: RecipeError, DatasetError, PackError, NonFiniteLoss, and OutOfMemory
    where a step at the recipe's own size does not fit.
    """
    plans = plan(dataset, recipe)
    check(dataset, recipe, pack, recipe.stage, plans, ALONE, emit)
    few = replace(dataset, assets=dataset.train[:NUM_PICTURES])
    quiet = recipe.model_copy(
        update={
            "validation": recipe.validation.model_copy(update={"preview_every": 0, "stop_every": 0})
        }
    )
    emit(Started("rehearsal", len(plans), "stages"))
    encoding = _Encoding()
    encode_s = 0.0
    with tempfile.TemporaryDirectory() as folder, memory_errors(recipe):
        session = open_session(
            few, brief, quiet, pack, Path(folder), "onbrand", None, sample, _no_score, encoding,
            ALONE, kind=Rehearsal,
        )  # fmt: skip
        session.attach()
        _forget_peak(session.device)
        picture_s = _picture_s(session, recipe)
        drawing_bytes = _peak_bytes(session.device)
        stages = []
        for index, (stage, whole) in enumerate(zip(recipe.stage, plans, strict=True)):
            encoding.picture_s = 0.0
            stages.append(_rehearse(session, stage, whole, index, drawing_bytes))
            encode_s += encoding.picture_s * len(in_order(dataset, stage.only))
            emit(Advanced("rehearsal", index + 1, {"step_s": stages[-1].step_s}))
    sheet_s = picture_s * recipe.validation.num_prompts * recipe.validation.num_per_prompt
    has_prior = any(p.num_prior for p in plans)
    made = Forecast(
        num_pictures=len(dataset.train),
        prepare_s=encode_s
        + sheet_s * _sheets_a_look(recipe)
        + has_prior * picture_s * recipe.prior.num_pictures,
        stages=[replace(s, look_s=sheet_s * _num_sheets(recipe, s.num_steps)) for s in stages],
    )
    emit(Finished("rehearsal"))
    return made


def _sheets_a_look(recipe: Recipe) -> int:
    """The validation pictures, and as many of the plain class where prior_drift is read."""
    return 2 if recipe.reads("prior_drift") else 1


def _num_sheets(recipe: Recipe, num_steps: int) -> int:
    """Sheets that are drawn for a stage: previews, what an early stop looks at, and its end's."""
    every = recipe.validation
    num_previews = num_steps // every.preview_every if every.preview_every else 0
    num_looks = 1 + (num_steps // every.stop_every if every.stop_draws else 0)
    return num_previews + num_looks * _sheets_a_look(recipe)


def _no_score(pictures: Sequence[object], texts: Sequence[str], /) -> dict[str, float]:
    return {}


class _Encoding:
    """Hears what a stage's set-up says: `picture_s` that each picture took to be encoded."""

    picture_s = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Finished) and event.task == ENCODING:
            seconds, pictures = (float(str(event.facts[key])) for key in ("seconds", "pictures"))
            self.picture_s = seconds / pictures


def _picture_s(session: Session, recipe: Recipe) -> float:
    """Seconds for one validation picture, after one step of as many as are drawn at once, which
    warms up and takes the memory that a look will take."""
    validation = recipe.validation
    texts = [t for t in session.validation_prompts() for _ in range(validation.num_per_prompt)]
    prompts = [session.speak(text) for text in texts[: pictures_at_once(session.size_px)]]
    draw = partial(
        session.sample, session.model, guidance=validation.guidance, size_px=session.size_px
    )
    with session.evaluating():
        draw(prompts, seeds=range(len(prompts)), num_steps=1)
        began = time.monotonic()
        draw(prompts[:1], seeds=[0], num_steps=validation.num_steps)
    return time.monotonic() - began


def _rehearse(
    session: Session, stage: Stage, whole: StagePlan, index: int, drawing_bytes: int
) -> StageForecast:
    """One step that warms up, then `NUM_CYCLES` of the stage's `every` steps, timed."""
    cycle = min(stage.every, LONGEST_CYCLE)
    num_steps = 1 + NUM_CYCLES * cycle
    folder = session.root / "stages" / f"{index + 1:02d}-{whole.name}"
    _forget_peak(session.device)
    # the few pictures may have none of its tags
    short = stage.model_copy(update={"only": [], "every": cycle})
    run_stage(session, short, replace(whole, num_steps=num_steps), folder, index, 0.0)
    took = np.diff([line["seconds"] for line in read_log(folder)])
    dear = np.arange(1, num_steps) % cycle == 0  # those steps on which eyes look, too
    step_s = float(took[dear].mean())
    if cycle > 1:
        step_s = (step_s + (stage.every - 1) * float(took[~dear].mean())) / stage.every
    return StageForecast(
        name=whole.name,
        num_steps=whole.num_steps,
        batch_size=whole.batch_size,
        num_pictures_seen=whole.num_pictures_seen,
        step_s=step_s,
        train_s=step_s * whole.num_steps,
        look_s=0.0,
        memory_bytes=max(drawing_bytes, _peak_bytes(session.device)),
    )


def _forget_peak(device: str) -> None:
    """Begin to measure the peak of memory anew, where the system can (Linux, CUDA)."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        _return_freed()
        clear.write_text("5")  # man 5 proc: resets the peak resident set size


def _return_freed() -> None:
    """Hand freed heap back to the system (glibc): what an earlier stage or a notebook's cell left
    would hide as much of the next stage's need."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _peak_bytes(device: str) -> int:
    """The process's peak of resident memory, or of the card's where that is in use."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
