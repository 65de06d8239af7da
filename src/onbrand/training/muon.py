"""Muon: momentum whose matrices are made orthogonal before they move the weights.

Keller Jordan et al., https://kellerjordan.github.io/posts/muon/; the step is scaled by
0.4 sqrt(max(rows, columns)), which suits AdamW's learning rates (arXiv 2502.16982 has 0.2; twice
that learned faster here, docs/log.md). A convolution [out, in, h, w] counts as [out, in h w].
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from onbrand.models.device import multiplies_bfloat16

__all__ = ["Muon", "orthogonal"]


def orthogonal(matrices_brc: Tensor, num_steps: int = 5) -> Tensor:
    """Nearly the nearest semi-orthogonal matrices [b, r, c] float32: their singular values end in
    about 0.7 to 1.2 (Newton-Schulz, Muon's quintic coefficients; in bfloat16 where the device
    multiplies it: that is exact enough)."""
    tall = matrices_brc.shape[-2] > matrices_brc.shape[-1]
    low = multiplies_bfloat16(matrices_brc.device.type)
    x = matrices_brc.bfloat16() if low else matrices_brc.float()
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(num_steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    result: Tensor = (x.mT if tall else x).float()
    return result


class Muon(torch.optim.Optimizer):
    """For hidden matrices and convolutions only; biases, norms, embeddings and the first and last
    layers belong to AdamW. `num_threads`: matrices of equal shape go together, groups in parallel.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        *,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        num_threads: int = 1,
    ) -> None:
        super().__init__(
            list(params), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        )
        self._pool = ThreadPoolExecutor(num_threads)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Move every parameter that has a gradient; returns what `closure` returns, if given."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    state = self.state[p]
                    if not state:
                        state["momentum"] = torch.zeros_like(p)
                    shapes.setdefault((p.shape[0], p[0].numel()), []).append(p)
            costly = sorted(
                shapes.items(), key=lambda s: -len(s[1]) * min(s[0]) * s[0][0] * s[0][1]
            )
            jobs = [self._pool.submit(self._move, group, *item) for item in costly]
            for job in jobs:
                job.result()
        return loss

    @torch.no_grad()
    def _move(self, group: dict[str, Any], shape: tuple[int, int], params: list[Tensor]) -> None:
        rows, columns = shape
        ahead = []
        for p in params:
            gradient, kept = p.grad, self.state[p]["momentum"]
            assert gradient is not None  # step() chose those that have one
            kept.lerp_(gradient, 1 - group["momentum"])
            ahead.append(torch.lerp(gradient, kept, group["momentum"]).reshape(rows, columns))
        rate = group["lr"]
        for p, direction in zip(params, orthogonal(torch.stack(ahead)), strict=True):
            p.mul_(1 - rate * group["weight_decay"])
            p.add_(direction.reshape(p.shape), alpha=-0.4 * max(rows, columns) ** 0.5 * rate)
