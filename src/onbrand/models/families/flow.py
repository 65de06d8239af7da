"""Rectified flow, of Stable Diffusion 3 and FLUX (Liu et al., arXiv 2209.03003; 2403.03206).

Notation: σ is the share of noise, 0 (clean) to 1 (noise); x_σ = (1−σ)·x0 + σ·ε. The network
predicts the velocity v = ε − x0. Timestep t (0 … T−1) means σ_t, the t-th smallest of the
schedule's, so that t counts noise upwards as in the other families; drawing t evenly draws σ as
diffusers' examples do with `weighting_scheme="none"`, the schedule's shift included.
SNR = ((1−σ)/σ)², and ‖Δv‖² = ‖Δx0‖²/σ².
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from onbrand.errors import PromptError
from onbrand.models.diffusion import DiffusionModel
from onbrand.models.packs import Pack
from onbrand.models.quiet import quiet_libraries

__all__ = ["FlowModel"]


class FlowModel(DiffusionModel):
    """A transformer on a rectified flow. `scheduler` is a FlowMatchEulerDiscreteScheduler,
    `sigmas` [T] float32 rises to 1."""

    prediction_type = "flow_prediction"

    def __init__(self, pack: Pack, parts: Mapping[str, Any]) -> None:
        self.scheduler = parts["scheduler"]
        super().__init__(pack, {k: v for k, v in parts.items() if k != "scheduler"})
        self.num_timesteps = int(self.scheduler.config.num_train_timesteps)
        # before set_timesteps these are the schedule's training values, largest first
        self.sigmas: Tensor = self.scheduler.sigmas.float().flip(0)
        self._times: Tensor = self.scheduler.timesteps.float().flip(0)

    @property
    def patch(self) -> int:
        """Latents along the side of one of the network's tokens."""
        return int(self.network.config.patch_size)

    @property
    def unit_px(self) -> int:
        """What the side of a picture must be a multiple of: the network reads it in patches."""
        return self.vae_factor * self.patch

    def add_noise(self, x0: Tensor, noise: Tensor, t_b: Tensor) -> Tensor:
        """x_σ = (1−σ)·x0 + σ·ε, float32; t_b are timesteps [b] in [0, num_timesteps)."""
        sigma = self._sigma(t_b, x0)
        return (1 - sigma) * x0.float() + sigma * noise.float()

    def target(self, x0: Tensor, noise: Tensor, t_b: Tensor) -> Tensor:
        """What the network should output: v = ε − x0, float32."""
        return noise.float() - x0.float()

    def estimate_x0(self, output: Tensor, x_t: Tensor, t_b: Tensor) -> Tensor:
        """x0 that the output implies: x_σ − σ·v̂, float32, never clamped."""
        return x_t.float() - self._sigma(t_b, x_t) * output.float()

    def snr(self, t_b: Tensor) -> Tensor:
        """Signal-to-noise ratio ((1−σ)/σ)² at timesteps [b], float32 [b]; 0 at pure noise."""
        sigma = self.sigmas.to(t_b.device)[t_b]
        return ((1 - sigma) / sigma).square()

    def network_time(self, t_b: Tensor) -> Tensor:
        """σ times the number of timesteps, float32 [b]."""
        return self._times.to(t_b.device)[t_b]

    def _sigma(self, t_b: Tensor, like: Tensor) -> Tensor:
        sigma = self.sigmas.to(like.device)[t_b.to(like.device)]
        return sigma.reshape(-1, *([1] * (like.ndim - 1)))

    def sampler(self, name: str = "") -> Any:
        """A fresh sampler (it is state of one request): Euler steps along the flow, for no name or
        "euler". Raises PromptError for another."""
        if name not in ("", "euler"):
            raise PromptError(
                f"the sampler {name!r} is for Stable Diffusion 1.x, 2.x and XL; "
                f"'{self.pack.name}' is {self.family.title}, a flow: take euler, or leave it out"
            )
        from diffusers import FlowMatchEulerDiscreteScheduler

        with quiet_libraries():
            return FlowMatchEulerDiscreteScheduler.from_config(self.scheduler.config)
