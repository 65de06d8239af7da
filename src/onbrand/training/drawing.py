"""Drawing from noise within a step, with a gradient to the network that draws.

    draw_x0(process, told, away, noise, guidance=4.0, learns=learning_steps(chances))

NUM_STEPS DDIM steps (arXiv 2010.02502, eta 0) with guidance. The gradient reaches the network at
LEARNS of them, taken at random, by way of what these add to the picture and never through their
input: DRTune (arXiv 2405.00760), a kin of ReFL (arXiv 2304.05977) that teaches the early steps,
too, which decide the layout. What guidance pushes away from learns nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["NUM_STEPS", "Process", "draw_x0", "learning_steps"]

NUM_STEPS = 5
LEARNS = 2

Predict = Callable[[Tensor, Tensor], Tensor]
"""(noisy latents [b, c, h, w], timesteps [b]) -> the network's output"""


class Process(Protocol):
    """What noise does and what an output means; a DiffusionModel knows."""

    num_timesteps: int

    def add_noise(self, x0: Tensor, noise: Tensor, t_b: Tensor) -> Tensor:
        """Noisy latents."""
        ...

    def estimate_x0(self, output: Tensor, x_t: Tensor, t_b: Tensor) -> Tensor:
        """The clean latents that the network's output implies."""
        ...


def learning_steps(chances: torch.Generator) -> list[int]:
    """Which of the steps learn."""
    return torch.randperm(NUM_STEPS, generator=chances)[:LEARNS].tolist()


def draw_x0(
    process: Process,
    told: Predict,
    away: Predict | None,
    noise: Tensor,
    *,
    guidance: float,
    learns: Collection[int],
) -> Tensor:
    """The clean latents [b, c, h, w] that `told` draws from the noise, led off from what `away`
    predicts (None: no guidance); a gradient runs through `told` at the steps in `learns` (from 0).
    """
    num = process.num_timesteps
    times = [num * (NUM_STEPS - k) // NUM_STEPS - 1 for k in range(NUM_STEPS)]
    x_t = noise
    for k, t in enumerate(times):
        given, t_b = x_t.detach(), torch.full((len(x_t),), t, device=x_t.device)
        with torch.set_grad_enabled(k in learns):
            output = told(given, t_b).float()
        if away is not None:
            with torch.no_grad():
                other = away(given, t_b).float()
            output = other + guidance * (output - other)
        clean = process.estimate_x0(output, x_t, t_b)
        if k + 1 < NUM_STEPS:
            x_t = _less_noisy(process, x_t, clean, t_b, torch.full_like(t_b, times[k + 1]))
    return clean


def _less_noisy(
    process: Process, x_t: Tensor, clean: Tensor, t_b: Tensor, next_b: Tensor
) -> Tensor:
    """DDIM's step: the noise that x_t and the estimate imply, at the next level.

    x_t = a·x0 + s·noise in every family, so that a and s are what becomes of ones and zeros.
    """
    ones, zeros = torch.ones_like(clean), torch.zeros_like(clean)
    signal, spread = process.add_noise(ones, zeros, t_b), process.add_noise(zeros, ones, t_b)
    return process.add_noise(clean, (x_t - signal * clean) / spread, next_b)
