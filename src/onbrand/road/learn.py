"""train: pictures become a brand model, stage by stage; and the baseline that it must beat."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from onbrand.artifacts import BrandModel, Dataset
from onbrand.errors import GateFailed
from onbrand.events import Listener, silent
from onbrand.recipe import Recipe
from onbrand.road.places import Places, open_brand, place_of
from onbrand.road.start import curate

if TYPE_CHECKING:
    from onbrand.judging import Choice

__all__ = ["choice_of", "train", "train_baseline"]


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

    Raises `GateFailed` when a stage missed its gate: everything trained is kept, later stages are
    not begun, and the best stage so far is the one to ship.
    """
    from onbrand import training

    places = open_brand(brand)
    chosen = _recipe(places, recipe, base)
    with places.alone():
        dataset = curate(brand, emit=emit)
        model = _train(places, places.model, chosen, dataset, arm="onbrand", emit=emit)
        choice = choice_of(model)
        model.ship = {"stage": choice.stage, "reason": choice.reason}
        model.save()
    failed = training.failed_gate(model)
    if failed:
        raise GateFailed(failed)
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
    `learning_rate` is for the search; None takes a quarter of our own first stage's.
    """
    places = open_brand(brand)
    ours = places.trained()
    dataset = Dataset.load(places.dataset)
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
) -> BrandModel:
    from onbrand import generation, judging, training
    from onbrand.models import open_pack

    pack = open_pack(recipe.base)
    scorer = judging.training_scorer(
        pack,
        [dataset.open(asset) for asset in dataset.held_out],
        train=[dataset.open(asset) for asset in dataset.train],
    )
    return training.train(
        dataset,
        places.brief(),
        recipe,
        pack,
        out,
        sample=generation.sample,
        score=scorer,
        critic=scorer,
        arm=arm,
        cache=places.cache,
        learning_rate=learning_rate,
        emit=emit,
    )


def _recipe(places: Places, recipe: str | None, base: str | None) -> Recipe:
    chosen = places.recipe() if recipe is None else Recipe.load(recipe)
    return chosen if base is None else chosen.model_copy(update={"base": place_of(base)})
