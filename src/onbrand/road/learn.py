"""train: pictures become a brand model, stage by stage; and the baseline that it must beat."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from onbrand.artifacts import BrandModel, Dataset
from onbrand.errors import DatasetError, GateFailed, counted
from onbrand.events import Listener, Noted, Warned, silent
from onbrand.recipe import Recipe
from onbrand.road.places import Places, open_brand, place_of
from onbrand.road.start import curate_for

if TYPE_CHECKING:
    from onbrand.judging import Choice
    from onbrand.training import Forecast, Workers

__all__ = ["choice_of", "plan", "train", "train_baseline", "train_into"]


def plan(
    brand: str | Path = ".",
    *,
    recipe: str | None = None,
    base: str | None = None,
    emit: Listener = silent,
) -> Forecast:
    """What `train` with the same arguments will take: pictures, steps, seconds and memory by stage.

    Time and memory are measured over a few real steps of every stage on this machine. Neither the
    model nor the dataset that it was trained on is touched. Raises what training would, out of
    memory included.
    """
    from onbrand import generation, training
    from onbrand.models import open_pack

    places = open_brand(brand)
    chosen = _recipe(places, recipe, base)
    pack = open_pack(chosen.base)
    training.check_pack(chosen, pack)
    with places.alone(), TemporaryDirectory(prefix=".plan-", dir=places.root) as folder:
        dataset = curate_for(places, pack, out=Path(folder), emit=emit)
        _need_held_out(places, dataset)
        return training.forecast(
            dataset,
            places.brief(),
            chosen,
            pack,
            sample=generation.sample,
            emit=emit,
        )


def train(
    brand: str | Path = ".",
    *,
    recipe: str | None = None,
    base: str | None = None,
    emit: Listener = silent,
) -> BrandModel:
    """Curates the folder's pictures and trains the recipe's stages on them, resuming what is there.

    `recipe` (a name or file) and `base` (a pack's name, hub id or folder) stand in for what the
    folder's recipe.toml says. The stage to ship is chosen by training-side figures alone.
    Processes that `accelerate launch` started train together, and each returns the model.

    Raises `GateFailed` when a stage missed its gate: everything trained is kept, later stages are
    not begun, and the best stage so far is the one to ship. What the base cannot give, `PackError`,
    and words that must not be shown, `PromptError`, are told before anything is written.
    """
    from onbrand import training
    from onbrand.models import open_pack

    places = open_brand(brand)
    chosen = _recipe(places, recipe, base)
    workers = training.launched()
    emit = emit if workers.is_first else silent
    with workers.first_goes_first():  # who may fetch the base
        pack = open_pack(chosen.base)
    training.check_pack(chosen, pack)
    with places.alone() if workers.is_first else nullcontext():
        with workers.first_goes_first():
            if workers.is_first:
                curate_for(places, pack, emit=emit)
            dataset = Dataset.load(places.dataset)
        model = train_into(places, places.model, chosen, dataset, workers=workers, emit=emit)
    failed = training.failed_gate(model)
    if failed:
        raise GateFailed(f"{failed} The best so far is {model.ship['stage']}.")
    return model


def train_into(
    places: Places,
    out: Path,
    recipe: Recipe,
    dataset: Dataset,
    *,
    workers: Workers | None = None,
    emit: Listener = silent,
) -> BrandModel:
    """The recipe's stages on the dataset, trained into the folder `out` (resuming what is there),
    with the stage to ship chosen. A failed gate is no error here (`training.failed_gate`)."""
    model = _train(places, out, recipe, dataset, arm="onbrand", workers=workers, emit=emit)
    choice = choice_of(model)
    model.ship = {"stage": choice.stage, "reason": choice.reason}
    told = f"{choice.stage} is chosen: {choice.reason}"
    emit(Noted(told) if choice.good else Warned(f"{told} Look before you ship."))
    if workers is None or workers.is_first:
        model.save()
    return model


def choice_of(model: BrandModel) -> Choice:
    """The stage to ship by the training side's figures, among those whose gate did not fail."""
    from onbrand import judging, training

    failed = {stage.name for stage in model.stages if (stage.gate or "").startswith("failed")}
    stages = {stage.name: stage.metrics for stage in model.stages}
    passed = {name: metrics for name, metrics in stages.items() if name not in failed}
    return judging.choose(passed or stages, base=training.base_metrics(model.root) or None)


def train_baseline(
    brand: str | Path = ".", *, learning_rate: float | None = None, emit: Listener = silent
) -> BrandModel:
    """Trains the dreambooth_lora baseline of a trained brand: same data, recipe and pictures seen.

    One stage, reconstruction and prior preservation, as diffusers' example does it.
    `learning_rate` is for the search; None takes twice our own first stage's.
    """
    places = open_brand(brand)
    ours = places.trained()
    dataset = places.trained_on(ours)
    with places.alone():
        return _train(
            places,
            places.baseline,
            ours.recipe,
            dataset,
            arm="dreambooth_lora",
            learning_rate=learning_rate,
            emit=emit,
        )


def _train(
    places: Places,
    out: Path,
    recipe: Recipe,
    dataset: Dataset,
    *,
    arm: str,
    learning_rate: float | None = None,
    emit: Listener,
    workers: Workers | None = None,
) -> BrandModel:
    from onbrand import generation, judging, training
    from onbrand.models import open_pack

    _need_held_out(places, dataset)
    pack = open_pack(recipe.base)
    side_px = recipe.resolution_px or pack.num_px
    scorer = judging.training_scorer(
        pack,
        [dataset.open_square(asset, side_px) for asset in dataset.held_out],
        train=[dataset.open_square(asset, side_px) for asset in dataset.train],
    )
    return training.train(
        dataset,
        places.brief(),
        recipe,
        pack,
        out,
        sample=generation.sample,
        score=scorer,
        reviewer=scorer,
        arm=arm,
        cache=places.cache,
        learning_rate=learning_rate,
        emit=emit,
        workers=workers or training.ALONE,
    )


def _need_held_out(places: Places, dataset: Dataset) -> None:
    if not dataset.held_out:
        raise DatasetError(
            f"{counted(len(dataset.assets), 'picture')} in {places.pictures}, none of them held "
            "out, so that no stage could be measured: add pictures (ten or more learn well), or "
            "name one under held_out in brief.toml"
        )


def _recipe(places: Places, recipe: str | None, base: str | None) -> Recipe:
    chosen = places.recipe() if recipe is None else Recipe.load(recipe)
    return chosen if base is None else chosen.model_copy(update={"base": place_of(base)})
