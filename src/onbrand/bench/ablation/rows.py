"""The rows of the ablation: recipes that differ from the compared one in one loss or setting, or in
those that the row's words name.

All begin with the recipe's own first stage and see as many pictures as the row that they are
compared with (a prior picture is a picture), but for a row that adds a stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import tomlkit

from onbrand.errors import RecipeError
from onbrand.recipe import STAGE_LOSSES

__all__ = ["FIRST", "RECIPES_OWN", "ROWS", "Row", "recipe_of"]

FIRST = "appearance"
"""The row that all others begin from: the recipe's first stage alone."""

RECIPES_OWN = "both"
"""The row that is the recipe as it is."""

Losses = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """What is trained behind the first stage, and the row it is compared with.

    `detail` are the losses, in place of its own, of the recipe's stage of that name, which becomes
    one of the kind `expression` where they need it; `expression` those of a third stage like it;
    None leaves a stage out. `identity` is a way for the brand's embedding, `head_weight` how much
    more the head counts in all stages.
    """

    against: str
    detail: Losses | None
    expression: Losses | None = None
    identity: str = "none"
    head_weight: float = 1.0
    about: str = ""


BOTH: Losses = {"perceptual": 0.5, "identity": 0.5}

ROWS: Mapping[str, Row] = {
    FIRST: Row("", None, about="the first stage alone"),
    "reconstruction": Row(FIRST, {}, about="a second stage without another loss"),
    "perceptual": Row("reconstruction", {"perceptual": 0.5}),
    "identity": Row("reconstruction", {"identity": 0.5}),
    "class": Row(
        "reconstruction",
        {"prior": 0.3},
        about="no other loss, half of the pictures are of the class",
    ),
    "own_second": Row(
        "reconstruction",
        {"own_identity": 1.0, "own_expression": 0.5, "prior": 0.3},
        about="so, and its own drawings, who they show and with what face",
    ),
    RECIPES_OWN: Row("reconstruction", BOTH, about="perceptual and identity: the recipe as it is"),
    "attended": Row(
        "both", BOTH, identity="attended", about="the embedding, by the pack's adapter"
    ),
    "tokens": Row("both", BOTH, identity="tokens", about="the embedding as more tokens"),
    "modulation": Row("both", BOTH, identity="modulation", about="the embedding beside the time"),
    "head": Row("both", BOTH, head_weight=3.0, about="the head counts thrice in reconstruction"),
    "third": Row("both", BOTH, BOTH, about="a third stage like the second"),
    "pose": Row("third", BOTH, {**BOTH, "pose": 0.3}),
    "expression": Row("third", BOTH, {**BOTH, "expression": 0.1}),
    "own_identity": Row(
        "third", BOTH, {**BOTH, "own_identity": 1.0}, about="its own drawings, who they show"
    ),
    "own_expression": Row(
        "third", BOTH, {**BOTH, "own_expression": 0.5}, about="its own drawings, with what face"
    ),
    "own": Row(
        "third",
        BOTH,
        {**BOTH, "own_identity": 1.0, "own_expression": 0.5},
        about="its own drawings, who they show and with what face",
    ),
    "own_tags": Row(
        "third",
        BOTH,
        {**BOTH, "own_identity": 1.0, "own_tags": 0.3},
        about="its own drawings, who they show and whether as the caption names",
    ),
    "all": Row(
        "both",
        {**BOTH, "pose": 3.0, "expression": 0.1},
        head_weight=3.0,
        about="joints at 3, faces and a heavy head, in the second stage",
    ),
    "semantic": Row("both", {**BOTH, "semantic": 0.5}),
    "adversarial": Row("both", {**BOTH, "adversarial": {"weight": 0.05, "from_fraction": 0.3}}),
    "weights": Row("both", {**BOTH, "weights": 1.0}),
    "prior": Row("both", {**BOTH, "prior": 0.3}, about="half of the pictures are of the class"),
}
"""Name → row, each behind the one that it is compared with."""


def recipe_of(row: Row, recipe_toml: str) -> str:
    """The recipe with the row's stages and no gates, which would end some rows and not others.

    Nothing is chosen here, so that validation shrinks to a picture. Raises RecipeError where the
    recipe lacks a stage that the row needs.
    """
    recipe = tomlkit.parse(recipe_toml).unwrap()
    stages = {stage["kind"]: stage for stage in recipe["stage"]}
    kept = [_stage(stages, FIRST)]
    if row.detail is not None:
        kind = "detail" if set(row.detail) <= set(STAGE_LOSSES["detail"]) else "expression"
        kept.append(_with(_stage(stages, "detail"), kind, row.detail))
    if row.expression is not None:
        kept.append(_with(_stage(stages, "detail"), "expression", row.expression))
    recipe["stage"] = [{**stage, "head_weight": row.head_weight} for stage in kept]
    recipe["validation"] = {"num_prompts": 1, "num_per_prompt": 1, "num_steps": 2}
    recipe["identity"] = {"mode": row.identity}
    recipe.pop("gate", None)
    return tomlkit.dumps(recipe)


def _stage(stages: Mapping[str, dict[str, Any]], kind: str) -> dict[str, Any]:
    """The recipe's stage of that kind, which must be counted in steps: rows share out steps."""
    if "num_steps" not in stages.get(kind, {}):
        raise RecipeError(
            f"the ablation needs a stage of kind {kind!r} with num_steps; the recipe has "
            f"{'one with num_epochs' if kind in stages else ', '.join(stages)}"
        )
    return stages[kind]


def _with(stage: Mapping[str, Any], kind: str, losses: Losses) -> dict[str, Any]:
    """The stage with other losses and as many pictures as it had; a prior picture is one, too."""
    halves = stage["num_steps"] * (2 if "prior" in stage.get("losses", {}) else 1)
    steps = halves // (2 if "prior" in losses else 1)
    changed = {**stage, "kind": kind, "losses": deepcopy(dict(losses)), "num_steps": max(1, steps)}
    if not losses:
        changed.pop("every", None)
    return changed
