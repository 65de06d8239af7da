"""Does each diagnosis see its fault, and nothing else? On planted faults and on real failures.

Sets of eight pictures, as a stage's validation pictures are, of reserved characters with one fault
planted at three severities, are told from clean ones, through the evaluation eyes, which reports
have, and through the training side's, which gates have. The limits above which a fault is named
come from characters that are not graded here. Real failures are runs on the pack itself.
Finished characters are kept under `work`, by code and weights.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from onbrand.bench.characters import drawn_pictures
from onbrand.bench.diagnosis.again import drawn_again, sights
from onbrand.bench.diagnosis.failures import failures_of
from onbrand.bench.diagnosis.plant import FAULTY, SEVERITIES, PlantedSet, planted_sets
from onbrand.bench.diagnosis.score import base_accused, calibrated, figures
from onbrand.bench.exam import JUDGES
from onbrand.bench.probe import kept, parts_folder
from onbrand.bench.record import Result, result
from onbrand.errors import InputError
from onbrand.events import Advanced, Finished, Listener, Started, silent
from onbrand.files import write_json_atomic
from onbrand.recipe import GATE_ROLES

if TYPE_CHECKING:
    from onbrand.judging.diagnosis import Diagnoser
    from onbrand.judging.sight import See
    from onbrand.models.packs import Pack

__all__ = ["CALIBRATION_IDS", "EYES", "run_diagnosis"]

EYES = ("evaluation", "training")
CALIBRATION_IDS = tuple(range(210, 216))
"""Characters that set the limits: never among those that are graded, which count from 0."""

FAILED_IDS = (112, 113)  # from 100 on, as the ablation's: the consistency bench grades others
NUM_TRAIN, NUM_HELD_OUT, NUM_MEMORY = 12, 6, 60


def run_diagnosis(
    *,
    base: str = "pocket",
    num_characters: int = 12,
    num_sets: int = 2,
    num_failed: int = 1,
    quick: bool = False,
    work: Path = Path("build/bench/diagnosis"),
    seed: int = 7,
    json_path: Path | None = None,
    emit: Listener = silent,
) -> Result:
    """Run (or go on with) the bench and return its JSON object, written to `json_path` too.

    `num_failed` characters are trained five times each, which takes most of the time; 0 leaves real
    failures out. `quick`: two characters and none. "limits" in the result are what the calibration
    characters say (none of memorised, whose limit is a definition);
    `onbrand.judging.diagnosis.LIMITS` holds the ones that were used.
    Raises InputError for more characters than may be graded, PackError where the pack lacks the
    eyes, and StorageError.
    """
    from onbrand.judging.diagnosis import LIMITS
    from onbrand.models import open_pack

    began = time.monotonic()
    if quick:
        num_characters, num_sets, num_failed = min(num_characters, 2), 1, 0
    if num_characters > CALIBRATION_IDS[0]:
        raise InputError(
            f"{num_characters} characters: {CALIBRATION_IDS[0]} and those behind set the limits, "
            f"and are not graded by them. Take {CALIBRATION_IDS[0]} or fewer."
        )
    pack = open_pack(base)
    ids = (*range(num_characters), *(CALIBRATION_IDS[:1] if quick else CALIBRATION_IDS))
    eyes = pack.role_fingerprints((*JUDGES, *GATE_ROLES))
    folder = parts_folder(work, pack.fingerprint, eyes, seed, num_sets, quick)
    emit(Started("diagnosis", len(ids), "characters"))
    sees: dict[str, See] = {}
    records: dict[int, Result] = {}
    for done, identity in enumerate(ids, start=1):
        look = partial(_character, identity, pack, sees, num_sets, seed)
        records[identity] = kept(folder, f"character-{identity:03d}", look)
        emit(Advanced("diagnosis", done))
    graded = [records[identity] for identity in range(num_characters)]
    others = [
        _with_chance(records[identity], kept(folder, f"again-{identity:03d}", again))
        for identity in ids[num_characters:]
        for again in [partial(drawn_again, identity, pack, num_steps=4 if quick else 12, seed=seed)]
    ]
    told = {
        eyes: figures([record[eyes] for record in graded], LIMITS[eyes], seed)
        | base_accused([record[eyes] for record in others], LIMITS[eyes], seed)
        for eyes in EYES
    }
    failures = {
        str(identity): failures_of(
            identity, base=base, pack=pack, folder=folder, seed=seed, emit=emit
        )
        for identity in FAILED_IDS[:num_failed]
    }
    found = result(
        "diagnosis",
        seed=seed,
        seconds=time.monotonic() - began,
        metrics=told["evaluation"],
        baselines={"gates": told["training"]},
        quick=quick,
        pack={"name": pack.name, "fingerprint": pack.fingerprint, "revision": pack.revision},
        num_characters=num_characters,
        num_sets=num_sets,
        limits={eyes: calibrated([record[eyes] for record in others]) for eyes in EYES},
        failures=failures,
    )
    if json_path is not None:
        write_json_atomic(json_path, found)
    emit(Finished("diagnosis", {name: m["value"] for name, m in found["metrics"].items()}))
    return found


def _with_chance(record: Result, again: Result) -> Result:
    """A calibration character's record, with what the base's own sets differ by."""
    return {eyes: {**record[eyes], "again": again[eyes]} for eyes in EYES}


def _character(identity: int, pack: Pack, sees: dict[str, See], num_sets: int, seed: int) -> Result:
    """One character's record: per eyes, what is told of clean and of planted sets."""
    from onbrand.judging.diagnosis import Diagnoser

    if not sees:
        sees |= sights(pack)
    real = drawn_pictures(
        identity, NUM_TRAIN + NUM_HELD_OUT + NUM_MEMORY, size_px=pack.num_px, seed=seed
    )
    train, held_out = real[:NUM_TRAIN], real[NUM_TRAIN : NUM_TRAIN + NUM_HELD_OUT]
    sets = planted_sets(identity, train, num_sets, size_px=pack.num_px, seed=seed)
    record: Result = {}
    for eyes in EYES:
        diagnoser = Diagnoser(
            sees[eyes], train=train, held_out=held_out, held_out_for_memory=real[NUM_TRAIN:]
        )
        record[eyes] = _told(diagnoser, sets)
    return record


