"""Text-to-image models of the Stable Diffusion 1.x/2.x family, and their training formulas.

Notation: x0 are scaled latents [b, 4, h, w], ᾱ_t the cumulative product of the schedule,
x_t = √ᾱ_t·x0 + √(1−ᾱ_t)·ε. The network predicts ε (Ho et al. 2020, arXiv 2006.11239) or
v = √ᾱ_t·ε − √(1−ᾱ_t)·x0 (Salimans and Ho 2022, arXiv 2202.00512). All formulas run in float32 and
are written out here: `scheduler.step` would clamp its estimate of x0.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor

from onbrand.errors import PackError, WeightsError
from onbrand.models.layout import said
from onbrand.models.packs import Pack
from onbrand.models.samplers import open_sampler

__all__ = ["DiffusionModel", "load_diffusion", "quiet_libraries"]

Dtype = Literal["float32", "bfloat16", "float16"]
DPM_SOLVER = "DPMSolverMultistepScheduler"
PREDICTIONS = ("epsilon", "v_prediction")


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Inside, diffusers and transformers log only errors and draw no bars."""
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        if bars:
            transformers_logging.enable_progress_bar()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class DiffusionModel:
    """One pack's U-Net, autoencoder, text encoder and schedule; parameters start frozen.

    Public parts: `pack`, `unet` (UNet2DConditionModel), `vae` (AutoencoderKL), `text_encoder`
    (CLIPTextModel), `tokenizer`, `scheduler` (DDIMScheduler with the pack's schedule),
    `prediction_type` ("epsilon" or "v_prediction"), `num_timesteps`, `alphas_cumprod` [T] float32.
    No parameter needs a gradient until an adapter is attached, so nothing here builds a graph
    unless an input does (`decode` of an x0 estimate) or an adapter is trained.
    """

    def __init__(
        self, pack: Pack, *, unet: Any, vae: Any, text_encoder: Any, tokenizer: Any, scheduler: Any
    ) -> None:
        self.pack = pack
        self.unet = unet
        self.vae = vae
        self.text_encoder = text_encoder
        self.tokenizer = tokenizer
        self.prediction_type = str(scheduler.config.prediction_type)
        self._solves = type(scheduler).__name__ == DPM_SOLVER
        self._schedule = _schedule(dict(scheduler.config))
        self.scheduler = _ddim(self._schedule)
        self.num_timesteps = int(self.scheduler.config.num_train_timesteps)
        self.alphas_cumprod = cast(Tensor, self.scheduler.alphas_cumprod).float()
        if self.prediction_type not in PREDICTIONS:
            raise PackError(
                f"pack '{pack.name}' predicts '{self.prediction_type}'; this version trains "
                f"{' and '.join(PREDICTIONS)} models."
            )
        if self.prediction_type == "epsilon" and float(self.alphas_cumprod[-1]) == 0.0:
            raise PackError(
                f"pack '{pack.name}' predicts noise on a schedule whose last step is pure noise "
                "(rescale_betas_zero_snr): it cannot tell x0 there. Correct one of the two."
            )
        for module in (unet, vae, text_encoder):
            module.requires_grad_(False)
            module.eval()

    # -- facts -------------------------------------------------------------------------------

    @property
    def num_px(self) -> int:
        """Side of the pictures that the pack was trained on, in pixels."""
        return self.pack.num_px

    @property
    def device(self) -> torch.device:
        """Where the U-Net lies."""
        return cast(torch.device, self.unet.device)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the U-Net's weights."""
        return cast(torch.dtype, self.unet.dtype)

    @property
    def vae_factor(self) -> int:
        """Pixels per latent along one side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def num_latent_channels(self) -> int:
        """Channels of a latent (4 in this family)."""
        return int(self.unet.config.in_channels)

    @property
    def max_tokens(self) -> int:
        """Tokens that a prompt may have, the two end marks included."""
        most = int(self.text_encoder.config.max_position_embeddings)
        return min(most, int(self.tokenizer.model_max_length))

    @property
    def zero_terminal_snr(self) -> bool:
        """Whether the last timestep is pure noise (Lin et al. 2023, arXiv 2305.08891)."""
        return float(self.alphas_cumprod[-1]) == 0.0

    def unseen_words(self, prompt: str) -> list[str]:
        """Words of the prompt that the base never saw; [] when the pack lists no vocabulary."""
        return self.pack.unseen_words(prompt)

    def cut_off(self, prompt: str) -> str:
        """The end of the prompt that does not fit into the text encoder; "" when all fits."""
        ids = self.tokenizer(prompt, truncation=False, verbose=False).input_ids
        if len(ids) <= self.max_tokens:
            return ""
        return str(self.tokenizer.decode(ids[self.max_tokens - 1 : -1])).strip()

    # -- prompts and pixels ------------------------------------------------------------------

    def encode_prompts(self, prompts: Sequence[str]) -> Tensor:
        """Text embeddings [b, max_tokens, dim], as the pipeline computes them.

        Padded to full length always, so a prompt's embedding does not depend on its neighbours.
        Has a gradient only when a text-encoder adapter is being trained.
        """
        tokens = self.tokenizer(
            list(prompts),
            padding="max_length",
            max_length=self.max_tokens,
            truncation=True,
            return_tensors="pt",
        )
        masked = bool(getattr(self.text_encoder.config, "use_attention_mask", False))
        mask = tokens.attention_mask.to(self.device) if masked else None
        output = self.text_encoder(tokens.input_ids.to(self.device), attention_mask=mask)
        return cast(Tensor, output[0])

    def encode_pixels(self, pixels_bchw: Tensor) -> Tensor:
        """Scaled latents [b, c, h/f, w/f] of pixels in [-1, 1]: the mode, without sampling."""
        pixels = pixels_bchw.to(self.device, self.vae.dtype)
        latents = self.vae.encode(pixels).latent_dist.mode()
        shift = float(getattr(self.vae.config, "shift_factor", None) or 0.0)
        return cast(Tensor, (latents - shift) * float(self.vae.config.scaling_factor))

    def decode(self, latents_bchw: Tensor) -> Tensor:
        """Pixels [b, 3, h, w], about [-1, 1] and not clamped, of scaled latents; differentiable."""
        shift = float(getattr(self.vae.config, "shift_factor", None) or 0.0)
        latents = latents_bchw / float(self.vae.config.scaling_factor) + shift
        return cast(Tensor, self.vae.decode(latents.to(self.vae.dtype)).sample)

    # -- the diffusion process ---------------------------------------------------------------

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

    def predict(self, x_t: Tensor, t_b: Tensor, embeddings: Tensor) -> Tensor:
        """The network's output [b, c, h, w] for noisy latents, timesteps [b] and embeddings."""
        output = self.unet(
            x_t.to(self.device, self.dtype),
            t_b.to(self.device),
            encoder_hidden_states=embeddings.to(self.device, self.dtype),
        )
        return cast(Tensor, output.sample)

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

    # -- sampling ----------------------------------------------------------------------------

    def sampler(self, name: str = "") -> Any:
        """A fresh sampler (it is state of one request): the pack's DPM-Solver, else DDIM; or the
        one of that name (models.samplers).

        It keeps the pack's schedule, prediction type, spacing and zero-terminal SNR.
        """
        if name:
            with quiet_libraries():
                return open_sampler(name, self._schedule)
        if not self._solves:
            return _ddim(self._schedule)
        from diffusers import DPMSolverMultistepScheduler

        with quiet_libraries():
            return DPMSolverMultistepScheduler.from_config(self._schedule)

    def pipeline(self, controlnet: Any = None, sampler: str = "") -> Any:
        """diffusers' StableDiffusionPipeline over these very modules, with a fresh sampler (the
        pack's, or that of a name); its StableDiffusionControlNetPipeline when there is a
        ControlNet."""
        with quiet_libraries():
            from diffusers import StableDiffusionControlNetPipeline, StableDiffusionPipeline

            kind: Any = StableDiffusionControlNetPipeline if controlnet else StableDiffusionPipeline
            pipe = kind(
                vae=self.vae,
                text_encoder=self.text_encoder,
                tokenizer=self.tokenizer,
                unet=self.unet,
                scheduler=self.sampler(sampler),
                safety_checker=None,
                feature_extractor=None,
                requires_safety_checker=False,
                **({"controlnet": controlnet} if controlnet else {}),
            )
        pipe.set_progress_bar_config(disable=True)
        return pipe


