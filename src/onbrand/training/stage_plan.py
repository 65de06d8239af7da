"""What a run will see, before it sees it: stages with their steps, batches and class pictures."""

from __future__ import annotations

from dataclasses import dataclass

from onbrand.artifacts.dataset import Dataset
from onbrand.recipe import Recipe, Stage
from onbrand.training.cache import in_order

__all__ = ["BASELINE", "StagePlan", "plan", "plan_of"]

BASELINE = "dreambooth_lora"


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What a stage will see: `num_prior` class pictures beside `batch_size` of the brand a step,
    in `num_parts` micro-batches."""

    name: str
    kind: str
    num_steps: int
    batch_size: int
    num_prior: int
    num_parts: int = 1

    @property
    def num_pictures_seen(self) -> int:
        """Pictures that pass through the model in the stage, prior pictures counted."""
        return self.num_steps * (self.batch_size + self.num_prior)


def plan(dataset: Dataset, recipe: Recipe, arm: str = "onbrand") -> list[StagePlan]:
    """What each stage of the arm will see. The baseline sees as many pictures as the recipe."""
    names: list[str] = []
    plans: list[StagePlan] = []
    for stage in recipe.stage:
        count = names.count(stage.kind) + 1
        names.append(stage.kind)
        name = stage.kind if count == 1 else f"{stage.kind}-{count}"
        plans.append(plan_of(dataset, stage, name))
    if arm == "onbrand":
        return plans
    half = max(1, recipe.stage[0].batch_size // 2)
    num_steps = max(1, sum(p.num_pictures_seen for p in plans) // (2 * half))
    return [StagePlan(BASELINE, BASELINE, num_steps, half, half)]


def plan_of(dataset: Dataset, stage: Stage, name: str) -> StagePlan:
    """What one stage will see."""
    num_prior = stage.batch_size if stage.weight("prior") else 0
    num_steps = stage.steps_for(len(in_order(dataset, stage.only)))
    parts = stage.gradient_accumulation
    return StagePlan(name, stage.kind, num_steps, stage.batch_size, num_prior, parts)
