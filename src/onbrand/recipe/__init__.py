"""Recipe: every setting of training, typed, and checked without any model library.

Recipes are TOML files. The built-in ones (demo, mascot, large) lie in the package's recipes/ and
are commented to teach; `onbrand new` copies one into the brand's folder, to be edited there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from onbrand.errors import RecipeError, instead
from onbrand.recipe.gate import GATE_METRICS, GATE_ROLES, METRIC_ROLES, Fallback, Gate, Validation
from onbrand.recipe.settings import Settings
from onbrand.recipe.stage import (
    LOSS_ROLES,
    OWN_LOSSES,
    SEEN_LOSSES,
    STAGE_LOSSES,
    Augment,
    LossTerm,
    Stage,
    check_loss,
    loss_roles,
    losses_of,
)
from onbrand.toml import explain, read_toml

__all__ = [
    "GATE_METRICS",
    "GATE_ROLES",
    "LOSS_ROLES",
    "METRIC_ROLES",
    "OWN_LOSSES",
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
    "loss_roles",
    "losses_of",
    "recipe_file",
    "recipe_names",
]

RECIPES = Path(__file__).parent.parent / "recipes"

Precision = Literal["auto", "float32", "bfloat16", "float16"]
OptimizerName = Literal["adamw", "adamw8bit"]


class LoraSettings(Settings):
    """The adapter: `rank` of its matrices, `alpha` (its strength is alpha / rank), dropout, which
    layers of the network it sits on, and whether the text encoder learns too."""

    rank: int = Field(default=16, ge=1, le=1024)
    alpha: float = Field(default=16.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Literal["attention", "attention+ff", "all"] = "attention"
    text_encoder: bool = False


class IdentitySettings(Settings):
    """Whether the brand's identity embedding takes part beside the words, and by which way: as more
    "tokens", as "modulation" of what the network knows of time, or "attended" by keys and values
    of its own (IP-Adapter; from the base's own adapter where its pack has one). `train` lets the
    way learn with the LoRA; frozen, only an adapter that the pack brings says anything."""

    mode: Literal["none", "tokens", "modulation", "attended"] = "none"
    train: bool = True


class Prior(Settings):
    """Prior preservation: `num_pictures` that the untouched base makes of the plain subject, and
    the weight of their loss."""

    num_pictures: int = Field(default=32, ge=1)
    weight: float = Field(default=1.0, ge=0)


class Recipe(Settings):
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
    gate: list[Gate] = Field(default_factory=list)

    @model_validator(mode="after")
    def _parts_fit(self) -> Recipe:
        kinds = list(dict.fromkeys(stage.kind for stage in self.stage))
        for one in (variant for stage in self.stage for variant in self.variants(stage)):
            for name, term in one.losses.items():
                check_loss(one.kind, name, term)
            if one.gradient_accumulation > one.batch_size:
                raise RecipeError(
                    f"stage {one.kind!r}: gradient_accumulation = {one.gradient_accumulation} "
                    f"cuts a batch of {one.batch_size} into more parts than it has pictures; it "
                    "can be at most batch_size, a fallback's too"
                )
        if self.validation.num_per_prompt == 1 and self.reads("diversity"):
            raise RecipeError(
                "diversity compares pictures of one prompt, and [validation] num_per_prompt is 1: "
                "make it 2 or more, or read another figure"
            )
        for gate in self.gate:
            if gate.after not in kinds:
                raise RecipeError(
                    f"a gate stands after {gate.after!r}, no stage of the recipe: "
                    + instead(gate.after, kinds)
                )
        return self

    def variants(self, stage: Stage) -> list[Stage]:
        """The stage, then what each fallback of its gates would make of it."""
        fallbacks = [one for gate in self.gate if gate.after == stage.kind for one in gate.fallback]
        return [stage, *(fallback.applied(stage) for fallback in fallbacks)]

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
        if "subject" in tables:
            raise RecipeError(f"{path} is a brief, not a recipe: name one that says how to train")
        try:
            return cls.model_validate(tables)
        except ValidationError as fault:
            raise RecipeError(f"{path}: {explain(fault, cls)}") from fault
        except RecipeError as fault:
            raise RecipeError(f"{path}: {fault}") from fault


def recipe_names() -> list[str]:
    """The built-in recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def recipe_file(source: str | Path) -> Path:
    """The file of a recipe's name, or the path itself. Raises `RecipeError` if there is none.

    A word without a slash and without ".toml" is a name; a file of that very name wins over none.
    """
    text = str(source)
    names = recipe_names()
    if not text.strip():
        raise RecipeError(f"the recipe has no name: give a file, or one of {', '.join(names)}")
    if text in names:
        return RECIPES / f"{text}.toml"
    path = Path(source)
    if path.is_dir():
        path = path / "recipe.toml"
    if path.is_file():
        return path
    if path.suffix == ".toml" or path.name != text:
        raise RecipeError(f"no recipe file {path}; the built-in ones are {', '.join(names)}")
    raise RecipeError(f"no recipe named {text!r}, nor a .toml file there: {instead(text, names)}")
