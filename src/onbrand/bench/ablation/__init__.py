"""What does each loss and each identity mode bring? The same characters and seeds, and as many
pictures seen but for a row that adds a stage; one thing changed at a time or those that the row's
words name; judged by the evaluation twins.

A row's brand folder begins as a copy of the row's that it is compared with, so that training keeps
the stages that both have. Finished rows of a character are JSON files under `work`: a run can be
stopped at any time, and other rows be asked for later.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from onbrand.artifacts import BrandModel
from onbrand.bench.ablation.rows import FIRST, ROWS, recipe_of
from onbrand.bench.ablation.score import summarise_rows
from onbrand.bench.crew import at_once
from onbrand.bench.exam import Settings, drawn_folder, eyes, figures, questions, start, train
from onbrand.bench.probe import kept
from onbrand.bench.record import Result
from onbrand.errors import InputError
from onbrand.events import Advanced, Finished, Listener, Noted, Started, silent
from onbrand.files import fingerprint_bytes, write_json_atomic, write_text_atomic

if TYPE_CHECKING:
    from onbrand.road import Contest

__all__ = ["ROWS", "run_ablation"]

FIRST_ID = 100
"""The first character: what is chosen here is graded by the consistency bench on others, from 0."""

NUM_SAMPLING_STEPS = 12  # rows are compared with rows; fewer steps leave hours for more of them


def run_ablation(
    *,
    base: str = "pocket",
    num_characters: int = 8,
    rows: Sequence[str] = (),
    num_prompts: int = 8,
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
    recipe needs stages of kinds appearance and detail, in steps. `quick`: 2 characters, a few
    steps: the figures say nothing. `num_workers` as in `run_consistency`. Raises InputError for an
    unknown row, RecipeError for a recipe without these stages, and what the road raises.
    """
    wanted = _with_ancestors(rows or tuple(ROWS))
    pack, settings = Settings.of(
        base, recipe, quick=quick, num_prompts=num_prompts, num_per_prompt=num_per_prompt,
        num_steps=NUM_SAMPLING_STEPS, seed=seed,
    )  # fmt: skip
    for name in wanted:  # a recipe that lacks a stage is refused before anything is trained
        recipe_of(ROWS[name], settings.recipe)
    num_characters = min(num_characters, 2) if quick else num_characters
    folder = settings.folder(work)
    task = "ablation"
    emit(Started(task, num_characters, "characters"))
    work_on = partial(
        _character, rows=wanted, settings=settings, size_px=pack.num_px, folder=folder,
        judged_by=eyes(pack),
    )  # fmt: skip
    records = []
    ids = range(FIRST_ID, FIRST_ID + num_characters)
    for record in at_once(work_on, ids, num_workers, emit):
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
    real pictures have. Rows that are finished are read, the others made."""
    work = Work(identity, settings, size_px, folder, emit)
    found = {
        name: kept(
            folder / name,
            f"character-{identity:03d}-{work.trained_by(name)}-{judged_by}",
            partial(work.row, name),
        )
        for name in rows
    }
    beside = kept(folder / FIRST, f"beside-{identity:03d}-{judged_by}", work.beside)
    return {
        "id": identity,
        "seconds": sum(float(told["seconds"]) for told in found.values()),
        "rows": {name: told["figures"] for name, told in found.items()},
        "beside": beside,
    }


@dataclass
class Work:
    """One character, its rows trained one by one, its judge opened once."""

    identity: int
    settings: Settings
    size_px: int
    folder: Path
    emit: Listener

    def trained_by(self, name: str) -> str:
        """A fingerprint of the row's recipe."""
        return fingerprint_bytes(recipe_of(ROWS[name], self.settings.recipe).encode())[:8]

    @cached_property
    def contest(self) -> Contest:
        """The prompts and the judge, who has looked at the untouched base."""
        from onbrand import road

        brand = self.brand(FIRST)
        drawn = drawn_folder(self.identity, self.folder / FIRST)
        asked = questions(self.identity, self.settings, self.size_px, drawn)
        opened = road.open_contest(brand, emit=self.emit, **asked)
        base, _ = road.untouched(opened, BrandModel.load(brand / "model"))
        opened.base = opened.shown(opened.draw(base, brand / "judged"))
        return opened

    def beside(self) -> Result:
        """Figures of base, prompt_only and the real pictures."""
        from onbrand import road

        brand, contest = self.brand(FIRST), self.contest
        arms = {
            entry.name: contest.measure(contest.draw(entry, brand / "judged")).arm
            for entry in road.untouched(contest, BrandModel.load(brand / "model"))
        }
        arms["real"] = contest.judge.measure_real()
        return {name: figures(arm) for name, arm in arms.items()}

    def row(self, name: str) -> Result:
        """{"figures" of the row's last stage, "seconds"}."""
        from onbrand import road

        began = time.monotonic()
        self.emit(Noted(f"character {self.identity}, {name}"))
        brand = self.brand(name)
        train(brand, self.emit)
        model = BrandModel.load(brand / "model")
        entry = road.entry_of(self.contest, model, model.stages[-1].name)
        measured = self.contest.measure(self.contest.draw(entry, brand / "judged"))
        return {"figures": figures(measured.arm), "seconds": round(time.monotonic() - began, 1)}

    def brand(self, name: str) -> Path:
        """The row's brand folder: a copy of the compared row's, with the row's recipe."""
        if name == FIRST:
            begun = start(
                self.identity, self.settings, self.size_px, self.folder / FIRST, self.emit
            )
        else:
            begun = self.folder / name / f"brand-{self.identity:03d}"
            if not begun.exists():
                copying = begun.with_name(f".{begun.name}")  # one that was cut short is no start
                shutil.rmtree(copying, ignore_errors=True)
                shutil.copytree(self.folder / ROWS[name].against / begun.name, copying)
                copying.rename(begun)
        write_text_atomic(begun / "recipe.toml", recipe_of(ROWS[name], self.settings.recipe))
        return begun
