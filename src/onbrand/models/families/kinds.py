"""The families of base models, as facts: what a folder must hold, and where LoRA goes.

A family is what a base's model_index.json says its pipeline is. No torch here: packs are opened
and recipes checked without it. The classes that compute are this room's other files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["FAMILIES", "FLUX", "SD3", "SD15", "SDXL", "Family", "part_names"]

_CLIP = frozenset({"CLIPTokenizer", "CLIPTokenizerFast"})
_T5 = frozenset({"T5Tokenizer", "T5TokenizerFast"})
_FLOW = frozenset({"FlowMatchEulerDiscreteScheduler"})
_ANY: frozenset[str] = frozenset()

_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
_FEED_FORWARD = ("ff.net.0.proj", "ff.net.2")
_CONVOLUTIONS = ("proj_in", "proj_out", "conv1", "conv2", "conv_shortcut")
_UNET = {
    "attention": _ATTENTION,
    "attention+ff": _ATTENTION + _FEED_FORWARD,
    "all": _ATTENTION + _FEED_FORWARD + _CONVOLUTIONS,
}
# two streams, pictures' and words', that attend together (arXiv 2403.03206, figure 2)
_JOINT = (*_ATTENTION, "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
_JOINT_FF = (*_FEED_FORWARD, "ff_context.net.0.proj", "ff_context.net.2")
_MODULATION = ("norm1.linear", "norm1_context.linear")
_SD3 = {
    "attention": _JOINT,
    "attention+ff": _JOINT + _JOINT_FF,
    "all": _JOINT + _JOINT_FF + _MODULATION,
}
_SINGLE = ("proj_mlp", "proj_out")  # the feed-forward half of FLUX's single-stream blocks
_FLUX = {
    "attention": _JOINT,
    "attention+ff": _JOINT + _JOINT_FF + _SINGLE,
    "all": _JOINT + _JOINT_FF + _SINGLE + (*_MODULATION, "norm.linear"),
}


@dataclass(frozen=True, slots=True)
class Family:
    """What is known of a family without loading it.

    `pipeline` is its class in model_index.json, `controlled` the class that follows a ControlNet
    ("": none here), `network` the part that denoises. `parts` maps each part to the classes it may
    have (none: any), `optional` names those a folder may lack. `lora_targets` maps the recipe's
    words to endings of module paths in the network, `lora_encoders` names the text encoders that
    may carry LoRA. `kohya` maps a part to its prefix in kohya's files; it is empty where diffusers
    reads no such form back. `version` is how kohya's name of such a base begins, `architecture`
    modelspec's name, `num_packed` counts the latents in one of the network's tokens.
    """

    name: str
    title: str
    pipeline: str
    network: str
    parts: Mapping[str, frozenset[str]]
    lora_targets: Mapping[str, tuple[str, ...]]
    lora_encoders: tuple[str, ...]
    kohya: Mapping[str, str]
    version: str
    architecture: str
    optional: tuple[str, ...] = ()
    controlled: str = ""
    num_packed: int = 1

    @property
    def readers(self) -> tuple[str, ...]:
        """The text encoders."""
        return tuple(part for part in self.parts if part.startswith("text_encoder"))

    @property
    def weighted(self) -> tuple[str, ...]:
        """The parts that hold weights: network, autoencoder, text encoders."""
        return (self.network, "vae", *self.readers)

    @property
    def adapted(self) -> tuple[str, ...]:
        """The parts that LoRA may sit on, the network first."""
        return (self.network, *self.lora_encoders)


SD15 = Family(
    name="sd15",
    title="Stable Diffusion 1.x/2.x",
    pipeline="StableDiffusionPipeline",
    network="unet",
    parts={
        "unet": frozenset({"UNet2DConditionModel"}),
        "vae": frozenset({"AutoencoderKL"}),
        "text_encoder": frozenset({"CLIPTextModel"}),
        "tokenizer": _CLIP,
        "scheduler": _ANY,  # the sampler is chosen in `variance`
    },
    lora_targets=_UNET,
    lora_encoders=("text_encoder",),
    kohya={"unet": "lora_unet_", "text_encoder": "lora_te_text_model_"},
    version="sd_v",  # sd_v1, sd_v2, sd_v2_v
    architecture="stable-diffusion-v1/lora",
    controlled="StableDiffusionControlNetPipeline",
)

SDXL = Family(
    name="sdxl",
    title="Stable Diffusion XL",
    pipeline="StableDiffusionXLPipeline",
    network="unet",
    parts={
        "unet": frozenset({"UNet2DConditionModel"}),
        "vae": frozenset({"AutoencoderKL"}),
        "text_encoder": frozenset({"CLIPTextModel"}),
        "text_encoder_2": frozenset({"CLIPTextModelWithProjection"}),
        "tokenizer": _CLIP,
        "tokenizer_2": _CLIP,
        "scheduler": _ANY,
    },
    lora_targets=_UNET,
    lora_encoders=("text_encoder", "text_encoder_2"),
    kohya={
        "unet": "lora_unet_",
        "text_encoder": "lora_te1_text_model_",
        "text_encoder_2": "lora_te2_text_model_",
    },
    version="sdxl_base_v1-0",
    architecture="stable-diffusion-xl-v1-base/lora",
    controlled="StableDiffusionXLControlNetPipeline",
)

SD3 = Family(
    name="sd3",
    title="Stable Diffusion 3",
    pipeline="StableDiffusion3Pipeline",
    network="transformer",
    parts={
        "transformer": frozenset({"SD3Transformer2DModel"}),
        "vae": frozenset({"AutoencoderKL"}),
        "text_encoder": frozenset({"CLIPTextModelWithProjection"}),
        "text_encoder_2": frozenset({"CLIPTextModelWithProjection"}),
        "text_encoder_3": frozenset({"T5EncoderModel"}),
        "tokenizer": _CLIP,
        "tokenizer_2": _CLIP,
        "tokenizer_3": _T5,
        "scheduler": _FLOW,
    },
    lora_targets=_SD3,
    lora_encoders=(),
    kohya={},
    version="sd3",
    architecture="stable-diffusion-3/lora",
    optional=("text_encoder_3", "tokenizer_3"),  # five billion weights that it can do without
)

FLUX = Family(
    name="flux",
    title="FLUX.1",
    pipeline="FluxPipeline",
    network="transformer",
    parts={
        "transformer": frozenset({"FluxTransformer2DModel"}),
        "vae": frozenset({"AutoencoderKL"}),
        "text_encoder": frozenset({"CLIPTextModel"}),
        "text_encoder_2": frozenset({"T5EncoderModel"}),
        "tokenizer": _CLIP,
        "tokenizer_2": _T5,
        "scheduler": _FLOW,
    },
    lora_targets=_FLUX,
    lora_encoders=(),
    kohya={"transformer": "lora_unet_"},
    version="flux1",
    architecture="flux-1-dev/lora",
    num_packed=4,
)

FAMILIES: Mapping[str, Family] = {family.pipeline: family for family in (SD15, SDXL, SD3, FLUX)}
"""Families by the pipeline class that model_index.json names."""


def part_names() -> list[str]:
    """Every part that some family has, each once."""
    return list(dict.fromkeys(part for family in FAMILIES.values() for part in family.parts))
