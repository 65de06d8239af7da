"""Text-to-image models: the one face that all families share, and how a base is loaded.

What differs is in `onbrand.models.families`: how prompts are encoded, what noise does
(`variance`, `flow`), what the network reads, and diffusers' pipeline over these very modules.
All formulas run in float32 and are written out there: `scheduler.step` would clamp its estimate
of x0.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor

from onbrand.errors import PackError, WeightsError
from onbrand.models.device import chosen_device, multiplies_bfloat16, pictures_at_once
from onbrand.models.families.conditioning import Conditioning
from onbrand.models.families.kinds import Family
from onbrand.models.layout import part_classes, said, weights_variant
from onbrand.models.packs import Pack
from onbrand.models.quiet import quiet_libraries
from onbrand.models.readers import fetch_readers
from onbrand.models.samplers import SAMPLERS

if TYPE_CHECKING:
    from onbrand.models.identity.way import IdentityWay

__all__ = [
    "Conditioning",
    "DiffusionModel",
    "Dtype",
    "load_diffusion",
    "usual_dtype",
]

Dtype = Literal["float32", "bfloat16"]


class DiffusionModel(ABC):
    """One pack's network, autoencoder, text encoders and schedule; parameters start frozen.

    `parts` holds the modules and tokenizers under the pipeline's own names ("text_encoder",
    "tokenizer_2", …), `network` is the one that denoises. Latents are [b, c, h/f, w/f], scaled;
    timesteps t_b are whole numbers [b] in [0, num_timesteps), more noise the higher, whatever the
    family's own clock (`network_time`). No parameter needs a gradient until an adapter is attached,
    so nothing here builds a graph unless an input does (`decode` of an x0 estimate) or an adapter
    is trained.
    """

    prediction_type: str
    """What the network predicts: "epsilon", "v_prediction" or "flow_prediction"."""
    num_timesteps: int
    """Noise levels that training draws from."""
    scheduler: Any
    """diffusers' scheduler with the pack's schedule; `sampler` makes those that sample."""
    reads_negative = True
    """Whether a negative prompt changes the picture."""
    rescales_guidance = False
    """Whether the pipeline takes `guidance_rescale`."""
    way: IdentityWay | None = None
    """How an identity reaches the network, while there is one (models.identity)."""

    @property
    def most_steps(self) -> int:
        """The most sampling steps that a picture can be drawn in."""
        return self.num_timesteps

    def __init__(self, pack: Pack, parts: Mapping[str, Any]) -> None:
        self.pack = pack
        self.parts = dict(parts)
        self.dtype: torch.dtype = next(self.network.parameters()).dtype
        """Precision of the network's weights, as it was loaded."""
        for module in self.modules():
            module.requires_grad_(False)
            module.eval()

    # -- facts -------------------------------------------------------------------------------

    @property
    def family(self) -> Family:
        """The family's facts."""
        return self.pack.family

    @property
    def network(self) -> Any:
        """The module that denoises: a U-Net or a transformer."""
        return self.parts[self.family.network]

    @property
    def vae(self) -> Any:
        """The autoencoder."""
        return self.parts["vae"]

    def modules(self) -> list[torch.nn.Module]:
        """Network, autoencoder and text encoders."""
        return [self.parts[part] for part in self.family.weighted if part in self.parts]

    @property
    def num_px(self) -> int:
        """Side of the pictures that the pack was trained on, in pixels."""
        return self.pack.num_px

    @property
    def device(self) -> torch.device:
        """Where the network lies. (diffusers' own property walks all modules: 8 ms with a LoRA.)"""
        return cast(torch.device, next(self.network.parameters()).device)

    def arithmetic(self) -> contextlib.AbstractContextManager[object]:
        """Inside, the network computes as precisely as its weights lie, adapters in float32
        included; a float32 network is left to whatever mixed precision is on."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    @property
    def vae_factor(self) -> int:
        """Pixels per latent along one side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def num_latent_channels(self) -> int:
        """Channels of a latent: 4 in the U-Nets' families, 16 in the transformers'."""
        return int(self.vae.config.latent_channels)

    @property
    def latent_scale(self) -> tuple[float, float]:
        """Shift and factor of scaled latents, (latents - shift) · factor: the autoencoder's
        configuration alone has them."""
        config = self.vae.config
        return float(getattr(config, "shift_factor", None) or 0.0), float(config.scaling_factor)

    @property
    @abstractmethod
    def unit_px(self) -> int:
        """What the side of a picture must be a multiple of, in pixels."""

    def unseen_words(self, prompt: str) -> list[str]:
        """Words of the prompt that the base never saw; [] when the pack lists no vocabulary."""
        return self.pack.unseen_words(prompt)

    @property
    def max_tokens(self) -> int:
        """Tokens that a prompt may have, the end marks included, in the encoder that reads most."""
        return self._reader()[1]

    def cut_off(self, prompt: str) -> str:
        """The end of the prompt that no text encoder reads; "" when all fits into one."""
        tokenizer, most = self._reader()
        ids = tokenizer(prompt, truncation=False, verbose=False).input_ids
        if len(ids) <= most:
            return ""
        return str(tokenizer.decode(ids[most - 1 : -1])).strip()

    @abstractmethod
    def _reader(self) -> tuple[Any, int]:
        """The tokenizer whose encoder reads most of a prompt, and how many tokens that is."""

    # -- prompts and pixels ------------------------------------------------------------------

    def encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        """What the network is told of each prompt, as the pipeline computes it; fetches the text
        encoders to a card first (`models.readers`).

        Padded to full length always, so a prompt's rows do not depend on its neighbours.
        Has a gradient only when a text-encoder adapter is being trained.
        """
        fetch_readers(self)
        return self._encode_prompts(prompts)

    @abstractmethod
    def _encode_prompts(self, prompts: Sequence[str]) -> Conditioning: ...

    def without_prompt(self, empty: Conditioning) -> Conditioning:
        """What stands for no negative prompt, given the empty prompt's rows: those, here."""
        return empty

    def encode_pixels(self, pixels_bchw: Tensor) -> Tensor:
        """Scaled latents [b, c, h/f, w/f] of pixels in [-1, 1]: the mode, without sampling."""
        pixels = pixels_bchw.to(self.device, self.vae.dtype)
        latents = _by_parts(lambda part: self.vae.encode(part).latent_dist.mode(), pixels, 1)
        shift, factor = self.latent_scale
        return (latents - shift) * factor

    def decode(self, latents_bchw: Tensor) -> Tensor:
        """Pixels [b, 3, h, w], about [-1, 1] and not clamped, of scaled latents; differentiable."""
        shift, factor = self.latent_scale
        latents = latents_bchw.to(self.vae.dtype) / factor + shift
        return _by_parts(lambda part: self.vae.decode(part).sample, latents, self.vae_factor)

    # -- the diffusion process ---------------------------------------------------------------

    @abstractmethod
    def add_noise(self, x0: Tensor, noise: Tensor, t_b: Tensor) -> Tensor:
        """Noisy latents x_t, float32."""

    @abstractmethod
    def target(self, x0: Tensor, noise: Tensor, t_b: Tensor) -> Tensor:
        """What the network should output, float32."""

    def predict(self, x_t: Tensor, t_b: Tensor, conditioning: Conditioning) -> Tensor:
        """The network's output [b, c, h, w] for noisy latents, timesteps [b] and prompts."""
        with self.arithmetic():
            return self._predict(x_t, t_b, conditioning)

    @abstractmethod
    def _predict(self, x_t: Tensor, t_b: Tensor, conditioning: Conditioning) -> Tensor: ...

    @abstractmethod
    def estimate_x0(self, output: Tensor, x_t: Tensor, t_b: Tensor) -> Tensor:
        """x0 that the output implies, float32, never clamped."""

    @abstractmethod
    def snr(self, t_b: Tensor) -> Tensor:
        """Signal-to-noise ratio at timesteps [b], float32 [b]; 0 at pure noise."""

    @abstractmethod
    def network_time(self, t_b: Tensor) -> Tensor:
        """Time [b] as the network's own clock shows it, 0 (clean) to 1000 (noise). The recipe's
        `loss_max_timestep` means this clock."""

    def last_timestep(self, time: float) -> int:
        """The largest timestep whose `network_time` is at most `time`; -1 when there is none."""
        return int((self.network_time(torch.arange(self.num_timesteps)) <= time).sum()) - 1

    def reach(self, conditioning: Conditioning) -> tuple[Conditioning, dict[str, Any]]:
        """Prompts as the network takes them, and more of its `added_cond_kwargs`: what the way of
        an identity adds."""
        return self.way.reach(conditioning) if self.way else (conditioning, {})

    # -- sampling ----------------------------------------------------------------------------

    def reach_pipeline(
        self, positive: Conditioning, negative: Conditioning, guidance: float
    ) -> tuple[Conditioning, Conditioning, dict[str, Any]]:
        """The same for the pipeline's prompts and negative prompts, and more of its arguments."""
        if self.way is None:
            return positive, negative, {}
        return self.way.reach_pipeline(positive, negative, guidance > 1)

    @abstractmethod
    def sampler(self, name: str = "") -> Any:
        """A fresh sampler (it is state of one request) with the pack's schedule: the pack's own, or
        the one of that name (models.samplers). Raises PromptError where the family has no such."""

    def pipeline(self, controlnet: Any = None, sampler: str = "", *, reads: bool = True) -> Any:
        """diffusers' pipeline over these very modules, with a fresh sampler (the pack's, or that of
        a name); its ControlNet pipeline when there is a ControlNet. One that is handed encoded
        prompts alone `reads` none: the text encoders need not lie where the network does. Raises
        PackError where the family has none here."""
        import diffusers

        name, more = self.family.pipeline, self.pipeline_settings()
        if controlnet is not None:
            if not self.family.controlled:
                raise PackError(
                    f"pack '{self.pack.name}' is {self.family.title}, for which there is no "
                    "ControlNet here: draw from the prompt alone, or take an SD or SDXL base."
                )
            name, more = self.family.controlled, {**more, "controlnet": controlnet}
        parts = {**dict.fromkeys(self.family.optional), **self.parts}
        if reads:
            fetch_readers(self)
        else:
            parts |= dict.fromkeys(self.family.readers)
        with quiet_libraries():
            kind = getattr(diffusers, name)
            pipe = kind(**parts, scheduler=self.sampler(sampler), **more)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def pipeline_settings(self) -> dict[str, Any]:
        """Arguments of the pipeline's class beside parts and scheduler."""
        return {}

    @abstractmethod
    def told(
        self, positive: Conditioning, negative: Conditioning, guidance: float, rescale: float
    ) -> dict[str, Any]:
        """The pipeline's arguments for these prompts and this guidance."""

    def pack_latents(self, latents_bchw: Tensor) -> Tensor:
        """Latents as the network and the pipeline take them."""
        return latents_bchw

    def unpack_latents(self, latents: Tensor, like_bchw: Tensor) -> Tensor:
        """Latents [b, c, h, w], as large as `like_bchw`, of what the network or pipeline gave."""
        return latents


