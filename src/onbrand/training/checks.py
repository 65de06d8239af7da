"""What is refused before any work, and what is warned of: mistakes that would cost hours."""

from __future__ import annotations

from collections.abc import Sequence

from onbrand.artifacts.dataset import Dataset
from onbrand.errors import DatasetError, PackError, RecipeError, counted
from onbrand.events import Listener, Noted, Warned
from onbrand.models.device import chosen_device
from onbrand.models.packs import Pack
from onbrand.models.parts import BEHIND, HEAD
from onbrand.recipe import LOSS_ROLES, METRIC_ROLES, Recipe, Stage
from onbrand.training.cache import in_order
from onbrand.training.focus import knows_heads
from onbrand.training.optimisers import check_optimizer
from onbrand.training.rates import too_fast
from onbrand.training.session import Session
from onbrand.training.stage_plan import StagePlan
from onbrand.training.workers import Workers

__all__ = ["check", "check_pack", "tell_of_heads", "warn_of_cut_captions"]

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
    if stages:
        check_pack(recipe, pack)
    _check_figures(dataset, recipe, workers)
    check_optimizer(recipe.optimizer)
    for stage in stages:
        for variant in recipe.variants(stage):
            _need_parts(stage.kind, variant.batch_size, variant.gradient_accumulation, workers)
    for p in plans:
        _need_parts(p.name, p.batch_size, p.num_parts, workers)
    _warn_of_large_batches(dataset, stages, plans, emit)
    if stages:
        if told := too_fast(recipe, pack):
            emit(Warned(told))
        _warn_of_borrowed(recipe, pack, emit)
    _warn_of_small(dataset, recipe.resolution_px or pack.num_px, emit)
    if recipe.precision == "float16" and chosen_device() == "cpu":
        emit(
            Warned(
                'precision = "float16" is for graphics cards; on this processor it is slower than '
                '"float32" and less exact. "auto" takes what the hardware does best.'
            )
        )


def _check_figures(dataset: Dataset, recipe: Recipe, workers: Workers) -> None:
    """Refuse gates that could never open, and early stops that processes could not agree on."""
    if recipe.reads("validation_loss") and not dataset.held_out:
        raise DatasetError(
            f"the recipe reads validation_loss, but {dataset.root} holds out no picture: name some "
            "under held_out in brief.toml"
        )
    if recipe.validation.stop_every and workers.num > 1:
        raise RecipeError(
            f"stop_every = {recipe.validation.stop_every} with {workers.num} processes: an early "
            "stop works in one process only. Set it to 0, or start one."
        )


