"""What is refused before any work, and what is warned of: mistakes that would cost hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onbrand.artifacts.dataset import Dataset
from onbrand.errors import DatasetError, PackError, RecipeError, counted
from onbrand.events import Listener, Noted, Warned
from onbrand.models.device import chosen_device
from onbrand.recipe import LOSS_ROLES, Recipe, Stage
from onbrand.training.rates import too_fast
from onbrand.training.session import Session
from onbrand.training.stage_plan import StagePlan
from onbrand.training.workers import Workers

if TYPE_CHECKING:
    from onbrand.models.packs import Pack

__all__ = ["check", "tell_of_heads", "warn_of_cut_captions"]

SMALL_FRACTION = 0.75


def check(
    dataset: Dataset,
    recipe: Recipe,
    pack: Pack,
    stages: Sequence[Stage],
    plans: Sequence[StagePlan],
    workers: Workers,
    emit: Listener,
) -> None:
    """Refuse what cannot be trained; warn of what is likely a mistake. `stages` are those whose
    losses will be used. Raises DatasetError, RecipeError, PackError."""
    if not dataset.train:
        raise DatasetError(f"{dataset.root} has no training picture: add some, and train again.")
    for stage in stages:
        for variant in recipe.variants(stage):
            _need_roles(variant, pack)
            _need_parts(stage.kind, variant.batch_size, variant.gradient_accumulation, workers)
    for p in plans:
        _need_parts(p.name, p.batch_size, p.num_parts, workers)
    largest = max(p.batch_size for p in plans)
    if len(dataset.train) < largest:
        emit(
            Warned(
                f"{counted(len(dataset.train), 'training picture')}, but batches of {largest}: "
                "pictures repeat within a batch, which teaches nothing more for its time. Lower "
                f"batch_size to {len(dataset.train)} or less, or add pictures."
            )
        )
    if stages and (told := too_fast(recipe, pack)):
        emit(Warned(told))
    _warn_of_small(dataset, recipe.resolution_px or pack.num_px, emit)
    if recipe.precision == "float16" and chosen_device() == "cpu":
        emit(
            Warned(
                'precision = "float16" is for graphics cards; on this processor it is slower than '
                '"float32" and less exact. "auto" takes what the hardware does best.'
            )
        )


def _warn_of_small(dataset: Dataset, size_px: int, emit: Listener) -> None:
    """Tell of pictures whose longer side is much below the training pictures'."""
    least = SMALL_FRACTION * size_px
    small = [a for a in dataset.train if max(a.width_px, a.height_px) < least]
    if small:
        one = small[0]
        emit(
            Warned(
                f"{counted(len(small), 'training picture')} of {len(dataset.train)} will be "
                f"enlarged to {size_px} px, and blur is learned with them, such as {one.source} "
                f"({one.width_px} × {one.height_px}): take larger ones, or lower resolution_px."
            )
        )


def _need_parts(name: str, batch_size: int, num_parts: int, workers: Workers) -> None:
    """Refuse a batch that does not give every process a picture for each of its parts."""
    if batch_size < num_parts * workers.num:
        raise RecipeError(
            f"stage {name}: batch_size = {batch_size} is less than the {workers.num} processes "
            f"times gradient_accumulation = {num_parts}: raise batch_size, or lower one of those"
        )


def _need_roles(stage: Stage, pack: Pack) -> None:
    """Refuse a loss that looks through a role which the pack, its fallback included, lacks, or has
    in a form that teaches nothing."""
    from onbrand.models.perception.identity import VISION_TOWERS
    from onbrand.models.perception.network import architecture
    from onbrand.models.perception.tags import CAPTIONER

    for loss in (name for name, term in stage.losses.items() if term.weight):
        role = LOSS_ROLES.get(loss)
        if role is None:
            continue
        try:
            pack.role(role)
        except PackError as error:
            raise PackError(
                f"stage {stage.kind!r} has the loss {loss!r}, which looks through the role "
                f"{role!r}: {error} Or take the loss out of the recipe."
            ) from error
        if loss == "perceptual" and architecture(pack, role) in VISION_TOWERS:
            raise PackError(
                f"stage {stage.kind!r} has the loss {loss!r}, which compares feature maps, but the "
                f"identity encoder of pack '{pack.name}' has none that it understands: it needs an "
                "image classifier. Take the loss out of the recipe."
            )
        if loss == "own_tags" and architecture(pack, role) == CAPTIONER:
            raise PackError(
                f"stage {stage.kind!r} has the loss {loss!r}, but the tagger of pack "
                f"'{pack.name}' writes captions, which have no gradient: it needs one that tells "
                "attributes. Take the loss out of the recipe."
            )


def tell_of_heads(session: Session) -> None:
    """Tell once where the head of an avatar counts no more than the rest, though nobody said so."""
    asked = [stage.head_weight for stage in session.recipe.stage]
    avatar = session.brief.objective == "avatar"
    if avatar and None in asked and "parsing" not in session.pack.roles:
        session.emit(
            Noted(
                "the head counts as much as the rest: the built-in parser, which finds heads, "
                f"knows drawings alone, and the pack '{session.pack.name}' names none of its own. "
                "head_weight in the recipe weighs it all the same"
            )
        )


def warn_of_cut_captions(session: Session) -> None:
    """Tell once which captions are longer than the base reads."""
    cut = [a for a in session.dataset.train if session.model.cut_off(session.speak(a.caption))]
    if cut:
        session.emit(
            Warned(
                f"the base reads {session.model.max_tokens} tokens of a prompt; the end is lost of "
                f"{counted(len(cut), 'caption')}, such as that of {cut[0].source}: shorten them, "
                "or the description in brief.toml."
            )
        )
