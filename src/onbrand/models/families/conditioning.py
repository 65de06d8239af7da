"""What a network is told of prompts: one value that is stacked, indexed, kept and moved whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Conditioning"]


@dataclass(frozen=True, slots=True)
class Conditioning:
    """`tokens` [b, sequence, dim] of b prompts, and `pooled` [b, dim] where the family reads it.

    SDXL's time ids are not here: they say the picture's size, not the prompt, and `predict` makes
    them from the latents.
    """

    tokens: Tensor
    pooled: Tensor | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: int | slice | Tensor) -> Conditioning:
        """The rows, as a Conditioning of their own; a number is a row alone."""
        chosen = slice(rows, rows + 1 or None) if isinstance(rows, int) else rows
        return Conditioning(
            self.tokens[chosen], None if self.pooled is None else self.pooled[chosen]
        )

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Conditioning:
        """The same on another device, in another precision, or both."""
        pooled = self.pooled
        return Conditioning(
            self.tokens.to(device=device, dtype=dtype),
            None if pooled is None else pooled.to(device=device, dtype=dtype),
        )

    @classmethod
    def stack(cls, parts: Sequence[Conditioning]) -> Conditioning:
        """All rows of `parts`, in order. Raises ValueError when only some are pooled, or for none.

        Prompts are padded to full length always, so rows of one family fit.
        """
        pooled = [part.pooled for part in parts if part.pooled is not None]
        if not parts or len(pooled) not in (0, len(parts)):
            raise ValueError(f"{len(parts)} conditionings, {len(pooled)} of them pooled")
        return cls(
            torch.cat([part.tokens for part in parts]), torch.cat(pooled) if pooled else None
        )