def _schedule(config: dict[str, Any]) -> dict[str, Any]:
    """A scheduler's config as every sampler here takes it: no clamping of x0, honest spacing."""
    kept = {k: v for k, v in config.items() if not k.startswith("_")}
    kept |= {"clip_sample": False, "thresholding": False, "steps_offset": 1}
    if kept.get("rescale_betas_zero_snr"):
        kept["timestep_spacing"] = "trailing"  # else sampling would never start from pure noise
    return kept


def _ddim(schedule: dict[str, Any]) -> Any:
    from diffusers import DDIMScheduler

    with quiet_libraries():
        return DDIMScheduler.from_config(schedule)


def load_diffusion(pack: Pack, *, dtype: Dtype = "float32", device: str = "cpu") -> DiffusionModel:
    """Load the pack's text-to-image part, frozen, in eval mode and channels-last.

    Raises WeightsError when a file is damaged or does not fit its configuration.
    """
    with quiet_libraries():
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import CLIPTextModel, CLIPTokenizer

        precision = cast(torch.dtype, getattr(torch, dtype))
        root = pack.root
        try:
            unet = UNet2DConditionModel.from_pretrained(
                root / "unet", torch_dtype=precision, use_safetensors=True, local_files_only=True
            )
            vae = AutoencoderKL.from_pretrained(
                root / "vae", torch_dtype=precision, use_safetensors=True, local_files_only=True
            )
            text_encoder = CLIPTextModel.from_pretrained(
                root / "text_encoder", dtype=precision, use_safetensors=True, local_files_only=True
            )
            tokenizer = CLIPTokenizer.from_pretrained(root / "tokenizer", local_files_only=True)
            scheduler = _load_scheduler(root / "scheduler")
        except (ImportError, MemoryError):
            raise
        except Exception as error:  # each library has its own classes for a damaged file
            raise WeightsError(
                f"the weights of pack '{pack.name}' in {root} cannot be loaded: {said(error)} "
                "The folder is damaged or incomplete; fetch or build it again."
            ) from error
    unet = unet.to(device, memory_format=torch.channels_last)
    vae = vae.to(device, memory_format=torch.channels_last)
    return DiffusionModel(
        pack,
        unet=unet,
        vae=vae,
        text_encoder=text_encoder.to(device),
        tokenizer=tokenizer,
        scheduler=scheduler,
    )


def _load_scheduler(folder: Path) -> Any:
    """The folder's scheduler: DPM-Solver when its config says so, else DDIM with that config."""
    import diffusers

    config = diffusers.DDIMScheduler.load_config(folder)
    if config.get("_class_name") == DPM_SOLVER:
        return diffusers.DPMSolverMultistepScheduler.from_config(config)
    return diffusers.DDIMScheduler.from_config(config)
