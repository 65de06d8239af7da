"""A sweep's outcome as the report's room wants it: rows, pictures, commands."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from onbrand.artifacts import Pictures
from onbrand.errors import counted
from onbrand.recipe import Recipe
from onbrand.road.places import Places
from onbrand.road.sweeps.grid import Combination, said
from onbrand.road.sweeps.outcome import Sweep, Trial
from onbrand.road.sweeps.settings import written
from onbrand.road.sweeps.sources import words_of

if TYPE_CHECKING:
    from onbrand.report import Shown, SweepRow

__all__ = ["next_commands", "write_pages"]

MOST_COLUMNS = 8


def write_pages(found: Sweep, places: Places, recipe: Recipe) -> Path:
    """Writes sweep.html, sweep.json, sheet.png and tradeoff.svg into sweep/; the page's path."""
    from onbrand.report import SweepContext, SweepRow, write_sweep

    num_shown = max(1, min(len(found.seeds), MOST_COLUMNS // len(found.prompts)))
    context = SweepContext(
        brand=places.brief().name,
        lead=found.lead,
        reason=found.take.reason,
        advice=[found.take.doubt] if found.take.doubt else [],
        rows=[_row(trial, found, num_shown) for trial in found.trials],
        base=SweepRow(
            0,
            "untouched base",
            found.base,
            usable=False,
            pictures=_pictures(found.base_pictures, "untouched base", found, num_shown),
        ),
        prompts=found.prompts[:MOST_COLUMNS],
        facts=_facts(found, recipe),
        commands=next_commands(found, places),
    )
    return write_sweep(places.sweep, context, found.to_dict())


def next_commands(found: Sweep, places: Places) -> list[str]:
    """What to run to use what was found."""
    trial = found.chosen
    if trial is None:
        return []
    commands = []
    if trial.combination.training:
        commands += [f"{_again(found, places)} --apply", places.command("train")]
    return [*commands, _generate(trial.combination, places)]


def _again(found: Sweep, places: Places) -> str:
    """The call of this very sweep."""
    words = [f"--set {shlex.quote(words_of(axis))}" for axis in found.axes]
    if found.num_random is not None:
        words.append(f"--random {found.num_random} --seed {found.seed}")
    return " ".join([places.command("sweep"), *words])


def _generate(combination: Combination, places: Places) -> str:
    """The `onbrand generate` that draws as the combination does; the text stands for any."""
    drawing = combination.drawing
    flags = f"--brand {shlex.quote(str(places.root))} --steps {drawing.num_steps}"
    flags += f" --guidance {written(drawing.guidance)}"
    if drawing.sampler:
        flags += f" --sampler {drawing.sampler}"
    if drawing.negative:
        flags += f" --negative {shlex.quote(drawing.negative)}"
    return f"onbrand generate {shlex.quote(drawing.words('waving on a beach'))} {flags}"


def _row(trial: Trial, found: Sweep, num_shown: int) -> SweepRow:
    from onbrand.report import SweepRow

    number = trial.combination.number
    return SweepRow(
        number=number,
        label=trial.combination.label,
        arm=trial.arm,
        note="" if trial.state == "done" else f"{trial.state}: {trial.reason}",
        cost=_cost(trial),
        chosen=found.chosen is trial,
        front=number in found.front,
        usable=trial.state == "done",
        pictures=_pictures(trial.pictures, trial.combination.label, found, num_shown),
    )


def _cost(trial: Trial) -> str:
    if not trial.num_pictures_seen:
        return ""
    seen = counted(trial.num_pictures_seen, "picture")
    return f"{seen} seen, {trial.seconds / 60:.1f} min; drawn by stage {trial.stage}"


def _pictures(shots: Pictures | None, label: str, found: Sweep, num_shown: int) -> list[Shown]:
    """The first seeds of each prompt, prompt by prompt."""
    from onbrand.report import Shown

    if shots is None:
        return []
    num = len(found.seeds)
    chosen = [p * num + k for p in range(len(found.prompts)) for k in range(num_shown)]
    return [
        Shown(picture=shots.open(index), alt=f"{label}: {found.prompts[index // num]}")
        for index in chosen[: MOST_COLUMNS * num_shown]
    ]


def _facts(found: Sweep, recipe: Recipe) -> list[tuple[str, str]]:
    done = sum(trial.state == "done" for trial in found.trials)
    tried = f"{len(found.trials)} of {found.grid_size}"
    return [
        *(
            (axis.path, ", ".join(said(value, axis.path) for value in axis.values))
            for axis in found.axes
        ),
        ("combinations", f"{tried}, {done} done"),
        ("prompts × seeds", f"{len(found.prompts)} × {len(found.seeds)}"),
        ("base", recipe.base),
        ("seed of training", str(recipe.seed)),
    ]
