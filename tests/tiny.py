"""Tiny packs of the real classes with random weights: 32 px, some ten thousand parameters."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    PNDMScheduler,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    ConvNextV2Config,
    ConvNextV2Model,
    RegNetConfig,
    RegNetForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
    UperNetConfig,
    UperNetForSemanticSegmentation,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

from onbrand.illustrator.parsing import PARSED
from onbrand.illustrator.skeleton import COCO_17

__all__ = ["WORDS", "add_controlnet", "add_identity_adapter", "build_hub_base", "build_tiny_pack"]

NUM_PX = 32
NUM_TOKENS = 24
CAPTION_WORDS = """a an the of in on at with and fox cat bear mascot red blue green waving sitting
happy sad forest beach night day balloon holding background plain white flat sketch sticker"""
WORDS = CAPTION_WORDS.split()
EXPRESSIONS = ("happy", "sad", "calm")
ROLES = (
    "identity", "alignment", "pose", "parsing", "clicks", "expression", "tagger", "twin_identity",
    "twin_alignment", "twin_pose", "twin_expression", "attributes",
)  # fmt: skip
ATTRIBUTES = {
    "species": ("fox", "cat", "bear"),
    "colour": ("red", "blue"),
    "pose": ("waving", "sitting"),
    "fault": ("none", "hand"),
}


def build_tokenizer(folder: Path) -> CLIPTokenizer:
    """A CLIP tokenizer whose byte-pair merges make each word of WORDS one token."""
    letters = sorted(set(string.ascii_letters + string.digits + string.punctuation))
    vocabulary = {c: i for i, c in enumerate(letters)}
    vocabulary |= {c + "</w>": len(vocabulary) + i for i, c in enumerate(letters)}
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            pair = (pieces[0], pieces[1])
            pieces = [pair[0] + pair[1], *pieces[2:]]
            if pair not in merges:
                merges.append(pair)
            vocabulary.setdefault(pieces[0], len(vocabulary))
    for mark in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[mark] = len(vocabulary)
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=NUM_TOKENS)
    tokenizer.save_pretrained(folder)
    return tokenizer


def text_config(tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    """A two-layer text encoder's configuration."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=NUM_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        projection_dim=16,
    )


