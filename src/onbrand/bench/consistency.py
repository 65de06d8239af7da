"""Is the right character drawn? Many reserved characters, the whole road for each.

For every character: draw pictures as a designer would deliver them, `road.new`, `road.train`, the
dreambooth_lora baseline on the same number of pictures, and `road.compare` on prompts that name
what it does in no training picture. A character's figures are its pictures' mean; the bench's are
the characters' mean, with intervals resampled by character. Each finished character is a JSON file
under `work`, so a run can be stopped at any time and goes on behind the last one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from onbrand.artifacts import alignment_name
from onbrand.bench.crew import at_once
from onbrand.bench.exam import (
    Settings,
    drawn_folder,
    drawn_truly,
    eyes,
    figures,
    questions,
    start,
    train,
)
from onbrand.bench.probe import kept
from onbrand.bench.record import Result
from onbrand.bench.summary import OURS, TRUE, summarise
from onbrand.events import Advanced, Finished, Listener, Started, silent
from onbrand.files import fingerprint_bytes, write_json_atomic
from onbrand.recipe import GATE_ROLES

__all__ = ["LEARNING_RATES", "run_consistency"]

LEARNING_RATES = (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3)
TUNING_IDS = (200, 201)
"""Characters on which the baseline's learning rate is searched: never among the measured ones."""


def run_consistency(
    *,
    base: str = "pocket",
    num_characters: int = 20,
    num_prompts: int = 10,
    num_per_prompt: int = 2,
    quick: bool = False,
    work: Path = Path("build/bench/consistency"),
    seed: int = 7,
    recipe: str = "demo",
    learning_rates: Sequence[float] = LEARNING_RATES,
    json_path: Path | None = None,
    num_workers: int = 1,
    emit: Listener = silent,
) -> Result:
    """Run (or go on with) the bench and return its JSON object, written to `json_path` too.

    `quick`: 2 characters, 2 prompts, a few steps, no search: shows that it works, and the figures
    say nothing. `learning_rates` are tried for dreambooth_lora on characters outside the bench; the
    best by training-side figures is used for all. `num_workers` characters are worked on at once,
    each in a process with its share of the cores; figures agree to rounding. Raises what the road
    raises, but for GateFailed: a character whose gate failed counts with the stage that would ship.
    """
    pack, settings = Settings.of(
        base, recipe, quick=quick, num_prompts=num_prompts, num_per_prompt=num_per_prompt,
        seed=seed, learning_rates=tuple(learning_rates),
    )  # fmt: skip
    num_characters = min(num_characters, 2) if quick else num_characters
    folder = settings.folder(work)
    seen_by = fingerprint_bytes(str(pack.role_fingerprints(GATE_ROLES)).encode())[:8]
    rate = _learning_rate(settings, pack.num_px, folder, seen_by, num_workers, emit)

    task = "consistency"
    emit(Started(task, num_characters, "characters"))
    work_on = partial(
        _character, settings=settings, size_px=pack.num_px, rate=rate, folder=folder,
        judged_by=eyes(pack),
    )  # fmt: skip
    records = []
    for record in at_once(work_on, range(num_characters), num_workers, emit):
        records.append(record)
        numbers = {
            "retrieval": records[-1]["arms"][OURS].get("retrieval_fraction", 0.0),
            "identity": records[-1]["arms"][OURS]["identity"],
        }
        emit(Advanced(task, len(records), numbers))
    found = summarise(records, seed=seed)
    found |= {"quick": quick, "learning_rate": rate, "settings": settings.to_dict()}
    if json_path is not None:
        write_json_atomic(json_path, found)
    emit(Finished(task, {name: m["value"] for name, m in found["metrics"].items()}))
    return found


