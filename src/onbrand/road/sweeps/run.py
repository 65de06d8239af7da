"""sweep: each combination is trained (unless it was), draws the same pictures, and is measured.

A plain loop. What is finished is found again by its content: a training by its recipe, pictures and
base (sweep/models/KEY), a combination's pictures by the adapter, words, seeds and settings that
drew them (sweep/runs/KEY). So it can be stopped at any time and called again. Figures are made
anew each time: they take a moment, and are never stale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic

from onbrand.artifacts import alignment_name
from onbrand.errors import DatasetError
from onbrand.events import (
    Advanced,
    Finished,
    Listener,
    Noted,
    Started,
    Warned,
    silent,
    warning_once,
)
from onbrand.models import open_pack
from onbrand.road.places import Places
from onbrand.road.start import curate_for
from onbrand.road.sweeps.apply import apply_to_recipe
from onbrand.road.sweeps.attempt import Attempts
from onbrand.road.sweeps.outcome import Sweep, Trial
from onbrand.road.sweeps.page import write_pages
from onbrand.road.sweeps.plan import Plan, plan_sweep
from onbrand.road.sweeps.settings import Value

__all__ = ["run_plan", "sweep"]

TASK = "sweep"


def sweep(
    brand: str | Path = ".",
    *,
    settings: Mapping[str, Value | Sequence[Value]] | None = None,
    file: str | Path | None = None,
    num_random: int | None = None,
    seed: int | None = None,
    apply: bool = False,
    emit: Listener = silent,
) -> Sweep:
    """Tries every combination of the values in `settings` (path -> one value or several; or a
    sweep.toml, by default the brand's own), or `num_random` of them, and says which to take and
    why.

    Combinations that differ in training settings are each trained; those that differ only in how
    pictures are drawn or worded share a model, the brand's own where nothing is to be trained. All
    draw the validation prompts with the validation seeds, and are measured by the training side's
    encoders alone. sweep/ then holds sweep.html, sweep.json, sheet.png, tradeoff.svg. With `apply`
    the training settings to take are written into recipe.toml.

    One that diverges, misses its gate or cannot be is told of and stops no other. Raises
    `InputError` for settings that cannot be swept or a brand that is not trained where it must be,
    `PromptError` for refused words in the brief, `DatasetError` without held-out pictures, and what
    the disk and the base raise.
    """
    plan = plan_sweep(brand, settings=settings, file=file, num_random=num_random, seed=seed)
    return run_plan(plan, apply=apply, emit=emit)


def run_plan(plan: Plan, *, apply: bool = False, emit: Listener = silent) -> Sweep:
    """`sweep` of a plan that was made (and maybe shown) before."""
    from onbrand import training
    from onbrand.judging import take, training_scorer

    places, begun, emit = plan.places, monotonic(), warning_once(emit)
    pack = open_pack(plan.recipe.base)
    if plan.trains:
        training.check_pack(plan.recipe, pack)
    with places.alone():
        if plan.trains:
            out = places.sweep / "dataset"  # places.dataset stays what the brand's model learned
            dataset, brief = curate_for(places, pack, out=out, emit=emit), places.brief()
        else:
            model = places.trained()
            dataset, brief = places.trained_on(model), places.brief_of(model)
        if not dataset.held_out:
            raise DatasetError(
                f"{dataset.root} holds out no picture, so combinations cannot be compared: "
                "add pictures, or name some under held_out in brief.toml"
            )
        side_px = plan.recipe.resolution_px or pack.num_px
        held_out = [dataset.open_square(asset, side_px) for asset in dataset.held_out]
        work = Attempts(plan, pack, dataset, brief, training_scorer(pack, held_out), emit)
        base_pictures = work.draw(
            None, plan.drawing, {"base": pack.fingerprint}, plan.recipe.resolution_px
        )
        base, base_arm = work.measure(base_pictures, "base")
        trials = _try_all(plan, work, emit)
        done = [trial for trial in trials if trial.state == "done"]
        found = Sweep(
            root=places.sweep,
            axes=plan.axes,
            prompts=work.texts,
            seeds=work.seeds,
            trials=trials,
            base=base_arm,
            base_pictures=base_pictures,
            take=take({trial.name: trial.per_prompt for trial in done}, base),
            front=_front(done),
            grid_size=plan.grid_size,
            num_random=plan.num_random,
            seed=plan.seed,
            seconds=monotonic() - begun,
        )
        write_pages(found, places, plan.recipe)
        if apply:
            _apply(found, places, emit)
    emit(Finished(TASK, {"combinations": len(trials), "seconds": found.seconds}))
    return found


def _try_all(plan: Plan, work: Attempts, emit: Listener) -> list[Trial]:
    """Every combination in order; progress and the first training's time are told."""
    emit(Started(TASK, len(plan.combinations), "combinations"))
    trials: list[Trial] = []
    for combination in plan.combinations:
        trial = work.attempt(combination)
        trials.append(trial)
        if trial.state != "done":
            told = f"{trial.name} ({combination.label}) is {trial.state}: {trial.reason}"
            alone = len(plan.combinations) == 1
            emit(Warned(told if alone else f"{told.rstrip('.')}. The others go on."))
        numbers = {} if trial.arm is None else {k: m.value for k, m in trial.arm.metrics.items()}
        emit(Advanced(TASK, len(trials), numbers))
    return trials


def _front(done: Sequence[Trial]) -> list[int]:
    """Numbers of the combinations on the Pareto front, from the best aligned to the most alike."""
    from onbrand.judging import pareto_front

    points = [
        (
            trial.arm.metrics[alignment_name(trial.arm.metrics)].value,
            trial.arm.metrics["identity"].value,
        )
        for trial in done
        if trial.arm is not None
    ]
    return [done[index].combination.number for index in pareto_front(points)]


def _apply(found: Sweep, places: Places, emit: Listener) -> None:
    """Writes what is to be taken; says why not when there is nothing to write."""
    trial = found.chosen
    if trial is None:
        emit(Warned(f"nothing was written to recipe.toml. {found.sentence}"))
    elif not trial.combination.training:
        emit(
            Noted(
                "recipe.toml stays as it is: only training settings stand there. "
                "Give the ones to take to `onbrand generate`."
            )
        )
    else:
        path = places.root / "recipe.toml"
        apply_to_recipe(path, trial.combination.training)
        written = ", ".join(f"{at} = {v}" for at, v in trial.combination.training.items())
        emit(Noted(f"{path} now has {written}"))