def _by_parts(run: Callable[[Tensor], Tensor], rows_bchw: Tensor, px_per_place: int) -> Tensor:
    """What `run` makes of the rows, a megapixel at a time."""
    side_px = max(rows_bchw.shape[-2:]) * px_per_place
    parts = rows_bchw.split(pictures_at_once(side_px, most=len(rows_bchw)))
    return torch.cat([run(part) for part in parts]) if len(parts) > 1 else run(rows_bchw)


def load_diffusion(
    pack: Pack, *, dtype: Dtype | None = None, device: str | None = None
) -> DiffusionModel:
    """Load the pack's text-to-image part, frozen, in eval mode; convolutional parts channels-last.
    It lies where ONBRAND_DEVICE says unless a `device` is given.

    `dtype` is that of network and text encoders (default: see `usual_dtype`). The autoencoder is
    float32 always: SDXL's overflows in half precision, and latents are kept under the fingerprint
    of its weights. Raises WeightsError when a file is damaged or does not fit its configuration.
    """
    kind, device = _kind(pack.family), device or chosen_device()
    precision = cast(torch.dtype, getattr(torch, dtype or usual_dtype(device)))
    if device != "cpu":
        # as convolutions have it there by default: 10 bits of mantissa, the range of float32
        torch.backends.cuda.matmul.allow_tf32 = True
    root = pack.root
    parts: dict[str, Any] = {}
    with quiet_libraries():
        try:
            for part, name in part_classes(root, pack.family).items():
                exact = torch.float32 if part == "vae" else precision
                parts[part] = (
                    _load_scheduler(root / part)
                    if part == "scheduler"
                    else _load_part(root / part, name, exact)
                )
        except (ImportError, MemoryError):
            raise
        except Exception as error:  # each library has its own classes for a damaged file
            raise WeightsError(
                f"the weights of pack '{pack.name}' in {root} cannot be loaded: {said(error)} "
                "The folder is damaged or incomplete; fetch or build it again."
            ) from error
    for part in pack.family.weighted:
        if part in parts:
            layout = {"memory_format": torch.channels_last} if part in ("unet", "vae") else {}
            parts[part] = parts[part].to(device, **layout)
    return kind(pack, parts)


