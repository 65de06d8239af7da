"""The way of modulation: an identity shifts what every residual block is told of time.

A U-Net's blocks add a projection of the time embedding to their features; what is added to that
embedding shifts all of them, as adaLN (arXiv 2212.09748) and FiLM (arXiv 1709.07871) do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from onbrand.models.families.conditioning import Conditioning
from onbrand.models.identity.way import IdentityWay

if TYPE_CHECKING:
    from onbrand.models.diffusion import DiffusionModel

__all__ = ["ModulationWay"]


class ModulationWay(IdentityWay):
    """Untrained it shifts nothing; nobody never shifts anything."""

    name = "modulation"

    def __init__(self, model: DiffusionModel, embedding_dim: int, *, seed: int = 0) -> None:
        super().__init__(model, embedding_dim)
        width = int(model.network.time_embedding.linear_2.out_features)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            first, last = nn.Linear(embedding_dim, width), nn.Linear(width, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(first, nn.SiLU(), last).to(model.device)
        self._now: Tensor | None = None
        self._hook = model.network.time_embedding.register_forward_hook(self._shift)

    def parameters(self) -> dict[str, Parameter]:
        """See `IdentityWay.parameters`."""
        return dict(self.layers.named_parameters())

    def detach(self) -> None:
        """See `IdentityWay.detach`."""
        self._hook.remove()

    def _shift(self, module: nn.Module, given: Any, time_bd: Tensor) -> Tensor:
        who = self._now
        if who is None or len(who) != len(time_bd):
            return time_bd
        somebody = (who.abs().sum(1, keepdim=True) > 0).float()
        shift: Tensor = self.layers(who) * somebody * self.strength
        return time_bd + shift.to(time_bd)

    def reach(self, conditioning: Conditioning) -> tuple[Conditioning, dict[str, Any]]:
        """See `IdentityWay.reach`."""
        self._now = self.told(conditioning).float().mean(1)
        return conditioning, {}

    def reach_pipeline(
        self, positive: Conditioning, negative: Conditioning, guided: bool
    ) -> tuple[Conditioning, Conditioning, dict[str, Any]]:
        """See `IdentityWay.reach_pipeline`."""
        shown, nobody = (who.float().mean(1) for who in self.pair(positive, negative))
        self._now = torch.cat([nobody, shown]) if guided else shown
        return positive, negative, {}
