"""What a run's weights and figures depend on, as run.json keeps and compares it (history.py).

A fact that is missing here lets a run go on from what it should not; one too many trains anew what
was fine.
"""

from __future__ import annotations

from collections.abc import Sequence

from onbrand.recipe import GATE_METRICS, GATE_ROLES, OWN_LOSSES, loss_roles, losses_of
from onbrand.training import dreambooth
from onbrand.training.focus import head_weight
from onbrand.training.history import History, digest
from onbrand.training.losses import snr_gamma
from onbrand.training.session import Session
from onbrand.training.stage_plan import StagePlan

__all__ = ["open_history"]


def open_history(
    session: Session, plans: Sequence[StagePlan], arm: str, learning_rate: float
) -> History:
    """What the folder was trained from, compared with what is asked for now."""
    looks: list[object] = [  # a figure that is new is measured on what was trained before, too
        session.validation_prompts(),
        session.recipe.validation.model_dump(),
        list(GATE_METRICS),
        session.pack.role_fingerprints(GATE_ROLES),
        *_other_size(session),
    ]
    if session.recipe.reads("prior_drift"):  # where nobody reads it, nobody measures it
        looks.append("prior_drift")
    return History.open(
        session.root,
        trains=_run_facts(session, arm),
        looks=digest(looks),
        stages=[_stage_facts(session, p, i, learning_rate) for i, p in enumerate(plans)],
        emit=session.emit,
        read_only=not session.workers.is_first,
    )


def _run_facts(session: Session, arm: str) -> dict[str, object]:
    """What all stages depend on."""
    brief, recipe, pack = session.brief, session.recipe, session.pack
    facts: dict[str, object] = {
        "base": session.base_fingerprint,
        "dataset": session.dataset.fingerprint,
        "brief": digest([brief.prompt("{subject}"), brief.class_prompt("{subject}")]),
        "recipe": digest(
            [
                arm,
                recipe.seed,
                recipe.precision,
                recipe.optimizer,
                recipe.lora.model_dump(),
                recipe.identity.model_dump(),
                recipe.prior.model_dump(),
            ]
        ),
        "size": session.size_px,
        "words": pack.words_fingerprint,
    }
    if recipe.identity.mode != "none" and arm != dreambooth.NAME:
        facts["identity"] = pack.role_fingerprints(["identity", "identity_adapter"])
    return facts


def _stage_facts(
    session: Session, stage_plan: StagePlan, index: int, learning_rate: float
) -> dict[str, str]:
    """Name and fingerprint of a stage."""
    recipe, validation = session.recipe, session.recipe.validation
    as_sampled = [validation.num_steps, validation.guidance, *_other_size(session)]
    settings: object
    if stage_plan.kind == dreambooth.NAME:
        settings = [stage_plan.num_steps, stage_plan.batch_size, learning_rate, *as_sampled]
        return {"name": stage_plan.name, "fingerprint": digest([stage_plan.kind, settings])}
    # in parts or not, the result is the same: who ran out of memory goes on with more parts
    stage = recipe.stage[index]
    losses = losses_of(recipe.variants(stage))
    settings = stage.model_dump(exclude={"gradient_accumulation", "head_weight"})
    prediction = session.model.prediction_type  # decides what the stage leaves open
    settings["min_snr_gamma"] = snr_gamma(stage.min_snr_gamma, prediction)
    roles = loss_roles(losses)
    weight = head_weight(stage, session.brief, session.pack)
    if weight != 1:  # the brief may have decided it
        settings, roles = [settings, weight], roles | {"parsing"}
    if prediction == "flow_prediction" and stage.timestep_sampling == "logit_normal":
        settings = [settings, "about the schedule's middle"]
    if validation.stop_every:  # what decides where it stops changes its weights
        settings = [settings, *_stop_facts(session)]
    if "prior" in losses:  # the base draws them as it draws for validation
        settings = [settings, session.class_prompts(), as_sampled]
    if losses & set(OWN_LOSSES):
        settings = [settings, validation.guidance]
    if roles:
        settings = [settings, session.pack.role_fingerprints(roles)]
    return {"name": stage_plan.name, "fingerprint": digest([stage_plan.kind, settings])}


def _stop_facts(session: Session) -> list[object]:
    """What an early stop looks at and when; one that draws nothing depends on no drawing."""
    validation = session.recipe.validation
    stop = validation.model_dump(include={"stop_every", "stop_patience", "stop_metric"})
    if not validation.stop_draws:
        return [stop]
    drawn = validation.model_dump(exclude={*stop, "preview_every"})
    return [stop, drawn, session.validation_prompts()]


def _other_size(session: Session) -> list[int]:
    """The side of what is drawn, where it is not the base's own."""
    return [session.size_px] if session.size_px != session.pack.num_px else []
