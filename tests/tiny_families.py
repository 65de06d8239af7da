"""Tiny bases of the real classes for every family: 32 px, random weights, no network.

All numbers are as small as the classes allow; T5 and CLIP have tokenizers of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from tiny import NUM_PX, WORDS, build_hub_base, build_tokenizer, text_config
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from onbrand.models import Pack
from onbrand.models.diffusion import DiffusionModel
from onbrand.models.quiet import quiet_libraries

__all__ = ["BUILDERS", "FAMILY_NAMES", "build_flux", "drawn", "plain"]

T5_WIDTH = 48
T5_TOKENS = 16
LATENT = {"latent_channels": 16, "shift_factor": 0.06, "scaling_factor": 1.5}


def _words(root: Path, index: dict[str, Any], part: str) -> CLIPTokenizer:
    index[part] = ["transformers", "CLIPTokenizer"]
    return build_tokenizer(root / part)


def _clip(tokenizer: CLIPTokenizer, **changes: int) -> CLIPTextConfig:
    return CLIPTextConfig(**(text_config(tokenizer).to_dict() | changes))


def _t5(root: Path, index: dict[str, Any], ending: str) -> None:
    """A T5 encoder of one layer and a tokenizer that knows WORDS and the letters."""
    letters = [(letter, -4.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    words = [(f"▁{word}", -1.0) for word in dict.fromkeys(WORDS) if len(word) > 1]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *words, *letters]
    tokenizer = T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=T5_TOKENS)
    tokenizer.save_pretrained(root / f"tokenizer{ending}")
    config = T5Config(
        vocab_size=len(tokenizer), d_model=T5_WIDTH, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
        feed_forward_proj="gated-gelu", dropout_rate=0.0,
    )  # fmt: skip
    T5EncoderModel(config).save_pretrained(root / f"text_encoder{ending}")
    index[f"tokenizer{ending}"] = ["transformers", "T5TokenizerFast"]
    index[f"text_encoder{ending}"] = ["transformers", "T5EncoderModel"]


def _vae(**changes: Any) -> AutoencoderKL:
    settings: dict[str, Any] = {
        "block_out_channels": (8, 8, 16, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "norm_num_groups": 4,
        "sample_size": NUM_PX,
    }
    return AutoencoderKL(**(settings | changes))


def _save(root: Path, pipeline: str, index: dict[str, Any], **parts: Any) -> Path:
    for part, module in parts.items():
        module.save_pretrained(root / part)
        library = "transformers" if part.startswith("text_encoder") else "diffusers"
        index[part] = [library, type(module).__name__]
    whole = {"_class_name": pipeline, "_diffusers_version": "0.42.1", **index}
    (root / "model_index.json").write_text(json.dumps(whole), "utf-8")
    return root


def build_sdxl(root: Path) -> Path:
    """SDXL: two CLIP encoders of different width, time ids, noise prediction, zeros for "" """
    torch.manual_seed(2)
    index: dict[str, Any] = {"force_zeros_for_empty_prompt": True}
    one, two = _words(root, index, "tokenizer"), _words(root, index, "tokenizer_2")
    unet = UNet2DConditionModel(
        sample_size=4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2),
        cross_attention_dim=16 + 24,
        attention_head_dim=(2, 4),
        norm_num_groups=4,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=20 + 6 * 8,
    )
    return _save(
        root,
        "StableDiffusionXLPipeline",
        index,
        unet=unet,
        vae=_vae(scaling_factor=0.9),
        text_encoder=CLIPTextModel(_clip(one)),
        text_encoder_2=CLIPTextModelWithProjection(_clip(two, hidden_size=24, projection_dim=20)),
        scheduler=EulerDiscreteScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1
        ),
    )


def build_sd3(root: Path) -> Path:
    """SD3.5: two CLIP encoders, T5, dual attention, a flow whose schedule is shifted by 3."""
    torch.manual_seed(3)
    index: dict[str, Any] = {}
    one, two = _words(root, index, "tokenizer"), _words(root, index, "tokenizer_2")
    _t5(root, index, "_3")
    transformer = SD3Transformer2DModel(
        sample_size=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=T5_WIDTH,
        caption_projection_dim=32,
        pooled_projection_dim=16 + 20,
        pos_embed_max_size=8,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    return _save(
        root,
        "StableDiffusion3Pipeline",
        index,
        transformer=transformer,
        vae=_vae(**LATENT, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=CLIPTextModelWithProjection(_clip(one)),
        text_encoder_2=CLIPTextModelWithProjection(_clip(two, hidden_size=24, projection_dim=20)),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def build_flux(root: Path, *, guided: bool = True) -> Path:
    """FLUX.1-dev: guidance as an input, packed latents, a shift that follows the picture's size;
    FLUX.1-schnell, that is told no guidance, when not `guided`."""
    torch.manual_seed(4)
    index: dict[str, Any] = {}
    words = _words(root, index, "tokenizer")
    _t5(root, index, "_2")
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=T5_WIDTH,
        pooled_projection_dim=16,
        guidance_embeds=guided,
        axes_dims_rope=(4, 6, 6),
    )
    return _save(
        root,
        "FluxPipeline",
        index,
        transformer=transformer,
        vae=_vae(**LATENT, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=CLIPTextModel(_clip(words)),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
    )


BUILDERS: dict[str, Callable[[Path], Path]] = {
    "sd15": build_hub_base,
    "sdxl": build_sdxl,
    "sd3": build_sd3,
    "flux": build_flux,
}
FAMILY_NAMES = tuple(BUILDERS)


def plain(pack: Pack) -> Any:
    """The base as diffusers alone loads it."""
    with quiet_libraries():
        pipe = DiffusionPipeline.from_pretrained(
            pack.root, torch_dtype=torch.float32, local_files_only=True
        )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def drawn(model: DiffusionModel, seed: int) -> torch.Tensor:
    """Seeded latents of two 32-px pictures."""
    shape = (2, model.num_latent_channels, 4, 4)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
