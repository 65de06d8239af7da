"""Which timesteps a step trains on: functions of (seed, step) alone.

Pretraining draws oftener where edges form (scripts/pretrain/unet.py): uniform draws left them
blurred. For brands the recipe says; on the pocket base both ways came out alike (docs/log.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onbrand.training.engine import generator

__all__ = ["NoiseLevels", "logit_normal"]

_STREAM = -2  # of random numbers, beside samples 0, 1, 2, …


def logit_normal(
    snr_t: Tensor, *, mean: float = 0.0, spread: float = 1.0, uniform: float = 0.3
) -> Tensor:
    """Probability of each timestep, float64 [t], sums to 1.

    Stable Diffusion 3's density (arXiv 2403.03206, section 3.1) on any schedule: with rectified
    flow's t, SNR = ((1 − t)/t)², so that logit t normal of `mean`, `spread` is log SNR normal of
    −2·mean, 2·spread. The share `uniform` is spread over all timesteps, or the last ones, which
    decide the layout, would never be seen.
    """
    log = snr_t.double().clamp_min(1e-9).log()
    steps = (log[:-1] - log[1:]).clamp_max(1.0)  # a zero-SNR schedule's last one has no width
    width = torch.cat([steps, steps[-1:]])
    normal = torch.exp(-0.5 * ((log + 2 * mean) / (2 * spread)) ** 2) * width
    return uniform / len(log) + (1 - uniform) * normal / normal.sum()


@dataclass(frozen=True)
class NoiseLevels:
    """Draws timesteps in [0, t) from `share_below` [t], the cumulated probabilities.

    Stratified: one uniform offset a step, then equal distances in probability, so that every step
    sees the whole range of noise and the loss is less noisy (Kingma et al., arXiv 2107.00630,
    app. I.1). Otherwise every sample is drawn for itself.
    """

    share_below: NDArray[np.float64]
    stratified: bool = True

    @classmethod
    def uniform(cls, num_timesteps: int, *, stratified: bool = True) -> NoiseLevels:
        """All alike."""
        return cls(np.arange(1, num_timesteps + 1) / num_timesteps, stratified)

    @classmethod
    def of(cls, probability_t: Tensor, *, stratified: bool = True) -> NoiseLevels:
        """By probabilities [t] that sum to 1."""
        return cls(probability_t.double().cumsum(0).cpu().numpy(), stratified)

    @classmethod
    def named(cls, sampling: str, snr_t: Tensor, *, flow: bool = False) -> NoiseLevels:
        """The recipe's word, "uniform" or "logit_normal", for a schedule with these SNRs [t].

        In a flow "logit_normal" has its middle where the schedule has its own, at σ = 3/4 for
        Stable Diffusion 3, as diffusers' example draws places in the shifted schedule.
        """
        if sampling == "uniform":
            return cls.uniform(len(snr_t))
        middle = float(snr_t[len(snr_t) // 2 - 1].log()) if flow else 0.0
        return cls.of(logit_normal(snr_t, mean=-middle / 2))

    def draw(self, seed: int, step: int, count: int, *, first: int = 0) -> Tensor:
        """Timesteps [count] int64 of the samples from number `first` on."""
        if self.stratified:
            offset = torch.rand(1, generator=generator(seed, step, _STREAM - 10 * first))
            share = (offset + torch.arange(count) / count) % 1
        else:
            rows = range(first, first + count)
            share = torch.cat(
                [torch.rand(1, generator=generator(seed, step, -1000 - i)) for i in rows]
            )
        levels = np.searchsorted(self.share_below, share.double().numpy(), side="right")
        return torch.from_numpy(levels.clip(max=len(self.share_below) - 1))
