"""Tiny models of the hub's architectures with random weights, saved as role folders."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny import WORDS, build_tokenizer, text_config
from tokenizers import Tokenizer
from tokenizers.models import WordLevel, WordPiece
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Dinov2Config,
    Dinov2Model,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    PreTrainedTokenizerFast,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrResNetConfig,
    SamConfig,
    SamModel,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    SwinConfig,
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)

from onbrand.models.packs import Pack

__all__ = [
    "NUM_PX",
    "PARTS",
    "build_caption",
    "build_clip",
    "build_dino",
    "build_mask2former",
    "build_rtdetr",
    "build_safety",
    "build_sam",
    "build_segformer",
    "build_siglip",
    "build_vitpose",
    "hub_pack",
    "random_pixels",
    "write_processor",
    "write_yunet",
]

NUM_PX = 32
PARTS = ("background", "hair", "skin", "dress")
TOWER: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
}  # fmt: skip
VISION = TOWER | {"image_size": NUM_PX, "patch_size": 8}


def hub_pack(root: Path, **folders: Path) -> Pack:
    """A pack of these roles and no others, with nobody to fall back on."""
    return Pack("hub", root, "MIT", "1", folders, fallback=None)


def random_pixels(num: int, h: int, w: int, seed: int = 4) -> torch.Tensor:
    """[num, 3, h, w] in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num, 3, h, w, generator=generator) * 2 - 1


def write_processor(folder: Path, **facts: Any) -> None:
    """A preprocessor_config.json."""
    (folder / "preprocessor_config.json").write_text(json.dumps(facts), "utf-8")


def saved(module: Any, folder: Path, *, spread: float = 0.0) -> Path:
    """The module in its folder; `spread` > 0 first redraws its matrices, so that a tiny network
    answers differently to different pictures."""
    if spread:
        for weight in module.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=spread)
    module.save_pretrained(folder)
    return folder


def build_vitpose(folder: Path, *, num_experts: int = 1) -> Path:
    """A window of 64 x 48, heat maps of 32 x 24, 17 joints."""
    torch.manual_seed(0)
    body = VitPoseBackboneConfig(
        image_size=[64, 48], patch_size=[8, 8], hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, mlp_ratio=2, num_experts=num_experts, part_features=4,
        out_indices=[2],
    )  # fmt: skip
    config = VitPoseConfig(backbone_config=body, num_labels=17, scale_factor=4)
    return saved(VitPoseForPoseEstimation(config), folder, spread=0.2)


def build_rtdetr(folder: Path, *, labels: tuple[str, ...] = ("person", "bicycle")) -> Path:
    """A detector of 64 px, whose scores lie about one half."""
    torch.manual_seed(0)
    body = RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = RTDetrConfig(
        backbone_config=body, encoder_in_channels=[8, 16, 16], encoder_hidden_dim=16, d_model=16,
        encoder_ffn_dim=32, encoder_attention_heads=2, decoder_in_channels=[16, 16, 16],
        decoder_ffn_dim=32, decoder_layers=2, decoder_attention_heads=2, decoder_n_points=2,
        num_queries=10, num_denoising=0, id2label=dict(enumerate(labels)),
        label2id={name: i for i, name in enumerate(labels)}, initializer_bias_prior_prob=0.5,
    )  # fmt: skip
    saved(RTDetrForObjectDetection(config), folder, spread=0.15)
    write_processor(folder, do_normalize=False, size={"height": 64, "width": 64})
    return folder


def build_mask2former(folder: Path) -> Path:
    """Four labels, six queries; Swin of two heads."""
    torch.manual_seed(0)
    body = SwinConfig(
        image_size=64, patch_size=4, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2],
        window_size=2, drop_path_rate=0.0, out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = Mask2FormerConfig(
        backbone_config=body, feature_size=32, mask_feature_size=32, hidden_dim=32,
        encoder_feedforward_dim=32, dim_feedforward=32, encoder_layers=1, decoder_layers=2,
        num_attention_heads=2, num_queries=6, id2label=dict(enumerate(PARTS)),
    )  # fmt: skip
    return saved(Mask2FormerForUniversalSegmentation(config), folder, spread=0.2)


def build_segformer(folder: Path, labels: Sequence[str] = PARTS) -> Path:
    """The same four labels, or others."""
    torch.manual_seed(0)
    config = SegformerConfig(
        hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16, id2label=dict(enumerate(labels)), image_size=64,
    )  # fmt: skip
    return saved(SegformerForSemanticSegmentation(config), folder, spread=0.2)


def build_sam(folder: Path) -> Path:
    """A square of 64 px, patches of 8, masks of 32 x 32."""
    torch.manual_seed(0)
    config = SamConfig(
        vision_config=TOWER | {
            "output_channels": 16, "image_size": 64, "patch_size": 8, "window_size": 2,
            "global_attn_indexes": [1], "num_pos_feats": 8, "mlp_dim": 32,
        },
        prompt_encoder_config={
            "hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )  # fmt: skip
    return saved(SamModel(config), folder, spread=0.3)


def build_caption(folder: Path) -> Path:
    """BLIP with a tokenizer of WORDS, of which "ish" may go on with a word."""
    torch.manual_seed(0)
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]"]
    vocabulary = {token: i for i, token in enumerate([*marks, "##ish", ".", *WORDS])}
    inner = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", bos_token="[DEC]", model_max_length=32,
    ).save_pretrained(folder)  # fmt: skip
    text = TOWER | {
        "vocab_size": len(vocabulary), "max_position_embeddings": 64, "bos_token_id": 4,
        "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0,
    }  # fmt: skip
    config = BlipConfig(text_config=text, vision_config=VISION)
    return saved(BlipForConditionalGeneration(config), folder, spread=0.5)


