"""The losses that look at the picture a step has in mind: gated by noise, decoded once for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from onbrand.recipe import Stage
from onbrand.training.batches import Batch
from onbrand.training.lenses import Lens
from onbrand.training.losses import gated_mean

if TYPE_CHECKING:
    from onbrand.models.diffusion import DiffusionModel

__all__ = ["estimates", "look"]


def estimates(
    model: DiffusionModel, output: Tensor, noisy: Tensor, batch: Batch, max_timestep: int
) -> tuple[Tensor, Tensor]:
    """Rows [g] of the brand's samples that are at most so noisy, and the clean latents [g, …] that
    the model's output implies there. Chosen before anything is decoded."""
    gate = torch.nonzero(batch.timesteps[: batch.num_brand] <= max_timestep)[:, 0]
    return gate, model.estimate_x0(output[gate], noisy[gate], batch.timesteps[gate])


def look(
    model: DiffusionModel,
    lenses: Mapping[str, Lens],
    stage: Stage,
    output: Tensor,
    noisy: Tensor,
    batch: Batch,
    seed: int,
    step: int,
) -> dict[str, Tensor]:
    """Each lens's mean distance over the samples that it may look at, before its weight; {} when
    there is none. The estimates are decoded once, for the lens that looks at the noisiest."""
    reach = {name: _reach(stage, name) for name in lenses}
    gate, clean = estimates(model, output, noisy, batch, max(reach.values(), default=-1))
    if not len(gate):
        return {}
    seen = model.decode(clean)
    found: dict[str, Tensor] = {}
    for name, lens in lenses.items():
        mine = torch.nonzero(batch.timesteps[gate] <= reach[name])[:, 0]
        if len(mine):
            contents = [batch.contents[int(gate[i])] for i in mine]
            found[name] = gated_mean(lens(seen[mine], contents, seed, step))
    return found


def _reach(stage: Stage, loss: str) -> int:
    own = stage.losses[loss].max_timestep
    return stage.loss_max_timestep if own is None else own