def usual_dtype(device: str) -> Dtype:
    """bfloat16 on a card that multiplies it: half the memory, many times as fast. float32 on a
    processor, where pictures are to be the same on all of them."""
    kind = torch.device(device).type
    return "bfloat16" if kind != "cpu" and multiplies_bfloat16(kind) else "float32"


def _kind(family: Family) -> Callable[[Pack, Mapping[str, Any]], DiffusionModel]:
    """The family's class."""
    from onbrand.models.families.flux import Flux
    from onbrand.models.families.sd3 import StableDiffusion3
    from onbrand.models.families.sd15 import StableDiffusion
    from onbrand.models.families.sdxl import StableDiffusionXL

    kinds: dict[str, Callable[[Pack, Mapping[str, Any]], DiffusionModel]] = {
        "sd15": StableDiffusion,
        "sdxl": StableDiffusionXL,
        "sd3": StableDiffusion3,
        "flux": Flux,
    }
    return kinds[family.name]


def _load_part(folder: Path, name: str, precision: torch.dtype) -> Any:
    """A module or tokenizer of the class `name`, from safetensors alone."""
    import diffusers
    import transformers

    if "Tokenizer" in name:
        return getattr(transformers, name).from_pretrained(folder, local_files_only=True)
    safe = {
        "use_safetensors": True,
        "local_files_only": True,
        "variant": weights_variant(folder),
    }
    if hasattr(diffusers, name):
        return getattr(diffusers, name).from_pretrained(folder, torch_dtype=precision, **safe)
    return getattr(transformers, name).from_pretrained(folder, dtype=precision, **safe)


def _load_scheduler(folder: Path) -> Any:
    """The folder's scheduler where it is flow matching or one of `SAMPLERS`, else DDIM with its
    config."""
    import diffusers

    config = diffusers.DDIMScheduler.load_config(folder)
    known = (*SAMPLERS.values(), "FlowMatchEulerDiscreteScheduler")
    name = config.get("_class_name")
    return getattr(diffusers, name if name in known else "DDIMScheduler").from_config(config)
