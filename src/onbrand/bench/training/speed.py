"""How long a step takes, beside diffusers' own loop: same base, batch, loss and memory format.

The arms take turns of a few steps in one process, so that whatever else the machine does meets all
alike, and processor time is what counts. Our arms are the stages themselves, with the recipe's own
number of steps and so its checkpoints: each runs in a thread of its own, stands still, in the
listener that hears of its steps, until it is its turn, and ends long before its last one.
"""

from __future__ import annotations

import cProfile
import pstats
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onbrand.bench.record import Result, metric
from onbrand.events import Advanced, Event, Finished, Listener, Noted, Started, silent
from onbrand.judging import bootstrap

if TYPE_CHECKING:
    from onbrand.artifacts import Dataset
    from onbrand.brief import Brief
    from onbrand.models.packs import Pack
    from onbrand.recipe import Recipe

__all__ = ["measure_speed"]

RECIPE = "mascot"
STAGES = ("plain", "detail", "expression")
EXPRESSION = {"pose": 0.3, "expression": 0.1, "identity": {"weight": 0.3, "max_timestep": 600}}
"""Losses of the stage that the recipe shows and leaves off, timed as its third."""
STEPS_A_TURN = 2  # a whole cycle of detail's `every`
WARM_TURNS = 3
PROFILED_TURNS = 5
PHASES = {
    ("batches.py", "draw_batch"): "draw",
    ("diffusion.py", "predict"): "network forward",
    ("diffusion.py", "decode"): "decoder forward",
    ("looks.py", "through"): "eyes forward",
    ("autograd/__init__.py", "backward"): "backward",
    ("clip_grad.py", "clip_grad_norm_"): "clip",
    ("optimisers.py", "step"): "optimiser",
    ("engine.py", "save"): "checkpoint",
    ("engine.py", "_record"): "log",
}

WITHIN_AN_EYE = "training/lenses.py"
"""Decodes training pictures, whose time is in `eyes forward` already."""


@dataclass(frozen=True)
class _Brand:
    """What all arms learn from."""

    dataset: Dataset
    brief: Brief
    recipe: Recipe
    pack: Pack


class _Closed(Exception):
    """Ends an arm's stage from within its listener."""


class _StageArm(threading.Thread):
    """A stage that runs a turn of steps at a time. `turn` lets it run; `close` ends it."""

    def __init__(self, brand: _Brand, index: int) -> None:
        super().__init__(daemon=True)
        self._brand, self._index = brand, index
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._steps, self._task = 0, ""
        self._profile: cProfile.Profile | None = None
        self._error: BaseException | None = None
        self._closing = False
        self.start()
        self._done.acquire()  # it has taken its first step
        self._raise()

    def turn(self) -> None:
        """`STEPS_A_TURN` steps."""
        self._go.release()
        self._done.acquire()
        self._raise()

    def profiled(self, num_turns: int) -> dict[str, float]:
        """Share of each phase in the time of `num_turns` turns; the rest is named so."""
        profile = self._profile = cProfile.Profile(time.process_time)
        began = time.process_time()
        for _ in range(num_turns):
            self.turn()
        self._profile = None
        return _shares(profile, time.process_time() - began)

    def close(self) -> None:
        """End the thread; its folder goes with it."""
        self._closing = True
        self._go.release()
        self.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _hear(self, event: Event) -> None:
        if not isinstance(event, Advanced) or event.task != self._task:
            return
        self._steps += 1
        if (self._steps - 1) % STEPS_A_TURN:
            return
        if self._profile is not None:
            self._profile.disable()
        self._done.release()
        self._go.acquire()
        if self._closing:
            raise _Closed
        if self._profile is not None:
            self._profile.enable()

    def run(self) -> None:
        """The stage, in a folder that is thrown away."""
        from onbrand.training.rehearsal import Rehearsal
        from onbrand.training.stages import open_session, plan, run_stage

        brand = self._brand
        try:
            with tempfile.TemporaryDirectory() as folder:
                session = open_session(
                    brand.dataset, brand.brief, brand.recipe, brand.pack, Path(folder), "onbrand",
                    None, _no_pictures, _no_score, self._hear, kind=Rehearsal,
                )  # fmt: skip
                session.attach()
                whole = plan(brand.dataset, brand.recipe)[self._index]
                self._task = whole.name
                run_stage(
                    session,
                    brand.recipe.stage[self._index],
                    whole,
                    Path(folder) / "stages" / "01-timed",
                    self._index,
                    0.0,
                )
        except _Closed:
            pass
        except BaseException as error:
            self._error = error
        self._done.release()


def _no_pictures(*args: Any, **more: Any) -> list[Any]:
    return []


def _no_score(pictures: object, texts: object, /) -> dict[str, float]:
    return {}


