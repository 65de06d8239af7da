"""Recipe: every setting of training, typed, and checked without any model library.

Recipes are TOML files. The built-in ones (demo, mascot) lie in the package's recipes/ and are
commented to teach; `onbrand new` copies one into the brand's folder, to be edited there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from onbrand.errors import RecipeError, nearest
from onbrand.toml import explain, read_toml

__all__ = [
    "GATE_METRICS",
    "LOSS_ROLES",
    "SEEN_LOSSES",
    "STAGE_LOSSES",
    "Augment",
    "Fallback",
    "Gate",
    "IdentitySettings",
    "LoraSettings",
    "LossTerm",
    "OptimizerName",
    "Precision",
    "Prior",
    "Recipe",
    "Stage",
    "Validation",
    "recipe_file",
    "recipe_names",
]

GATE_METRICS: Mapping[str, Literal["higher", "lower"]] = {
    "identity": "higher",
    "alignment": "higher",
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

SEEN_LOSSES: tuple[str, ...] = ("perceptual", "semantic", "identity", "pose", "expression")
"""Losses that look at the decoded estimate of the clean picture."""

STAGE_LOSSES: dict[str, tuple[str, ...]] = {
    "appearance": ("prior", "weights"),
    "detail": ("perceptual", "semantic", "identity", "adversarial", "prior", "weights"),
    "expression": (*SEEN_LOSSES, "adversarial", "prior", "weights"),
}
"""Stage kind -> the names its `losses` may hold, beside reconstruction, which is always there."""

LOSS_ROLES: dict[str, str] = {
    "perceptual": "identity",
    "semantic": "alignment",
    "identity": "identity",
    "pose": "pose",
    "expression": "expression",
}
"""A loss that looks through one of the pack's models -> the role of that model."""

RECIPES = Path(__file__).parent / "recipes"

