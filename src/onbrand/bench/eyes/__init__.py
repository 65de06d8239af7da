"""How well a pack's eyes see: on drawings of reserved subjects, and on the real pictures.

Each role is measured if the pack has it, its evaluation twin beside it as a baseline: what a twin
cannot tell, it cannot judge. Finished parts are kept under `work`, by code and weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from onbrand.bench.eyes.folders import FOLDERS, fingerprint
from onbrand.bench.eyes.look import Look
from onbrand.bench.eyes.parts import PARTS, Both, Figures
from onbrand.bench.probe import kept, parts_folder
from onbrand.bench.record import Result, result
from onbrand.events import Advanced, Finished, Listener, Started, silent
from onbrand.files import write_json_atomic
from onbrand.models.layout import fingerprint_folders

__all__ = ["run_eyes"]

DATA = Path("../shared/data")


def run_eyes(
    *,
    base: str = "pocket",
    quick: bool = False,
    work: Path = Path("build/bench/eyes"),
    seed: int = 7,
    data: Path = DATA,
    json_path: Path | None = None,
    emit: Listener = silent,
) -> Result:
    """Run (or go on with) the bench and return its JSON object, written to `json_path` too.

    `data`: folder of gopher, dreambooth and fluent-emoji; what is not there is left out, with a
    note. `quick` looks at few drawings. Raises PackError, WeightsError, StorageError.
    """
    from onbrand.models import open_pack

    began = time.monotonic()
    pack = open_pack(base)
    look = Look(pack, 12 if quick else 300, seed, data, emit)
    weights = fingerprint_folders(sorted(pack.roles.values()))
    there = [f"{name} {fingerprint(data / name)}" for name in FOLDERS]
    folder = parts_folder(work, weights, seed, quick, there)
    emit(Started("eyes", len(PARTS), "parts"))
    look.tell_missing()  # here, since finished parts tell nothing
    ours: Figures = {}
    twins: Figures = {}
    for done, (name, measure) in enumerate(PARTS.items(), start=1):
        both = kept(folder, name, partial(_told, measure, look))
        ours |= both["ours"]
        twins |= both["twins"]
        emit(Advanced("eyes", done, {n: m["value"] for n, m in list(both["ours"].items())[:3]}))
    found = result(
        "eyes",
        seed=seed,
        seconds=time.monotonic() - began,
        metrics=ours,
        baselines={"twin": twins} if twins else {},
        quick=quick,
        pack={"name": pack.name, "fingerprint": pack.fingerprint, "revision": pack.revision},
        num_drawings=look.num,
    )
    if json_path is not None:
        write_json_atomic(json_path, found)
    emit(Finished("eyes", {name: m["value"] for name, m in ours.items()}))
    return found


def _told(measure: Callable[[Look], Both], look: Look) -> Result:
    ours, twins = measure(look)
    return {"ours": ours, "twins": twins}
