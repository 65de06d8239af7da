"""The way of more words: an identity becomes a few tokens after the prompt's own.

As textual inversion adds a word (arXiv 2208.01618), but made from the embedding by a small network,
so that one set of weights serves every character.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from onbrand.models.families.conditioning import Conditioning
from onbrand.models.identity.way import IdentityWay, with_tokens

if TYPE_CHECKING:
    from onbrand.models.diffusion import DiffusionModel

__all__ = ["TokensWay"]

NUM_TOKENS = 4


class TokensWay(IdentityWay):
    """Untrained, its tokens are small: the prompt still says nearly all."""

    name = "tokens"

    def __init__(self, model: DiffusionModel, embedding_dim: int, *, seed: int = 0) -> None:
        super().__init__(model, embedding_dim)
        width = int(model.network.config.cross_attention_dim)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Linear(embedding_dim, 2 * embedding_dim),
                nn.GELU(),
                nn.Linear(2 * embedding_dim, NUM_TOKENS * width),
                nn.Unflatten(-1, (NUM_TOKENS, width)),
                nn.LayerNorm(width),
            ).to(model.device)

    def parameters(self) -> dict[str, Parameter]:
        """See `IdentityWay.parameters`."""
        return dict(self.layers.named_parameters())

    def detach(self) -> None:
        """Nothing hangs on the network."""

    def _said(self, who_bnd: Tensor) -> Tensor:
        tokens: Tensor = self.layers(who_bnd.float().mean(1)) * self.strength
        return tokens

    def reach(self, conditioning: Conditioning) -> tuple[Conditioning, dict[str, Any]]:
        """See `IdentityWay.reach`."""
        return with_tokens(conditioning, self._said(self.told(conditioning))), {}

    def reach_pipeline(
        self, positive: Conditioning, negative: Conditioning, guided: bool
    ) -> tuple[Conditioning, Conditioning, dict[str, Any]]:
        """See `IdentityWay.reach_pipeline`."""
        shown, nobody = self.pair(positive, negative)
        return (
            with_tokens(positive, self._said(shown)),
            with_tokens(negative, self._said(nobody)),
            {},
        )
