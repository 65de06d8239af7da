"""Variance-preserving noise, of Stable Diffusion 1.x, 2.x and XL.

Notation: x0 are scaled latents [b, 4, h, w], ᾱ_t the cumulative product of the schedule,
x_t = √ᾱ_t·x0 + √(1−ᾱ_t)·ε. The network predicts ε (Ho et al. 2020, arXiv 2006.11239) or
v = √ᾱ_t·ε − √(1−ᾱ_t)·x0 (Salimans and Ho 2022, arXiv 2202.00512).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from onbrand.errors import PackError
from onbrand.models.diffusion import DiffusionModel
from onbrand.models.packs import Pack
from onbrand.models.quiet import quiet_libraries
from onbrand.models.samplers import SAMPLERS, open_sampler

__all__ = ["VarianceModel", "VariancePreserving"]

PREDICTIONS = ("epsilon", "v_prediction")


class VariancePreserving:
    """The schedule's maths alone, for who holds a network and no pack.

    `alphas_cumprod` is ᾱ [T], float32; `prediction_type` is one of PREDICTIONS.
    """

    def __init__(self, alphas_cumprod: Tensor, prediction_type: str) -> None:
        self.alphas_cumprod = alphas_cumprod.float()
        self.prediction_type = prediction_type
        self.num_timesteps = len(alphas_cumprod)

    def add_noise(self, x0: Tensor, noise: Tensor, t_b: Tensor) -> Tensor:
        """x_t = √ᾱ·x0 + √(1−ᾱ)·ε, float32; t_b are timesteps [b] in [0, num_timesteps)."""
        signal, spread = self._coefficients(t_b, x0)
        return signal * x0.float() + spread * noise.float()

    def target(self, x0: Tensor, noise: Tensor, t_b: Tensor) -> Tensor:
        """What the network should output: ε, or v = √ᾱ·ε − √(1−ᾱ)·x0; float32."""
        if self.prediction_type == "epsilon":
            return noise.float()
        signal, spread = self._coefficients(t_b, x0)
        return signal * noise.float() - spread * x0.float()

    def estimate_x0(self, output: Tensor, x_t: Tensor, t_b: Tensor) -> Tensor:
        """x0 that the output implies, float32, never clamped.

        ε: (x_t − √(1−ᾱ)·ε̂)/√ᾱ. v: √ᾱ·x_t − √(1−ᾱ)·v̂, exact at the pure-noise step as well.
        """
        signal, spread = self._coefficients(t_b, x_t)
        if self.prediction_type == "epsilon":
            return (x_t.float() - spread * output.float()) / signal
        return signal * x_t.float() - spread * output.float()

    def snr(self, t_b: Tensor) -> Tensor:
        """Signal-to-noise ratio ᾱ/(1−ᾱ) at timesteps [b], float32 [b]; 0 at pure noise."""
        alphas = self.alphas_cumprod.to(t_b.device)[t_b]
        return alphas / (1 - alphas)

    def _coefficients(self, t_b: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        alphas = self.alphas_cumprod.to(like.device)[t_b.to(like.device)]
        alphas = alphas.reshape(-1, *([1] * (like.ndim - 1)))
        return alphas.sqrt(), (1 - alphas).sqrt()


class VarianceModel(VariancePreserving, DiffusionModel):
    """A U-Net on a variance-preserving schedule.

    `scheduler` is a DDIMScheduler with the pack's schedule, `alphas_cumprod` [T] float32.
    """

    rescales_guidance = True

    def __init__(self, pack: Pack, parts: Mapping[str, Any]) -> None:
        scheduler = parts["scheduler"]
        DiffusionModel.__init__(self, pack, {k: v for k, v in parts.items() if k != "scheduler"})
        self._own = type(scheduler).__name__
        self._schedule = _schedule(dict(scheduler.config))
        self.scheduler = self.sampler("ddim")
        VariancePreserving.__init__(
            self, self.scheduler.alphas_cumprod, str(scheduler.config.prediction_type)
        )
        if self.prediction_type not in PREDICTIONS:
            raise PackError(
                f"pack '{pack.name}' predicts '{self.prediction_type}'; this version trains "
                f"{' and '.join(PREDICTIONS)} models of its family ({self.family.title})."
            )
        if self.prediction_type == "epsilon" and float(self.alphas_cumprod[-1]) == 0.0:
            raise PackError(
                f"pack '{pack.name}' predicts noise on a schedule whose last step is pure noise "
                "(rescale_betas_zero_snr): it cannot tell x0 there. Correct one of the two."
            )

    @property
    def unit_px(self) -> int:
        """What the side of a picture must be a multiple of: the U-Net halves it."""
        levels = max(0, len(self.network.config.block_out_channels) - 1)
        return int(self.vae_factor * 2**levels)

    def network_time(self, t_b: Tensor) -> Tensor:
        """The timesteps themselves."""
        return t_b

    def sampler(self, name: str = "") -> Any:
        """A fresh sampler (it is state of one request): the one of that name (models.samplers), by
        default the pack's own, or DDIM where that is none of these.

        It keeps the pack's schedule, prediction type, spacing and zero-terminal SNR.
        """
        own = next((known for known, kind in SAMPLERS.items() if kind == self._own), "ddim")
        with quiet_libraries():
            return open_sampler(name or own, self._schedule)

    @property
    def most_steps(self) -> int:
        """As many as can be drawn with: "leading" spacing, which steps by whole timesteps, would
        begin in the midst of the noise with more than half of them."""
        leading = self.sampler().config.timestep_spacing == "leading"
        return self.num_timesteps // 2 if leading else self.num_timesteps


def _schedule(config: dict[str, Any]) -> dict[str, Any]:
    """A scheduler's config as every sampler here takes it: no clamping of x0, no noise on the way,
    honest spacing. What the pack leaves open is each sampler's own default, as diffusers has it."""
    fixed: dict[str, Any] = {"clip_sample": False, "thresholding": False, "steps_offset": 1}
    if config.get("rescale_betas_zero_snr"):
        fixed["timestep_spacing"] = "trailing"  # else sampling would never start from pure noise
    if str(config.get("algorithm_type", "")).startswith("sde-"):
        fixed["algorithm_type"] = str(config["algorithm_type"]).removeprefix("sde-")
    kept = {k: v for k, v in config.items() if not k.startswith("_")} | fixed
    open_ = [name for name in config.get("_use_default_values", ()) if name not in fixed]
    return kept | {"_use_default_values": open_}
