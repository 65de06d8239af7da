"""One adapted layer of a LoRA, as the files' forms and the model's modules all mean it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Layer"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One adapted module: ΔW = (alpha / r)·up·down, down [r, in, …], up [out, r, …]."""

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        """r."""
        return int(self.down.shape[0])
