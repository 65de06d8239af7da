"""What does each loss and each identity mode bring? The same characters, seeds and pictures seen,
one thing changed at a time, judged by the evaluation twins.

A row's brand folder begins as a copy of the row's that it is compared with, so that training keeps
the stages that both have. Finished rows of a character are JSON files under `work`: a run can be
stopped at any time, and other rows be asked for later.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from onbrand.bench.ablation.rows import FIRST, ROWS, recipe_of
from onbrand.bench.ablation.score import summarise_rows
from onbrand.bench.crew import at_once
from onbrand.bench.exam import (
    Settings,
    drawn_folder,
    figures_of,
    judges,
    put_to_prompts,
    start,
    train,
)
from onbrand.bench.record import Result
from onbrand.errors import InputError
from onbrand.events import Advanced, Finished, Listener, Noted, Started, silent
from onbrand.files import write_json_atomic, write_text_atomic

__all__ = ["ROWS", "run_ablation"]


def run_ablation(
    *,
    base: str = "pocket",
    num_characters: int = 8,
    rows: Sequence[str] = (),
    num_prompts: int = 10,
    num_per_prompt: int = 2,
    quick: bool = False,
    work: Path = Path("build/bench/ablation"),
    seed: int = 7,
    recipe: str = "demo",
    json_path: Path | None = None,
    num_workers: int = 1,
    emit: Listener = silent,
) -> Result:
    """Run (or go on with) the bench and return its JSON object, written to `json_path` too.

    `rows` are names of `ROWS`, all when empty; those that they are compared with come along. The
    recipe needs stages of kinds appearance and detail. `quick`: 2 characters, a few steps: the
    figures say nothing. `num_workers` as in `run_consistency`. Raises InputError for an unknown
    row, and what the road raises.
    """
    from onbrand.models import open_pack
    from onbrand.recipe import recipe_file

    wanted = _with_ancestors(rows or tuple(ROWS))
    pack = open_pack(base)
    settings = Settings(
        base=base,
        pack=pack.fingerprint,
        recipe=recipe_file(recipe).read_text(encoding="utf-8"),
        num_prompts=num_prompts,
        num_per_prompt=num_per_prompt,
        seed=seed,
    )
    if quick:
        settings, num_characters = settings.quick(), min(num_characters, 2)
    folder = work / settings.key
    write_json_atomic(folder / "settings.json", settings.to_dict())
    task = "ablation"
    emit(Started(task, num_characters, "characters"))
    work_on = partial(
        _character, rows=wanted, settings=settings, size_px=pack.num_px, folder=folder,
        judged_by=judges(pack),
    )  # fmt: skip
    records = []
    for record in at_once(work_on, range(num_characters), num_workers, emit):
        records.append(record)
        emit(Advanced(task, len(records)))
    found = summarise_rows(records, {name: ROWS[name] for name in wanted}, seed=seed)
    found |= {"quick": quick, "settings": settings.to_dict()}
    if json_path is not None:
        write_json_atomic(json_path, found)
    emit(Finished(task, {"rows": len(wanted), "characters": num_characters}))
    return found


def _with_ancestors(names: Sequence[str]) -> tuple[str, ...]:
    """The rows asked for and all that they are compared with, in the order of `ROWS`."""
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        raise InputError(
            f"no row {', '.join(unknown)} of the ablation: there are {', '.join(ROWS)}"
        )
    kept = set(names) | {FIRST}
    for name in reversed(list(ROWS)):
        if name in kept and ROWS[name].against:
            kept.add(ROWS[name].against)
    return tuple(name for name in ROWS if name in kept)


def _character(
    identity: int,
    rows: Sequence[str],
    settings: Settings,
    size_px: int,
    folder: Path,
    judged_by: str,
    emit: Listener = silent,
) -> Result:
    """{"id", "seconds", "rows": row → figures} of one character, and what base, prompt_only and the
    real pictures have."""
    record: Result = {"id": identity, "seconds": 0.0, "rows": {}, "beside": {}}
    for name in rows:
        found = _row(identity, name, settings, size_px, folder, judged_by, emit)
        record["seconds"] += found["seconds"]
        record["rows"][name] = found["figures"]
        record["beside"] = found["beside"]
    return record


def _row(
    identity: int,
    name: str,
    settings: Settings,
    size_px: int,
    folder: Path,
    judged_by: str,
    emit: Listener,
) -> Result:
    """One row of a character: read when it is finished, made when it is not."""
    file = folder / name / f"character-{identity:03d}-{judged_by}.json"
    if file.is_file():
        done: Result = json.loads(file.read_text(encoding="utf-8"))
        return done
    began = time.monotonic()
    emit(Noted(f"character {identity}, {name}"))
    brand = _brand(identity, name, settings, size_px, folder, emit)
    train(brand, emit)
    found = put_to_prompts(
        brand, identity, settings, size_px, drawn_folder(identity, folder / FIRST), emit
    )
    arms = figures_of(found)
    made: Result = {
        "figures": arms[found.model.stages[-1].name],
        "beside": {arm: arms[arm] for arm in ("base", "prompt_only", "real")},
        "seconds": round(time.monotonic() - began, 1),
    }
    write_json_atomic(file, made)
    return made


def _brand(
    identity: int, name: str, settings: Settings, size_px: int, folder: Path, emit: Listener
) -> Path:
    """The row's brand folder: a copy of the compared row's, with the row's recipe."""
    recipe = recipe_of(ROWS[name], settings.recipe)
    if name == FIRST:
        brand = start(identity, settings, size_px, folder / FIRST, emit)
    else:
        brand = folder / name / f"brand-{identity:03d}"
        if not brand.exists():
            copying = brand.with_name(f".{brand.name}")  # a copy that was cut short is no start
            shutil.rmtree(copying, ignore_errors=True)
            shutil.copytree(folder / ROWS[name].against / brand.name, copying)
            copying.rename(brand)
    write_text_atomic(brand / "recipe.toml", recipe)
    return brand