def _learning_rate(
    settings: Settings, size_px: int, folder: Path, seen_by: str, num_workers: int, emit: Listener
) -> float:
    """The baseline's learning rate: the best mean training-side score on the tuning characters,
    searched anew where `seen_by`, a fingerprint of what the training side sees through, is another.

    The score is identity, minus what alignment falls short of the best candidate's by more than
    3 %: the same two things our own settings were chosen by.
    """
    if len(settings.learning_rates) == 1:
        return settings.learning_rates[0]
    file = folder / f"learning_rate-{seen_by}.json"
    if file.is_file():
        return float(json.loads(file.read_text(encoding="utf-8"))["learning_rate"])
    task = "baseline's learning rate"
    emit(Started(task, len(TUNING_IDS), "characters"))
    try_on = partial(_try_rates, settings=settings, size_px=size_px, folder=folder, seen_by=seen_by)
    tried: list[Mapping[str, Mapping[str, float]]] = []
    for found in at_once(try_on, TUNING_IDS, num_workers, emit):
        tried.append(found)
        emit(Advanced(task, len(tried)))
    follows = alignment_name(tried[0][str(settings.learning_rates[0])])
    means = {
        rate: {
            name: sum(found[str(rate)][name] for found in tried) / len(tried)
            for name in ("identity", follows)
        }
        for rate in settings.learning_rates
    }
    wanted = 0.97 * max(found[follows] for found in means.values())
    best = max(means, key=lambda r: means[r]["identity"] - max(0.0, wanted - means[r][follows]))
    write_json_atomic(
        file, {"learning_rate": best, "tried": {str(rate): found for rate, found in means.items()}}
    )
    return best


def _try_rates(
    identity: int,
    settings: Settings,
    size_px: int,
    folder: Path,
    seen_by: str,
    emit: Listener = silent,
) -> Result:
    """Training-side figures of the baseline on a tuning character, by str(learning rate)."""
    from onbrand import road

    file = folder / f"rates-{identity:03d}-{seen_by}.json"
    tried: Result = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    brand = start(identity, settings, size_px, folder, emit)
    train(brand, emit)
    for rate in settings.learning_rates:
        if str(rate) not in tried:
            model = road.train_baseline(brand, learning_rate=rate, emit=emit)
            tried[str(rate)] = dict(model.stages[-1].metrics)
            write_json_atomic(file, tried)
    return tried


def _character(
    identity: int,
    settings: Settings,
    size_px: int,
    rate: float,
    folder: Path,
    judged_by: str,
    emit: Listener = silent,
) -> Result:
    """One character's record: read when it is finished, made when it is not."""
    make = partial(_record, identity, settings, size_px, rate, folder, emit)
    return kept(folder, f"character-{identity:03d}-{rate:g}-{judged_by}", make)


def _record(
    identity: int, settings: Settings, size_px: int, rate: float, folder: Path, emit: Listener
) -> Result:
    """Train our arm and the baseline, and measure both beside the untouched base."""
    from onbrand import road
    from onbrand.illustrator import character, describe
    from onbrand.judging import ArmPictures

    began = time.monotonic()
    brand = start(identity, settings, size_px, folder, emit)
    train(brand, emit)
    road.train_baseline(brand, learning_rate=rate, emit=emit)
    drawn = drawn_folder(identity, folder)
    asked = questions(identity, settings, size_px, drawn)
    contest = road.open_contest(brand, emit=emit, **asked)
    found = road.compare(brand, contest, emit=emit)
    shipped = found.model.ship.get("stage") or found.model.stages[-1].name
    arms = {name: figures(measured.arm) for name, measured in found.measured.items()}
    arms["real"] = figures(found.judgement.baselines["real"])
    truly = ArmPictures(
        name=TRUE,
        pictures=drawn_truly(identity, settings, size_px, drawn),
        texts=contest.class_texts,
        expected=[wanted for wanted in asked["expected"] for _ in contest.seeds],
    )
    arms[TRUE] = figures(contest.judge.measure(truly).arm)
    return {
        "id": identity,
        "character": describe(character(identity)),
        "shipped": shipped,
        "sentence": found.verdict.sentence,
        "chance": found.references.gallery.chance,
        "seconds": round(time.monotonic() - began, 1),
        "arms": {OURS: arms[shipped], **arms},
    }
