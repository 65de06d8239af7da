"""Is training to be trusted? Killed runs, and where a step's time goes.

Parts are kept under `work`, by code and weights: changed code is measured anew.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from onbrand.artifacts.origin import source_fingerprint
from onbrand.bench.record import Result, result
from onbrand.bench.training.kills import measure_kills
from onbrand.errors import InputError
from onbrand.events import Listener, silent
from onbrand.files import fingerprint_bytes, write_json_atomic

__all__ = ["PARTS", "run_training"]

PARTS = ("kills",)


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
    """Run (or go on with) the bench and return its JSON object, written to `json_path` too.

    `quick` kills three runs and times few steps. Raises InputError for an unknown part, PackError,
    StorageError, TrainingError when a run that was killed cannot go on.
    """
    from onbrand.models import open_pack

    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise InputError(f"no part {', '.join(unknown)} of the bench: there are {', '.join(PARTS)}")
    began = time.monotonic()
    pack = open_pack(base)
    told = f"{pack.fingerprint} {source_fingerprint()} {seed} {quick}"
    folder = work / fingerprint_bytes(told.encode())
    found: Result = {"metrics": {}, "baselines": {}}
    if "kills" in parts:
        found["metrics"] |= measure_kills(
            folder / "kills", base=base, num=3 if quick else 20, seed=seed, emit=emit
        )
    made = result(
        "training",
        seed=seed,
        seconds=time.monotonic() - began,
        metrics=found["metrics"],
        baselines=found["baselines"],
        quick=quick,
        pack={"name": pack.name, "fingerprint": pack.fingerprint, "revision": pack.revision},
        parts=list(parts),
    )
    if json_path is not None:
        write_json_atomic(json_path, made)
    return made
