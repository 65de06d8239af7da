"""What a network is told of prompts: one value that is stacked, indexed, kept and moved whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Conditioning"]


@dataclass(frozen=True, slots=True)
class Conditioning:
    """`tokens` [b, sequence, dim] of b prompts, and `pooled` [b, dim] where the family reads it;
    `identity` [b, n, d] of who is to be seen beside what the words say (models.identity).

    SDXL's time ids are not here: they say the picture's size, not the prompt, and `predict` makes
    them from the latents.
    """

    tokens: Tensor
    pooled: Tensor | None = None
    identity: Tensor | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: int | slice | Tensor) -> Conditioning:
        """The rows, as a Conditioning of their own; a number is a row alone."""
        chosen = slice(rows, rows + 1 or None) if isinstance(rows, int) else rows
        return self._each(lambda tensor: tensor[chosen])

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Conditioning:
        """The same on another device, in another precision, or both."""
        return self._each(lambda tensor: tensor.to(device=device, dtype=dtype))

    def detach(self) -> Conditioning:
        """The same, through which no gradient goes."""
        return self._each(Tensor.detach)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        return Conditioning(
            change(self.tokens),
            None if self.pooled is None else change(self.pooled),
            None if self.identity is None else change(self.identity),
        )

    @classmethod
    def stack(cls, parts: Sequence[Conditioning]) -> Conditioning:
        """All rows of `parts`, in order. Raises ValueError when only some are pooled or have an
        identity, or for none.

        Prompts are padded to full length always, so rows of one family fit.
        """
        pooled = [part.pooled for part in parts if part.pooled is not None]
        known = [part.identity for part in parts if part.identity is not None]
        if not parts or {len(pooled), len(known)} - {0, len(parts)}:
            raise ValueError(
                f"{len(parts)} conditionings, {len(pooled)} of them pooled, {len(known)} known"
            )
        return cls(
            torch.cat([part.tokens for part in parts]),
            torch.cat(pooled) if pooled else None,
            torch.cat(known) if known else None,
        )
