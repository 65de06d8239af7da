"""Ways of an identity into a network as if they had learned something."""

from __future__ import annotations

import torch
from torch import Tensor

from onbrand.models.diffusion import DiffusionModel
from onbrand.models.identity import IdentityWay, open_way

__all__ = ["DIM", "WAYS", "somebody", "stirred"]

WAYS = ("attended", "tokens", "modulation")
DIM = 16


def somebody(seed: int) -> Tensor:
    """A unit vector of `DIM`."""
    who = torch.randn(DIM, generator=torch.Generator().manual_seed(seed))
    return who / who.norm()


def stirred(model: DiffusionModel, name: str) -> IdentityWay:
    """A way as if it had learned something: no layer is zero."""
    way = open_way(model, name, embedding_dim=DIM, seed=3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in way.parameters().values():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return way