Precision = Literal["auto", "float32", "bfloat16", "float16"]
OptimizerName = Literal["adamw", "adamw8bit"]
Fraction = Annotated[float, Field(ge=0, le=1)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LoraSettings(_Settings):
    """The adapter: `rank` of its matrices, `alpha` (its strength is alpha / rank), dropout, which
    layers of the network it sits on, and whether the text encoder learns too."""

    rank: int = Field(default=16, ge=1, le=1024)
    alpha: float = Field(default=16, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Literal["attention", "attention+ff", "all"] = "attention"
    text_encoder: bool = False


class IdentitySettings(_Settings):
    """Whether the brand's identity embedding takes part beside the words, and by which way: as more
    "tokens", as "modulation" of what the network knows of time, or "attended" by keys and values
    of its own (IP-Adapter; from the base's own adapter where its pack has one). `train` lets the
    way learn with the LoRA; frozen, only an adapter that the pack brings says anything."""

    mode: Literal["none", "tokens", "modulation", "attended"] = "none"
    train: bool = True


class Validation(_Settings):
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
            raise RecipeError(f"early stop reads {name!r}: {_instead(name, GATE_METRICS)}")
        return name


class Prior(_Settings):
    """Prior preservation: `num_pictures` that the untouched base makes of the plain subject, and
    the weight of their loss."""

    num_pictures: int = Field(default=32, ge=1)
    weight: float = Field(default=1.0, ge=0)


class Augment(_Settings):
    """Small moves of a training picture. Turns in degrees, the rest as a share of the side, of the
    brightness or of the saturation. `flip` mirrors every second variant: off for a subject with
    one-sided marks."""

    flip: bool = False
    rotate_degrees: float = Field(default=0.0, ge=0, le=180)
    scale_fraction: Fraction = 0.0
    shift_fraction: Fraction = 0.0
    brightness_fraction: Fraction = 0.0
    saturation_fraction: Fraction = 0.0


class LossTerm(_Settings):
    """A loss beside reconstruction; a bare number is its weight. `max_timestep` (of 1000) is the
    noisiest at which a loss that looks at estimates still looks (None: the stage's
    `loss_max_timestep`); the adversarial one begins after `from_fraction` of the steps."""

    weight: float = Field(ge=0)
    max_timestep: int | None = Field(default=None, ge=0, le=1000)
    from_fraction: float = Field(default=0.0, ge=0, lt=1)


def _as_term(given: object) -> object:
    return {"weight": given} if isinstance(given, int | float) else given


class Stage(_Settings):
    """One stage, `num_steps` long or `num_epochs` times through its pictures.

    `only` filters them by tag: "expression:sad", or "expression" for any that tell one.
    `reconstruction` takes squared errors or absolute ones; `losses` adds to it, by weight; those
    that look at decoded estimates (SEEN_LOSSES) look at samples with a timestep of at most
    `loss_max_timestep` (of 1000), on every `every`-th step.
    `min_snr_gamma` 0 weighs all noise alike. `timestep_sampling` draws all noise levels alike, or
    oftener the middle, where shapes and marks are decided ("logit_normal").
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
    losses: dict[str, Annotated[LossTerm, BeforeValidator(_as_term)]] = {}
    augment: Augment = Augment()
    only: list[str] = []
    loss_max_timestep: int = Field(default=400, ge=0, le=1000)
    every: int = Field(default=1, ge=1)
    min_snr_gamma: float | None = Field(default=5.0, ge=0)
    timestep_sampling: Literal["uniform", "logit_normal"] = "uniform"

    @field_validator("min_snr_gamma")
    @classmethod
    def _zero_is_off(cls, value: float | None) -> float | None:
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

    def num_pictures_seen(self, num_pictures: int) -> int:
        """Pictures that pass through the model, of so many; with a prior loss each has a class
        picture beside it."""
        return self.steps_for(num_pictures) * self.batch_size * (2 if self.weight("prior") else 1)


class Fallback(_Settings):
    """What to change in a stage whose gate failed, before it is trained again from where it began.
    What is not named stays; `losses` replace the weights of those named."""

    learning_rate: float | None = Field(default=None, gt=0, le=1)
    num_steps: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    losses: dict[str, Annotated[float, Field(ge=0)]] = {}

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


class Gate(_Settings):
    """What must hold after a stage of kind `after` before the next may begin: `metric` is at least
    `at_least`, or at most `at_most` where lower is better, and those in `not_worse` lose no more
    than the share `tolerance` in that stage. With `of_base` the bound is a share of the untouched
    base's own figure on the same prompts and seeds.

    `fallback`: where the gate fails the stage is trained again with these changes, once for each
    of them in turn; the earlier tries are kept in tries/."""

    after: str
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    of_base: bool = False
    not_worse: list[str] = []
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
                    f"the gate after {self.after!r} reads {name!r}: {_instead(name, GATE_METRICS)}"
                )
        higher = GATE_METRICS[self.metric] == "higher"
        right, wrong = ("at_least", "at_most") if higher else ("at_most", "at_least")
        if getattr(self, right) is None or getattr(self, wrong) is not None:
            raise RecipeError(
                f"the gate after {self.after!r} bounds {self.metric}, of which "
                f"{'more' if higher else 'less'} is better: give it {right}, and no {wrong}"
            )
        return self


class Recipe(_Settings):
    """All stages' settings. `base` is a pack's name, a hub id or a diffusers folder;
    `resolution_px` None takes the base's own size. `precision` is the arithmetic of training's
    heavy layers: "auto" is bfloat16 where the hardware multiplies it, else float32; "float16"
    scales the loss. `gradient_checkpointing` computes activations twice instead of keeping them.
    `optimizer` "adamw8bit" keeps the moments in 8 bits (bitsandbytes)."""

    base: str = Field(default="pocket", min_length=1)
    seed: int = Field(default=7, ge=0, lt=2**31)
    resolution_px: int | None = Field(default=None, ge=16, multiple_of=8)
    precision: Precision = "auto"
    gradient_checkpointing: bool = False
    optimizer: OptimizerName = "adamw"
    lora: LoraSettings = LoraSettings()
    identity: IdentitySettings = IdentitySettings()
    validation: Validation = Validation()
    prior: Prior = Prior()
    stage: list[Stage] = Field(min_length=1)
    gate: list[Gate] = []

    @model_validator(mode="after")
    def _parts_fit(self) -> Recipe:
        kinds = list(dict.fromkeys(stage.kind for stage in self.stage))
        for stage in self.stage:
            for name in stage.losses:
                _check_loss(stage.kind, name)
            if stage.gradient_accumulation > stage.batch_size:
                raise RecipeError(
                    f"stage {stage.kind!r}: gradient_accumulation = {stage.gradient_accumulation} "
                    f"cuts a batch of {stage.batch_size} into more parts than it has pictures; it "
                    "can be at most batch_size"
                )
        for gate in self.gate:
            if gate.after not in kinds:
                raise RecipeError(
                    f"a gate stands after {gate.after!r}, no stage of the recipe: "
                    + _instead(gate.after, kinds)
                )
            for fallback in gate.fallback:
                for name in fallback.losses:
                    _check_loss(gate.after, name)
        return self

    def reads(self, metric: str) -> bool:
        """Whether a gate or the early stop reads the metric."""
        stop = self.validation.stop_metric if self.validation.stop_every else None
        return metric == stop or any(metric in (g.metric, *g.not_worse) for g in self.gate)

    @classmethod
    def load(cls, source: str | Path) -> Recipe:
        """The recipe of a built-in name ("demo") or a TOML file.

        Raises `RecipeError`, one line, for a missing file, an unknown name or key, or a value
        that cannot be.
        """
        path = recipe_file(source)
        tables = read_toml(path, RecipeError)
        try:
            return cls.model_validate(tables)
        except ValidationError as fault:
            raise RecipeError(f"{path}: {explain(fault, cls)}") from fault
        except RecipeError as fault:
            raise RecipeError(f"{path}: {fault}") from fault

    def num_pictures_seen(self, num_pictures: int) -> int:
        """Pictures that pass through the model in all stages over a dataset of so many."""
        return sum(stage.num_pictures_seen(num_pictures) for stage in self.stage)


def recipe_names() -> list[str]:
    """The built-in recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def recipe_file(source: str | Path) -> Path:
    """The file of a recipe's name, or the path itself. Raises `RecipeError` if there is none.

    A word without a slash and without ".toml" is a name; a file of that very name wins over none.
    """
    text = str(source)
    names = recipe_names()
    if text in names:
        return RECIPES / f"{text}.toml"
    path = Path(source)
    if path.is_dir():
        path = path / "recipe.toml"
    if path.is_file():
        return path
    if path.suffix == ".toml" or path.name != text:
        raise RecipeError(f"no recipe file {path}; the built-in ones are {', '.join(names)}")
    raise RecipeError(
        f"no recipe named {text!r}: {_instead(text, names)}, or a path to a .toml file"
    )


def _check_loss(kind: str, name: str) -> None:
    allowed = STAGE_LOSSES[kind]
    if name in allowed:
        return
    homes = [other for other, losses in STAGE_LOSSES.items() if name in losses]
    advice = f"that loss belongs to a stage of kind {homes[0]!r}" if homes else None
    raise RecipeError(
        f"stage {kind!r} has no loss named {name!r}: {advice or _instead(name, allowed)}"
    )


def _instead(word: str, choices: Iterable[str]) -> str:
    guess = nearest(word, choices)
    return f"did you mean {guess!r}?" if guess else f"there are {', '.join(choices)}"
