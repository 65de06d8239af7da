"""Is training to be trusted? Killed runs, where a step's time goes, and whether a character that
was never trained on is followed from three pictures.

Parts are kept under `work`, by code and weights: changed code is measured anew.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from onbrand.bench.compare import read_result
from onbrand.bench.probe import kept, parts_folder
from onbrand.bench.record import Result, result
from onbrand.bench.training.follow import measure_follow
from onbrand.bench.training.kills import measure_kills, new_brand
from onbrand.bench.training.speed import measure_speed
from onbrand.errors import InputError
from onbrand.events import Listener, silent
from onbrand.files import write_json_atomic

__all__ = ["PARTS", "run_training"]

PARTS = ("kills", "speed", "follow")


def run_training(
    *,
    base: str = "pocket",
    quick: bool = False,
    work: Path = Path("build/bench/training"),
    seed: int = 7,
    parts: Sequence[str] = PARTS,
    json_path: Path | None = None,
    emit: Listener = silent,
) -> Result:
    """Run (or go on with) the bench and return its JSON object, written to `json_path` too; what
    that file says of the other parts stays in it.

    `quick` kills three runs and times few steps. Raises InputError for an unknown part, PackError,
    StorageError, TrainingError when a run that was killed cannot go on.
    """
    from onbrand.models import open_pack

    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise InputError(f"no part {', '.join(unknown)} of the bench: there are {', '.join(PARTS)}")
    began = time.monotonic()
    stored = read_result(json_path) if json_path is not None and json_path.exists() else {}
    pack = open_pack(base)
    folder = parts_folder(work, pack.fingerprint, seed, quick)
    found: Result = {"metrics": {}}
    baselines: Result = {}
    if "kills" in parts:
        found["metrics"] |= measure_kills(
            folder / "kills", base=base, num=3 if quick else 20, seed=seed, emit=emit
        )
    if "speed" in parts:
        brand = new_brand(folder / "speed", base, seed)
        timed = partial(
            measure_speed, brand, base=base, num_turns=3 if quick else 16, seed=seed, emit=emit
        )
        speed = kept(folder, "speed", timed)
        found["metrics"] |= speed["metrics"]
        found |= {name: speed[name] for name in ("profiles", "seconds_per_step")}
    if "follow" in parts:
        followed = measure_follow(
            folder / "follow", pack, num_characters=2 if quick else 20,
            num_prompts=2 if quick else 4, num_steps=3 if quick else 20, seed=seed, emit=emit,
        )  # fmt: skip
        found["metrics"] |= followed["metrics"]
        baselines |= followed["baselines"]
    made = result(
        "training",
        seed=seed,
        seconds=time.monotonic() - began,
        metrics=found.pop("metrics"),
        baselines=baselines,
        quick=quick,
        pack={"name": pack.name, "fingerprint": pack.fingerprint, "revision": pack.revision},
        **found,
    )
    made = with_stored(made, stored)
    if json_path is not None:
        write_json_atomic(json_path, made)
    return made


def with_stored(made: Result, stored: Result) -> Result:
    """A result with what a stored one has beyond it: parts may be measured on different days.

    `measured_at` names the commit and `measured_on` the processor of every figure that stays.
    Figures of another pack, seed or a quick run are of something else: nothing of them stays.
    """
    if any(stored.get(name) != made[name] for name in ("pack", "seed", "quick")):
        return made
    old = {name: m for name, m in stored["metrics"].items() if name not in made["metrics"]}
    processor = stored["machine"]["processor"]
    at = {name: stored.get("measured_at", {}).get(name, stored["commit"]) for name in old}
    on = {name: stored.get("measured_on", {}).get(name, processor) for name in old}
    facts = {name: fact for name, fact in stored.items() if name not in made}
    beside = {**stored.get("baselines", {}), **made.get("baselines", {})}
    return {
        **made,
        **facts,
        "metrics": {**old, **made["metrics"]},
        "baselines": beside,
        "measured_at": at,
        "measured_on": on,
    }