def build_clip(folder: Path, kind: str = "CLIPModel") -> Path:
    """A CLIPModel with its tokenizer, or its vision tower."""
    torch.manual_seed(0)
    if kind == "CLIPVisionModelWithProjection":
        config = CLIPVisionConfig(**VISION, projection_dim=12)
        return saved(CLIPVisionModelWithProjection(config), folder, spread=0.2)
    text = text_config(build_tokenizer(folder)).to_dict()
    whole = CLIPConfig(text_config=text, vision_config=VISION, projection_dim=12)
    return saved(CLIPModel(whole), folder, spread=0.2)


def build_siglip(folder: Path, kind: str = "SiglipModel") -> Path:
    """A SiglipModel with a tokenizer of WORDS, or its vision tower."""
    torch.manual_seed(0)
    if kind == "SiglipVisionModel":
        return saved(SiglipVisionModel(SiglipVisionConfig(**VISION)), folder, spread=0.2)
    marks = ["<unk>", "</s>"]
    inner = Tokenizer(
        WordLevel({word: i for i, word in enumerate([*marks, *WORDS])}, unk_token="<unk>")
    )
    inner.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", pad_token="</s>", eos_token="</s>"
    ).save_pretrained(folder)
    text = TOWER | {"vocab_size": len(marks) + len(WORDS), "max_position_embeddings": 8}
    text |= {"projection_size": 16, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 1}
    return saved(
        SiglipModel(SiglipConfig(text_config=text, vision_config=VISION)), folder, spread=0.2
    )


def build_dino(folder: Path, *, registers: int = 0) -> Path:
    """DINOv2 whose config names 56 px but whose processor crops to NUM_PX."""
    torch.manual_seed(0)
    facts = {name: size for name, size in VISION.items() if name != "intermediate_size"}
    facts |= {"image_size": 56, "mlp_ratio": 2}
    if registers:
        from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

        config = Dinov2WithRegistersConfig(**facts, num_register_tokens=registers)
        saved(Dinov2WithRegistersModel(config), folder, spread=0.2)
    else:
        saved(Dinov2Model(Dinov2Config(**facts)), folder, spread=0.2)
    crop = {"height": NUM_PX, "width": NUM_PX}
    write_processor(folder, do_center_crop=True, crop_size=crop, size={"shortest_edge": 36})
    return folder


def build_safety(folder: Path) -> Path:
    """Stable Diffusion's checker, as its pipelines hold it; all concepts are far away."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    torch.manual_seed(0)
    config = CLIPConfig(vision_config=VISION, projection_dim=12)
    module = StableDiffusionSafetyChecker(config)
    torch.nn.init.constant_(module.concept_embeds_weights, 2.0)
    torch.nn.init.constant_(module.special_care_embeds_weights, 2.0)
    return saved(module, folder)


def write_yunet(folder: Path) -> Path:
    """A face detector in YuNet's format, with no onnx package about: each red square of 16 px of
    the grid is a face 16 wide and 32 high about its centre."""
    nodes, weights, outputs = [], [], []
    for head, num in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        for stride in (8, 16, 32):
            name = f"{head}_{stride}"
            matrix, bias = np.zeros((num, 3, stride, stride), np.float32), np.zeros(num, np.float32)
            if num == 1 and stride == 16:
                matrix[:, 2] = 1 / 255 / stride**2  # blue, green, red
            if num == 4:
                bias[:] = (0.5, 0.5, 0.0, math.log(2))
            shape = np.array([1, num, -1], np.int64)
            for end, values in (("w", matrix), ("b", bias), ("s", shape)):
                kind = 7 if values.dtype == np.int64 else 1
                facts = _many(1, values.shape) + _field(2, kind) + _field(8, f"{name}_{end}")
                weights.append(facts + _field(9, values.tobytes()))
            steps = {"kernel_shape": [stride] * 2, "strides": [stride] * 2}
            nodes += [
                _node("Conv", ["input", f"{name}_w", f"{name}_b"], f"{name}_map", steps),
                _node("Reshape", [f"{name}_map", f"{name}_s"], f"{name}_flat", {}),
                _node("Transpose", [f"{name}_flat"], name, {"perm": [0, 2, 1]}),
            ]
            outputs.append(_value(name, [1, f"cells_{name}", num]))
    graph = _many(1, nodes) + _field(2, "yunet") + _many(5, weights)
    graph += _field(11, _value("input", [1, 3, "h", "w"])) + _many(12, outputs)
    folder.mkdir()
    path = folder / "yunet.onnx"
    path.write_bytes(_field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13)))
    return path


def _varint(value: int) -> bytes:
    """Protocol buffers' integers: seven bits a byte, the lowest first."""
    out = b""
    while True:
        value, low = value >> 7, value & 127
        out += bytes([low | (128 if value else 0)])
        if not value:
            return out


def _field(tag: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(tag << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(tag << 3 | 2) + _varint(len(data)) + data


def _many(tag: int, values: Any) -> bytes:
    return b"".join(_field(tag, value) for value in values)


def _node(kind: str, inputs: list[str], output: str, lists: dict[str, list[int]]) -> bytes:
    facts = _many(1, inputs) + _field(2, output) + _field(3, output) + _field(4, kind)
    told = [_field(1, name) + _many(8, values) + _field(20, 7) for name, values in lists.items()]
    return facts + _many(5, told)


def _value(name: str, sides: list[int | str]) -> bytes:
    shape = b"".join(_field(1, _field(1 if isinstance(s, int) else 2, s)) for s in sides)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, shape)))
