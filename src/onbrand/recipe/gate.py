"""What must hold after a stage, what is tried where it does not, and when a stage ends early."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from onbrand.errors import RecipeError, instead
from onbrand.recipe.settings import Settings
from onbrand.recipe.stage import LossTerm, Stage

__all__ = ["GATE_METRICS", "GATE_ROLES", "METRIC_ROLES", "Fallback", "Gate", "Validation"]

GATE_METRICS: Mapping[str, Literal["higher", "lower"]] = {
    "identity": "higher",
    "alignment": "higher",
    "directional_alignment": "higher",
    "diversity": "higher",
    "shape_doubt": "lower",
    "pose_variety": "higher",
    "oiliness": "lower",
    "background_detail": "higher",
    "memorised_fraction": "lower",
    "prior_drift": "lower",
    "validation_loss": "lower",
}
"""What a gate, or an early stop, can read, and which way is better: the training-side figures of
the validation pictures (docs/diagnosis.md says what each means), and the loss on held-out ones."""

METRIC_ROLES: Mapping[str, str] = {
    "identity": "identity",
    "alignment": "alignment",
    "directional_alignment": "alignment",
    "shape_doubt": "parsing",
    "pose_variety": "pose",
    "background_detail": "parsing",
    "prior_drift": "identity",
}
"""One of them that is read through a model of the pack -> the role of that model."""

GATE_ROLES = tuple(dict.fromkeys(METRIC_ROLES.values()))
"""Roles of a pack through which they are read."""


NO_SHARE: Mapping[str, str] = {
    "oiliness": "it is a difference, 0 where pictures are as real ones",
    "prior_drift": "it says how far from the base: the base itself has none",
}
"""One of them of which a share of the base's figure says nothing -> why."""


class Validation(Settings):
    """Pictures made at fixed seeds after each stage, that gates read: the first `num_prompts` of
    the brief, `num_per_prompt` each. `preview_every` steps a sheet is drawn within a stage (0: at
    its end only).

    Early stop: every `stop_every` steps (0: never) `stop_metric` is looked at; when it has not
    become better `stop_patience` times in a row the stage ends, and its best checkpoint is kept."""

    num_prompts: int = Field(default=4, ge=1)
    num_per_prompt: int = Field(default=2, ge=1)
    num_steps: int = Field(default=12, ge=1)
    guidance: float = Field(default=4.0, ge=0)
    preview_every: int = Field(default=0, ge=0)
    stop_every: int = Field(default=0, ge=0)
    stop_patience: int = Field(default=3, ge=1)
    stop_metric: str = "validation_loss"

    @field_validator("stop_metric")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in GATE_METRICS:
            raise RecipeError(f"early stop reads {name!r}: {instead(name, GATE_METRICS)}")
        return name

    @property
    def stop_draws(self) -> bool:
        """Whether the early stop looks at pictures; the held-out loss takes none."""
        return self.stop_every > 0 and self.stop_metric != "validation_loss"


class Fallback(Settings):
    """What to change in a stage whose gate failed, before it is trained again from where it began.
    What is not named stays; `losses` replace the weights of those named."""

    learning_rate: float | None = Field(default=None, gt=0, le=1)
    num_steps: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    losses: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _changes_something(self) -> Fallback:
        if not self.changes():
            raise RecipeError(
                "a fallback changes nothing, and the same settings give the same model: name a "
                "learning_rate, num_steps, batch_size or losses"
            )
        return self

    def changes(self) -> dict[str, Any]:
        """The settings that it names."""
        named = self.model_dump(exclude_none=True)
        return {name: value for name, value in named.items() if value != {}}

    def applied(self, stage: Stage) -> Stage:
        """The stage with them."""
        changes = self.changes()
        changes["losses"] = dict(stage.losses)
        for name, weight in self.losses.items():
            term = stage.losses.get(name, LossTerm(weight=0))
            changes["losses"][name] = term.model_copy(update={"weight": weight})
        if self.num_steps is not None:
            changes["num_epochs"] = None
        return stage.model_copy(update=changes)


class Gate(Settings):
    """What must hold after a stage of kind `after` before the next may begin: `metric` is at least
    `at_least`, or at most `at_most` where lower is better, and those in `not_worse` lose no more
    than the share `tolerance` in that stage. With `of_base` the bound is a share of the untouched
    base's own figure on the same prompts and seeds, taken as theirs + (bound - 1)·|theirs|.

    `fallback`: where this gate fails the stage is trained again with these changes, once for each
    of them in turn; the earlier tries are kept in tries/."""

    after: str
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    of_base: bool = False
    not_worse: list[str] = Field(default_factory=list)
    tolerance: float = Field(default=0.05, ge=0, lt=1)
    fallback: list[Fallback] = Field(default=[], max_length=5)

    @field_validator("fallback", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        """[gate.fallback] is one, [[gate.fallback]] several."""
        return [given] if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _bounded(self) -> Gate:
        for name in (self.metric, *self.not_worse):
            if name not in GATE_METRICS:
                raise RecipeError(
                    f"the gate after {self.after!r} reads {name!r}: {instead(name, GATE_METRICS)}"
                )
        higher = GATE_METRICS[self.metric] == "higher"
        right, wrong = ("at_least", "at_most") if higher else ("at_most", "at_least")
        if getattr(self, right) is None or getattr(self, wrong) is not None:
            raise RecipeError(
                f"the gate after {self.after!r} bounds {self.metric}, of which "
                f"{'more' if higher else 'less'} is better: give it {right}, and no {wrong}"
            )
        if self.of_base and self.metric in NO_SHARE:
            raise RecipeError(
                f"the gate after {self.after!r} bounds {self.metric} by a share of the base's, but "
                f"{NO_SHARE[self.metric]}: give it a bound of its own, without of_base"
            )
        return self
