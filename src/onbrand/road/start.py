"""new and curate: a folder of pictures becomes a brand's folder and a frozen dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from onbrand import curation
from onbrand.artifacts import Dataset
from onbrand.events import Listener, Warned, silent
from onbrand.models import may_be_on_hub, open_pack
from onbrand.recipe import Recipe
from onbrand.road.places import Places, open_brand, paths_of, place_of
from onbrand.road.safety import guard_of, pack_for_rules

if TYPE_CHECKING:
    from onbrand.models.packs import Pack

__all__ = ["curate", "curate_for", "new"]


def new(
    name: str | Path,
    *,
    pictures: Path | str | Sequence[Path | str],
    lookalikes: Path | str | Sequence[Path | str] = (),
    subject: str | None = None,
    trigger: str | None = None,
    description: str | None = None,
    brief: str | Path | None = None,
    recipe: str = "mascot",
    base: str | None = None,
    emit: Listener = silent,
) -> Path:
    """Makes the folder `name`: commented brief.toml and recipe.toml, its pictures frozen.

    `pictures` and `lookalikes` are folders, files or patterns. `brief` is a brief.toml to begin
    from; `subject`, `trigger` and `description` win over it. `recipe` is a built-in name or a file,
    `base` stands in for the recipe's. What cannot be used is told as `Skipped` events and listed in
    the dataset; so is a picture that the base's checker refuses, if it names one. Nothing is left
    behind when it fails.

    Raises `InputError` when the folder is there already, `DatasetError` without a usable picture,
    `PromptError` for words of the brief that must not be shown, `PackError` or
    `WeightsError` when the base is neither a usable model nor could be on the hub.
    """
    _check_base(base, recipe, emit)
    named = Recipe.load(recipe).base
    place = place_of(base or named)
    pack = pack_for_rules(base or named)
    return curation.make_brand(
        Path(name),
        pictures=paths_of(pictures),
        lookalikes=paths_of(lookalikes),
        subject=subject,
        trigger=trigger,
        description=description,
        brief=None if brief is None else Path(brief),
        recipe=recipe,
        base=None if place == named else place,
        guard=guard_of(pack),
        emit=emit,
    )


def curate(brand: str | Path = ".", *, emit: Listener = silent) -> Dataset:
    """Reads the brand's pictures/ anew and freezes them into dataset/, which training reads.

    Pictures that are also in lookalikes/, or that the checker of the recipe's base refuses, are
    left out. Raises `DatasetError` when none can be used, `PromptError` for words of the
    brief that must not be shown, `PackError` for no such base, `StorageError` while another process
    trains.
    """
    places = open_brand(brand)
    pack = pack_for_rules(places.recipe().base)
    with places.alone():
        return curate_for(places, pack, emit=emit)


def curate_for(places: Places, pack: Pack, *, out: Path | None = None, emit: Listener) -> Dataset:
    """`curate`, by the rules of this pack; into the folder `out` where one is named."""
    return curation.curate(
        places.pictures,
        places.brief(),
        out or places.dataset,
        lookalikes=places.lookalikes,
        guard=guard_of(pack),
        emit=emit,
    )


def _check_base(base: str | None, recipe: str, emit: Listener) -> None:
    """Refuse a base that is none; warn of a recipe whose learning rate is not for its size. A hub
    id is looked at when it is fetched, for training."""
    if base is None or may_be_on_hub(base):
        return
    from onbrand.training.rates import too_fast

    pack = open_pack(base)
    if told := too_fast(Recipe.load(recipe), pack):
        emit(Warned(told))
