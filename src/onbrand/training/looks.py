"""The losses that look at the picture a step has in mind: gated by noise, decoded once for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from onbrand.recipe import Stage
from onbrand.training.batches import Batch
from onbrand.training.lenses import Content, Lens
from onbrand.training.losses import gated_mean

if TYPE_CHECKING:
    from onbrand.models.diffusion import DiffusionModel

__all__ = ["estimates", "latest_timestep", "look", "through"]


def estimates(
    model: DiffusionModel, output: Tensor, noisy: Tensor, batch: Batch, max_timestep: int
) -> tuple[Tensor, Tensor, float]:
    """Places [g] of the brand's samples that are at most so noisy, the clean latents [g, …] that
    the model's output implies there, and what a mean over them counts for (`Batch.gate`). Chosen
    before anything is decoded."""
    gate, share = batch.gate(max_timestep)
    return gate, model.estimate_x0(output[gate], noisy[gate], batch.timesteps[gate]), share


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
    """What these samples add to each lens's mean distance over all that it may look at in the
    step, before its weight; {} when there are none. The estimates are decoded once, for the lens
    that looks at the noisiest."""
    reach = {name: latest_timestep(model, stage, name) for name in lenses}
    gate, clean, _ = estimates(model, output, noisy, batch, max(reach.values(), default=-1))
    if not len(gate):
        return {}
    seen = model.decode(clean)
    found: dict[str, Tensor] = {}
    for name, lens in lenses.items():
        mine = torch.nonzero(batch.timesteps[gate] <= reach[name])[:, 0]
        if len(mine):
            contents = [batch.contents[int(gate[i])] for i in mine]
            _, share = batch.gate(reach[name])
            found[name] = share * through(lens, seen[mine], contents, seed, step)
    return found


def through(lens: Lens, seen: Tensor, contents: Sequence[Content], seed: int, step: int) -> Tensor:
    """The lens's mean distance; a function of its own so that profiles name it."""
    return gated_mean(lens(seen, contents, seed, step))


def latest_timestep(model: DiffusionModel, stage: Stage, loss: str) -> int:
    """The noisiest timestep of the base's own at which a loss may look."""
    own = stage.losses[loss].max_timestep
    return model.last_timestep(stage.loss_max_timestep if own is None else own)