def _warn_of_large_batches(
    dataset: Dataset, stages: Sequence[Stage], plans: Sequence[StagePlan], emit: Listener
) -> None:
    """Tell of the stage whose batches are largest beside the pictures that its `only` leaves."""
    kept = [in_order(dataset, stage.only) for stage in stages] or [dataset.train] * len(plans)
    few, p = min(zip(kept, plans, strict=True), key=lambda pair: len(pair[0]) / pair[1].batch_size)
    if len(few) < p.batch_size:
        emit(
            Warned(
                f"{counted(len(few), 'training picture')} in stage {p.name}, but batches of "
                f"{p.batch_size}: pictures repeat within a batch, which teaches nothing more for "
                f"its time. Lower batch_size to {len(few)} or less, or add pictures."
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


DIAGNOSED = (
    "shape_doubt", "pose_variety", "oiliness", "background_detail", "memorised_fraction",
)  # fmt: skip
"""Figures of `judging.diagnosis`, which are left out all together where anything is missing."""

CHOOSING_ROLES = ("identity", "alignment")
"""What the stage to ship is chosen through, gates or none."""


def check_pack(recipe: Recipe, pack: Pack) -> None:
    """Refuse a recipe that looks through roles which the pack, its fallback included, lacks or has
    in a form that teaches nothing, or that shows identities to a base which none can enter.
    Nothing is loaded. Raises PackError."""
    from onbrand.models.identity import check_way

    if recipe.identity.mode != "none":
        try:
            check_way(pack, recipe.identity.mode)
        except PackError as error:
            raise PackError(f'[identity] mode = "{recipe.identity.mode}": {error}') from error
    for user, role in _looks(recipe):
        try:
            pack.role(role)
        except PackError as error:
            raise PackError(
                f"{user} looks through the role {role!r}: {error} Or take it out of the recipe."
            ) from error
    if BEHIND not in _parts_of(pack) and (read := next(filter(recipe.reads, DIAGNOSED), None)):
        raise PackError(
            f"a gate or early stop reads {read!r}, which takes what is behind the subject, but no "
            f"parser of pack '{pack.name}' knows a '{BEHIND}'. Name that label so in id2label of "
            "its config.json, or read another figure."
        )
    for stage in recipe.stage:
        if stage.head_weight not in (None, 1) and not knows_heads(pack):
            raise PackError(
                f"head_weight of stage {stage.kind!r} weighs heads, but the parser of pack "
                f"'{pack.name}' has no label of one ({', '.join(HEAD)}). Take it out of the recipe."
            )
        for variant in recipe.variants(stage):
            _need_gradients(variant, pack)


def _parts_of(pack: Pack) -> tuple[str, ...]:
    """Labels of the pack's parser; none where it has no parser."""
    from onbrand.models.perception.parsing import parsed_parts

    try:
        return parsed_parts(pack)
    except PackError:
        return ()


def _looks(recipe: Recipe) -> list[tuple[str, str]]:
    """(what looks at pictures, the role it looks through) of the recipe's losses, heads,
    gates, early stop and identity; each once."""
    found = []
    for stage in (variant for one in recipe.stage for variant in recipe.variants(one)):
        for loss in (name for name in stage.losses if stage.weight(name)):
            if loss in LOSS_ROLES:
                found.append((f"the loss {loss!r} of stage {stage.kind!r}", LOSS_ROLES[loss]))
        if stage.head_weight not in (None, 1):
            found.append((f"head_weight of stage {stage.kind!r}", "parsing"))
    for gate in recipe.gate:
        for metric in (gate.metric, *gate.not_worse):
            if metric in METRIC_ROLES:
                found.append((f"the gate on {metric!r} after {gate.after!r}", METRIC_ROLES[metric]))
    stop = recipe.validation.stop_metric
    if recipe.validation.stop_every and stop in METRIC_ROLES:
        found.append((f"the early stop on {stop!r}", METRIC_ROLES[stop]))
    if recipe.identity.mode != "none":
        found.append(("[identity]", "identity"))
    return list(dict.fromkeys(found))


def _warn_of_borrowed(recipe: Recipe, pack: Pack, emit: Listener) -> None:
    """Tell which losses and gates look through another pack's eyes, and what those know."""
    looks = [*_looks(recipe), *(("the choice of a stage", role) for role in CHOOSING_ROLES)]
    if "faces" not in pack.roles:  # faces, whose expression is read, are found by the parser
        looks += [(user, "parsing") for user, role in looks if role == "expression"]
    borrowed = pack.borrowed(role for _, role in looks)
    if not borrowed:
        return
    told = (f"{r!r} ({', '.join(user for user, role in looks if role == r)})" for r in borrowed)
    emit(
        Warned(
            f"pack '{pack.name}' has no model of its own for {' and '.join(told)}: those of the "
            f"pack '{pack.fallback}' look instead, and they know {pack.fallback_knows} alone. Of "
            "other pictures they may be wrong: name models for these roles under [roles] in "
            "pack.toml, or take out of the recipe what looks through them."
        )
    )


def _need_gradients(stage: Stage, pack: Pack) -> None:
    """Refuse a loss whose role the pack has in a form that teaches nothing."""
    from onbrand.models.perception.identity import VISION_TOWERS
    from onbrand.models.perception.network import architecture
    from onbrand.models.perception.tags import is_captioner

    if stage.weight("perceptual") and architecture(pack, "identity") in VISION_TOWERS:
        raise PackError(
            f"stage {stage.kind!r} has the loss 'perceptual', which compares feature maps, but the "
            f"identity encoder of pack '{pack.name}' has none that it understands: it needs an "
            "image classifier. Take the loss out of the recipe."
        )
    if stage.weight("own_tags") and is_captioner(pack):
        raise PackError(
            f"stage {stage.kind!r} has the loss 'own_tags', but the tagger of pack "
            f"'{pack.name}' writes captions, which have no gradient: it needs one that tells "
            "attributes. Take the loss out of the recipe."
        )


def tell_of_heads(session: Session) -> None:
    """Tell once where the head of an avatar counts no more than the rest, though nobody said so."""
    asked = [stage.head_weight for stage in session.recipe.stage]
    avatar = session.brief.objective == "avatar"
    if not avatar or None not in asked:
        return
    name, why = session.pack.name, ""
    if "parsing" not in session.pack.roles:
        why = (
            f"the built-in parser, which finds heads, knows drawings alone, and the pack '{name}' "
            "names none of its own. head_weight in the recipe weighs it all the same"
        )
    elif not knows_heads(session.pack):
        why = f"the parser of pack '{name}' has no label of one ({', '.join(HEAD)})"
    if why:
        session.emit(Noted(f"the head counts as much as the rest: {why}"))


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