def _shares(profile: cProfile.Profile, total_s: float) -> dict[str, float]:
    """The phases' shares of `total_s`, largest first."""
    found: dict[str, float] = {}
    stats: Mapping[tuple[str, int, str], Any] = vars(pstats.Stats(profile))["stats"]
    for (file, _, name), (_, _, _, cumulated_s, callers) in stats.items():
        for (ending, function), phase in PHASES.items():
            if name == function and file.endswith(ending):
                twice_s = sum(c[3] for at, c in callers.items() if at[0].endswith(WITHIN_AN_EYE))
                found[phase] = found.get(phase, 0.0) + (cumulated_s - twice_s) / total_s
    found["the rest"] = max(0.0, 1 - sum(found.values()))
    return {k: round(v, 4) for k, v in sorted(found.items(), key=lambda item: -item[1])}


def measure_speed(
    brand: Path, *, base: str, num_turns: int, seed: int, emit: Listener = silent
) -> Result:
    """{"metrics", "profiles", "seconds_per_step"} of a brand's folder under the built-in recipe
    `mascot`: ratios of processor time per step, with bootstrap intervals over turns; shares of a
    step by stage and phase; medians by arm."""
    shared = _open(brand, base)
    stages = {name: _StageArm(shared, k) for k, name in enumerate(STAGES)}
    arms = {
        **{name: stage.turn for name, stage in stages.items()},
        "example": _example(shared, cached=False),
        "example_cached": _example(shared, cached=True),
    }
    emit(Started("speed", num_turns, "turns"))
    times: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(WARM_TURNS + num_turns):
        for name, turn in arms.items():
            began = time.process_time()
            turn()
            if number >= WARM_TURNS:
                times[name].append((time.process_time() - began) / STEPS_A_TURN)
        if number >= WARM_TURNS:
            emit(Advanced("speed", number + 1 - WARM_TURNS, {n: t[-1] for n, t in times.items()}))
    profiles = {name: stage.profiled(PROFILED_TURNS) for name, stage in stages.items()}
    for stage in stages.values():
        stage.close()
    for name, shares in profiles.items():
        told = ", ".join(f"{phase} {share:.0%}" for phase, share in shares.items() if share >= 0.01)
        emit(Noted(f"where a step of {name} goes: {told}"))
    emit(Finished("speed"))
    each = {
        name: [t / (stage.batch_size * (2 if stage.weight("prior") else 1)) for t in times[name]]
        for name, stage in zip(STAGES, shared.recipe.stage, strict=True)
    }
    return {
        "metrics": {
            "example_loop_ratio": _ratio(times["example"], times["plain"], 1.3, "higher", seed),
            "cached_loop_ratio": _ratio(
                times["example_cached"], times["plain"], 1.0, "higher", seed
            ),
            **{
                f"{name}_per_picture_ratio": _ratio(each[name], each["plain"], 1.6, "lower", seed)
                for name in STAGES[1:]
            },
            "plain_seconds_per_step": metric(float(np.median(times["plain"])), better="lower"),
        },
        "profiles": profiles,
        "seconds_per_step": {name: float(np.median(found)) for name, found in times.items()},
    }


def _ratio(
    numerator: list[float], denominator: list[float], bar: float, better: str, seed: int
) -> Result:
    """Geometric mean of the turns' ratios: each turn's steps stood side by side."""
    logs = [float(np.log(a / b)) for a, b in zip(numerator, denominator, strict=True)]
    interval = bootstrap(logs, None, seed=seed)
    ends = None if interval is None else [float(np.exp(end)) for end in interval]
    return metric(float(np.exp(np.mean(logs))), ends, bar=bar, better=better)


def _open(brand: Path, base: str) -> _Brand:
    from onbrand.artifacts import Dataset
    from onbrand.brief import Brief
    from onbrand.models import open_pack
    from onbrand.recipe import Recipe, Stage

    recipe = Recipe.load(RECIPE)
    quiet = recipe.validation.model_copy(update={"preview_every": 0})
    third = {**recipe.stage[1].model_dump(), "kind": "expression", "losses": EXPRESSION}
    recipe = recipe.model_copy(
        update={
            "validation": quiet,
            "base": base,
            "stage": [*recipe.stage, Stage.model_validate(third)],
        }
    )
    return _Brand(Dataset.load(brand / "dataset"), Brief.load(brand), recipe, open_pack(base))


def _example(shared: _Brand, *, cached: bool) -> Callable[[], None]:
    """A turn of the example's loop."""
    from onbrand.bench.training.example_loop import ExampleLoop
    from onbrand.models.diffusion import load_diffusion
    from onbrand.training.cache import in_order

    assets = in_order(shared.dataset)
    loop = ExampleLoop(
        load_diffusion(shared.pack),
        shared.recipe,
        [shared.dataset.path(asset) for asset in assets],
        [shared.brief.prompt(asset.caption) for asset in assets],
        cached=cached,
    )

    def turn() -> None:
        for _ in range(STEPS_A_TURN):
            loop.step()

    return turn
