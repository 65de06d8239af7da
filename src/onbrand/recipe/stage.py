"""A stage of a recipe: its pictures, its losses, its length."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from onbrand.errors import RecipeError, instead
from onbrand.recipe.settings import Fraction, Settings

__all__ = [
    "LOSS_ROLES",
    "OWN_LOSSES",
    "SEEN_LOSSES",
    "STAGE_LOSSES",
    "Augment",
    "LossTerm",
    "Stage",
    "check_loss",
]

SEEN_LOSSES: tuple[str, ...] = ("perceptual", "semantic", "identity", "pose", "expression")
"""Losses that look at the decoded estimate of the clean picture."""

OWN_LOSSES: tuple[str, ...] = ("own_identity", "own_expression", "own_tags")
"""Losses that look at pictures which the model draws itself, of the samples' prompts."""

STAGE_LOSSES: dict[str, tuple[str, ...]] = {
    "appearance": ("prior", "weights"),
    "detail": ("perceptual", "semantic", "identity", "adversarial", "prior", "weights"),
    "expression": (*SEEN_LOSSES, *OWN_LOSSES, "adversarial", "prior", "weights"),
}
"""Stage kind -> the names its `losses` may hold, beside reconstruction, which is always there."""

LOSS_ROLES: dict[str, str] = {
    "perceptual": "identity",
    "semantic": "alignment",
    "identity": "identity",
    "pose": "pose",
    "expression": "expression",
    "own_identity": "identity",
    "own_expression": "expression",
    "own_tags": "tagger",
}
"""A loss that looks through one of the pack's models -> the role of that model."""


class Augment(Settings):
    """Small moves of a training picture. Turns in degrees, the rest as a share of the side, of the
    brightness or of the saturation. `flip` mirrors a variant with a chance of a half: off for a
    subject with one-sided marks. The first variant is the picture as it is."""

    flip: bool = False
    rotate_degrees: float = Field(default=0.0, ge=0, le=180)
    scale_fraction: Fraction = 0.0
    shift_fraction: Fraction = 0.0
    brightness_fraction: Fraction = 0.0
    saturation_fraction: Fraction = 0.0


class LossTerm(Settings):
    """A loss beside reconstruction; a bare number is its weight. `max_timestep` (of 1000) is the
    noisiest at which a loss that looks at estimates still looks (None: the stage's
    `loss_max_timestep`); the adversarial one begins after `from_fraction` of the steps."""

    weight: float = Field(ge=0)
    max_timestep: int | None = Field(default=None, ge=0, le=1000)
    from_fraction: float = Field(default=0.0, ge=0, lt=1)


def _as_term(given: object) -> object:
    return {"weight": given} if isinstance(given, int | float) else given


class Stage(Settings):
    """One stage, `num_steps` long or `num_epochs` times through its pictures.

    `only` filters them by tag: "expression:sad", or "expression" for any that tell one.
    `reconstruction` takes squared errors or absolute ones; `losses` adds to it, by weight; those
    that look at decoded estimates (SEEN_LOSSES) look at samples with a timestep of at most
    `loss_max_timestep` (of 1000), on every `every`-th step. On those OWN_LOSSES have each sample's
    prompt drawn, which costs some ten plain steps.
    `min_snr_gamma` 0 weighs all noise alike; "auto" is 5, and 0 for a base that learned a flow
    (SD3, FLUX), whose noisier half, where layout is decided, 5 would all but silence.
    `timestep_sampling` draws all noise levels alike, or oftener the middle, where shapes and marks
    are decided ("logit_normal").
    `head_weight` is how much more the head counts in reconstruction; by itself, what the brief's
    objective asks: more for an avatar, as much as the rest for a scene, or where the base's pack
    has no parser of its own.
    `gradient_accumulation` cuts each batch into that many parts that are computed one after the
    other: the same gradient to rounding, in less memory."""

    kind: Literal["appearance", "detail", "expression"]
    learning_rate: float = Field(1e-4, gt=0, le=1)
    warmup_steps: int = Field(default=0, ge=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    batch_size: int = Field(default=8, ge=1)
    gradient_accumulation: int = Field(default=1, ge=1)
    num_steps: int | None = Field(default=None, ge=1)
    num_epochs: int | None = Field(default=None, ge=1)
    reconstruction: Literal["l2", "l1"] = "l2"
    head_weight: float | None = Field(default=None, ge=1, le=20)
    losses: dict[str, Annotated[LossTerm, BeforeValidator(_as_term)]] = Field(default_factory=dict)
    augment: Augment = Augment()
    only: list[str] = Field(default_factory=list)
    loss_max_timestep: int = Field(default=400, ge=0, le=1000)
    every: int = Field(default=1, ge=1)
    min_snr_gamma: float | Literal["auto"] | None = "auto"
    timestep_sampling: Literal["uniform", "logit_normal"] = "uniform"

    @field_validator("min_snr_gamma", mode="before")
    @classmethod
    def _zero_is_off(cls, value: object) -> object:
        if value in ("auto", None):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise ValueError('should be 0 (off), a larger number, or "auto"')
        return value or None

    @model_validator(mode="after")
    def _one_length(self) -> Stage:
        if (self.num_steps is None) == (self.num_epochs is None):
            raise ValueError("needs num_steps or num_epochs, one of the two")
        return self

    def weight(self, loss: str) -> float:
        """The weight of a loss; 0 for one that the stage has not."""
        return self.losses[loss].weight if loss in self.losses else 0.0

    def steps_for(self, num_pictures: int) -> int:
        """Steps that the stage takes over so many pictures; the last batch of an epoch is whole."""
        if self.num_steps is not None:
            return self.num_steps
        return -(-num_pictures * (self.num_epochs or 0) // self.batch_size)


def check_loss(kind: str, name: str, term: LossTerm) -> None:
    """Raise `RecipeError` for a loss that this kind of stage has not, saying which has it, and for
    a setting that the loss does not read."""
    if term.max_timestep is not None and name not in (*SEEN_LOSSES, "adversarial"):
        raise RecipeError(f"the loss {name!r} looks at no estimate, so max_timestep says nothing")
    if term.from_fraction and name != "adversarial":
        raise RecipeError(f"from_fraction is the adversarial loss's, not that of {name!r}")
    allowed = STAGE_LOSSES[kind]
    if name in allowed:
        return
    homes = [other for other, losses in STAGE_LOSSES.items() if name in losses]
    advice = f"that loss belongs to a stage of kind {homes[0]!r}" if homes else None
    raise RecipeError(
        f"stage {kind!r} has no loss named {name!r}: {advice or instead(name, allowed)}"
    )


def losses_of(stages: Iterable[Stage]) -> set[str]:
    """Names of the losses with any weight."""
    return {name for stage in stages for name in stage.losses if stage.weight(name)}


def loss_roles(losses: Iterable[str]) -> set[str]:
    """The roles that these losses look through. Expressions are read from faces, which a finder
    finds where a pack names one, else its parser."""
    roles = {LOSS_ROLES[name] for name in losses if name in LOSS_ROLES}
    return roles | {"faces", "parsing"} if "expression" in roles else roles