def build_pipeline(root: Path, scheduler: Any, seed: int) -> CLIPTokenizer:
    """Write the text-to-image part into `root`, as StableDiffusionPipeline.save_pretrained does."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(root / "tokenizer")
    unet = UNet2DConditionModel(
        sample_size=4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=NUM_PX,
        scaling_factor=0.9,
    )
    for part, module in (
        ("unet", unet),
        ("vae", vae),
        ("text_encoder", CLIPTextModel(text_config(tokenizer))),
    ):
        module.save_pretrained(root / part)
    scheduler.save_pretrained(root / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.42.1",
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", type(scheduler).__name__],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (root / "model_index.json").write_text(json.dumps(index), "utf-8")
    return tokenizer


def segmenter(small: dict[str, Any], eyes: dict[str, Any], **head: Any) -> Any:
    """A UperNet of two stages."""
    body = ResNetConfig(out_features=["stage1", "stage2"], **small)
    config = UperNetConfig(
        backbone_config=body, hidden_size=8, pool_scales=[1], use_auxiliary_head=False,
        **eyes, **head,
    )  # fmt: skip
    return UperNetForSemanticSegmentation(config)


def towers(tokenizer: CLIPTokenizer, eyes: dict[str, Any]) -> VisionTextDualEncoderModel:
    """A dual encoder of 16 dimensions."""
    thin = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "patch_size": 2}
    # the dual encoder asks for hidden_size
    vision, text = ConvNextV2Config(hidden_size=16, **thin, **eyes), text_config(tokenizer)
    return VisionTextDualEncoderModel(
        VisionTextDualEncoderConfig.from_vision_text_configs(vision, text, projection_dim=16),
        vision_model=ConvNextV2Model(vision),
        text_model=CLIPTextModel(text),
    )


def build_tiny_pack(root: Path, *, seed: int = 0) -> Path:
    """A whole pack: v-prediction, zero-terminal SNR, all judge roles."""
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
    )
    tokenizer = build_pipeline(root, scheduler, seed)
    eyes: dict[str, Any] = {"image_size": NUM_PX}
    small = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    RegNetForImageClassification(
        RegNetConfig(
            num_labels=16, embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], groups_width=8,
            **eyes,
        )
    ).save_pretrained(root / "identity")  # fmt: skip
    labels = [f"{name}:{value}" for name, values in ATTRIBUTES.items() for value in values]
    ResNetForImageClassification(
        ResNetConfig(id2label=dict(enumerate(labels)), **small, **eyes)
    ).save_pretrained(root / "attributes")
    ResNetForImageClassification(ResNetConfig(num_labels=16, **small, **eyes)).save_pretrained(
        root / "twin_identity"
    )
    for role in ("pose", "twin_pose"):
        segmenter(small, eyes, id2label=dict(enumerate(COCO_17))).save_pretrained(root / role)
    segmenter(small, eyes, id2label=dict(enumerate(PARSED))).save_pretrained(root / "parsing")
    segmenter({**small, "num_channels": 5}, eyes, num_labels=1).save_pretrained(root / "clicks")
    for role, words in (
        ("expression", EXPRESSIONS),
        ("twin_expression", EXPRESSIONS),
        ("tagger", labels),
    ):
        ResNetForImageClassification(
            ResNetConfig(id2label=dict(enumerate(words)), **small, **eyes)
        ).save_pretrained(root / role)
    for role in ("alignment", "twin_alignment"):
        towers(tokenizer, eyes).save_pretrained(root / role)
    (root / "vocabulary.json").write_text(json.dumps({"words": WORDS}), "utf-8")
    roles = "\n".join(f'{role} = "{role}"' for role in ROLES)
    (root / "pack.toml").write_text(
        f'name = "tiny"\nlicence = "Apache-2.0"\nrevision = "test"\n\n[roles]\n{roles}\n', "utf-8"
    )
    return root


def add_controlnet(root: Path) -> None:
    """Give a tiny pack a ControlNet whose last convolutions are not zero."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_pretrained(root / "unet", torch_dtype=torch.float32)
    # the tiny codec halves three times, as SD's does
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 4, 8, 8))
    for name, weight in net.named_parameters():
        if "controlnet" in name:
            torch.nn.init.normal_(weight, std=0.3)
    net.save_pretrained(root / "controlnet")
    listed = (root / "pack.toml").read_text("utf-8").rstrip()
    (root / "pack.toml").write_text(listed + '\ncontrolnet = "controlnet"\n', "utf-8")


def build_hub_base(root: Path, *, seed: int = 1) -> Path:
    """A plain diffusers folder as SD 1.5's on the hub: noise prediction, PNDM, no pack.toml."""
    scheduler = PNDMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        skip_prk_steps=True,
        steps_offset=1,
    )
    build_pipeline(root, scheduler, seed)
    (root / "README.md").write_text("---\nlicense: creativeml-openrail-m\n---\n# tiny\n", "utf-8")
    return root


def add_identity_adapter(root: Path) -> None:
    """Give a pack an identity adapter of its own: random, but not idle."""
    from onbrand.models.diffusion import load_diffusion
    from onbrand.models.identity import open_way, save_way
    from onbrand.models.packs import open_pack
    from onbrand.models.perception import IdentityEncoder

    pack = open_pack(root)
    dim = IdentityEncoder(pack).embed(torch.zeros(1, 3, NUM_PX, NUM_PX)).shape[1]
    model = load_diffusion(pack)
    way = open_way(model, "attended", embedding_dim=dim, seed=1)
    with torch.no_grad():
        for parameter in way.parameters().values():
            parameter.mul_(3.0)
    save_way(model, root / "identity_adapter", {})
    with (root / "pack.toml").open("a") as file:
        file.write('identity_adapter = "identity_adapter"\n')
