"""What a sweep will do, before any of it is done: no model is loaded but a base's own checker of
pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

from onbrand.artifacts import BrandModel, Dataset
from onbrand.brief import Brief
from onbrand.errors import InputError
from onbrand.events import silent
from onbrand.files import fingerprint_bytes
from onbrand.models import Pack, open_pack
from onbrand.recipe import Recipe, loss_roles, losses_of
from onbrand.road.places import Places, open_brand
from onbrand.road.start import curate_for
from onbrand.road.sweeps.grid import Combination, combine
from onbrand.road.sweeps.settings import Axis, Drawing, Value, check_axes
from onbrand.road.sweeps.sources import axis_of, load_sweep_file

__all__ = ["DONE_NAME", "FILE_NAME", "Plan", "model_folder", "plan_sweep", "to_see"]

FILE_NAME = "sweep.toml"
DONE_NAME = "sweep_run.json"
VERSION = 1  # of what a kept training means


@dataclass(frozen=True)
class Plan:
    """A sweep to be: its combinations, how many trainings and pictures that takes, and how much of
    it an earlier call has done. `trains` is False when all draw from the brand's own model.
    `seconds_per_picture_seen` is what the brand's own training took, None before it."""

    places: Places
    axes: tuple[Axis, ...]
    recipe: Recipe
    drawing: Drawing
    combinations: tuple[Combination, ...]
    grid_size: int
    num_random: int | None
    seed: int
    trains: bool
    num_trainings: int
    num_trainings_kept: int
    num_pictures_seen: int
    num_pictures_each: int
    seconds_per_picture_seen: float | None

    @property
    def refused(self) -> list[Combination]:
        """Combinations that the recipe cannot be."""
        return [combination for combination in self.combinations if combination.refused]

    @property
    def estimate_s(self) -> float | None:
        """Seconds that the trainings not yet kept will take; None when nothing is known of it."""
        if self.seconds_per_picture_seen is None or not self.trains:
            return None
        return self.seconds_per_picture_seen * self.num_pictures_seen


def plan_sweep(
    brand: str | Path = ".",
    *,
    settings: Mapping[str, Value | Sequence[Value]] | None = None,
    file: str | Path | None = None,
    num_random: int | None = None,
    seed: int | None = None,
) -> Plan:
    """The plan of the `sweep` with these arguments, for pictures/ as it is now. Nothing is trained,
    drawn or written into the brand's folder.

    Raises what `sweep` raises before its work.
    """
    places = open_brand(brand)
    axes, asked, seeded = _axes(places, settings, file)
    trains = any(axis.trains for axis in axes)
    recipe = places.recipe() if trains or not axes else _usable(places).recipe
    check_axes(axes, recipe)
    drawing = Drawing(
        guidance=max(1.0, recipe.validation.guidance), num_steps=recipe.validation.num_steps
    )
    wanted = asked if num_random is None else num_random
    drawn_by = next(s for s in (seed, seeded, 7) if s is not None)
    combinations = combine(axes, recipe, drawing, num_random=wanted, seed=drawn_by)
    brief = places.brief()
    dataset = _pictures_now(places, recipe) if trains else Dataset.load(places.dataset)
    trained = _trainings(places, combinations, brief, dataset) if trains else {}
    missing = {at: one for at, one in trained.items() if not (at / DONE_NAME).is_file()}
    captions = [asset.caption for asset in dataset.held_out if asset.caption]
    num_prompts = len(brief.validation_prompts(recipe.validation.num_prompts, captions))
    return Plan(
        places=places,
        axes=tuple(axes),
        recipe=recipe,
        drawing=drawing,
        combinations=tuple(combinations),
        grid_size=prod(len(axis.values) for axis in axes),
        num_random=wanted,
        seed=drawn_by,
        trains=trains,
        num_trainings=len(trained),
        num_trainings_kept=len(trained) - len(missing),
        num_pictures_seen=sum(to_see(dataset, one.recipe) for one in missing.values()),
        num_pictures_each=num_prompts * recipe.validation.num_per_prompt,
        seconds_per_picture_seen=_pace(places, recipe) if trains else None,
    )


def model_folder(
    places: Places, recipe: Recipe, brief: Brief, dataset: Dataset, pack: Pack
) -> Path:
    """Where the training of this recipe on these pictures lies: by content, so that nothing that
    changed is ever taken for what it was, the models that its losses look through included. Gates
    and validation train nothing, and are no part of it."""
    facts = [
        VERSION,
        recipe.model_dump(exclude={"gate", "validation"}),
        pack.fingerprint,
        pack.words_fingerprint,
        pack.role_fingerprints(loss_roles(losses_of(recipe.stage))),
        dataset.fingerprint,
        brief.model_dump(exclude={"prompts", "never", "held_out", "licence"}),
    ]
    return places.sweep / "models" / fingerprint_bytes(json.dumps(facts, sort_keys=True).encode())


def to_see(dataset: Dataset, recipe: Recipe) -> int:
    """Pictures that pass through the model in the recipe's training."""
    from onbrand import training

    return sum(stage.num_pictures_seen for stage in training.plan(dataset, recipe))


def _axes(
    places: Places, settings: Mapping[str, Value | Sequence[Value]] | None, file: str | Path | None
) -> tuple[list[Axis], int | None, int | None]:
    """Axes, the file's number of random combinations, its seed. The brand's sweep.toml is read when
    nothing else is given; `settings` take the place of a file's axes of the same path."""
    given = [axis_of(path, values, "settings") for path, values in (settings or {}).items()]
    own = places.root / FILE_NAME
    if file is None and (given or not own.is_file()):
        return given, None, None
    path = own if file is None else Path(file)
    if not path.is_file():
        raise InputError(f"no file {path}: name a sweep.toml, or settings with --set")
    read = load_sweep_file(path)
    named = {axis.path for axis in given}
    return [a for a in read.axes if a.path not in named] + given, read.num_random, read.seed


def _pictures_now(places: Places, recipe: Recipe) -> Dataset:
    """What the trainings will learn from, frozen to be counted and then forgotten."""
    with TemporaryDirectory() as folder:
        return curate_for(places, open_pack(recipe.base), out=Path(folder), emit=silent)


def _trainings(
    places: Places, combinations: Sequence[Combination], brief: Brief, dataset: Dataset
) -> dict[Path, Combination]:
    """The distinct trainings, each with the first combination that needs it."""
    found: dict[Path, Combination] = {}
    usable = [combination for combination in combinations if not combination.refused]
    if not usable:
        return found
    pack = open_pack(usable[0].recipe.base)  # a sweep has one base
    for combination in usable:
        folder = model_folder(places, combination.recipe, brief, dataset, pack)
        found.setdefault(folder, combination)
    return found


def _usable(places: Places) -> BrandModel:
    """The brand's model, which all are to draw from, when its base is still the one it was trained
    on. Raises `InputError` otherwise: every combination would fail alike."""
    model = places.trained()
    was, now = model.parents.get("base"), open_pack(model.base).fingerprint
    if was != now:
        raise InputError(
            f"{places.model} was trained on {model.base!r} of fingerprint {was}, but that base has "
            f"{now} now: train again with  {places.command('train')}"
        )
    return model


def _pace(places: Places, recipe: Recipe) -> float | None:
    """Seconds per picture seen in the brand's own training, when there is one on the same base."""
    if not (places.model / "manifest.json").is_file():
        return None
    model = BrandModel.load(places.model)
    seen = sum(stage.num_pictures_seen for stage in model.stages)
    took = sum(stage.seconds for stage in model.stages)
    return took / seen if seen and took and model.base == recipe.base else None