def _told(diagnoser: Diagnoser, sets: Sequence[PlantedSet]) -> Result:
    """The excesses of all sets through one kind of eyes, and single pictures' values."""
    from onbrand.judging.diagnosis import excesses
    from onbrand.judging.indices import drift

    clean: list[Mapping[str, float]] = []
    single: list[Mapping[str, list[list[float]]]] = []
    planted: dict[str, dict[str, list[Mapping[str, float]]]] = {
        fault: {str(severity): [] for severity in SEVERITIES} for fault in FAULTY
    }
    for one in sets:
        base = diagnoser.see(one.class_base)
        base_figures = diagnoser.figures(base)
        still = drift(diagnoser.see(one.class_clean).identity, base.identity)
        seen = diagnoser.see(one.clean)
        figures_clean = diagnoser.figures(seen) | {"prior_drift": still}
        clean.append(excesses(figures_clean, base_figures))
        values = {name: [_listed(row)] for name, row in diagnoser.values(seen).items()}
        for fault in FAULTY:
            for severity in SEVERITIES:
                sight = diagnoser.see(one.planted[fault][severity])
                if fault == "drift":
                    moved = {"prior_drift": drift(sight.identity, base.identity)}
                    told = excesses(figures_clean | moved, base_figures)
                else:
                    told = excesses(diagnoser.figures(sight) | {"prior_drift": still}, base_figures)
                    values[fault].append(_listed(diagnoser.values(sight)[fault]))
                planted[fault][str(severity)].append(told)
        values.pop("pose")  # no single picture lacks variety
        single.append(values)
    return {"clean": clean, "planted": planted, "single": single}


def _listed(values: object) -> list[float]:
    """Finite numbers, for JSON."""
    import numpy as np

    row = np.asarray(values, np.float64)
    return [float(value) for value in row[np.isfinite(row)]]
