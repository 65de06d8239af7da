"""LoRA files of every family: what is adapted, exported, read back, and refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_families import FAMILY_NAMES

from onbrand.errors import WeightsError
from onbrand.models import Pack
from onbrand.models.adapters import (
    attach_lora,
    has_lora,
    load_lora,
    lora_parameters,
    save_lora,
)
from onbrand.models.diffusion import load_diffusion
from onbrand.models.load_test import check_export
from onbrand.models.lora_sdxl import sgm_path
from onbrand.recipe import LoraSettings

Opener = Callable[[str], Pack]
LORA, KOHYA = "pytorch_lora_weights.safetensors", "kohya.safetensors"


@pytest.mark.parametrize("targets", ["attention", "attention+ff", "all"])
@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_every_target_is_exported(
    family_pack: Opener, tmp_path: Path, name: str, targets: str
) -> None:
    """Each word of `lora.targets` adapts more layers, and all of them come back from the files."""
    pack = family_pack(name)
    model = load_diffusion(pack)
    attach_lora(model, LoraSettings(rank=2, alpha=3, targets="attention"), seed=1)
    fewest = len(lora_parameters(model))
    attach_lora(model, LoraSettings(rank=2, alpha=3, targets=targets), seed=1)
    assert (len(lora_parameters(model)) > fewest) == (targets != "attention")
    for i, parameter in enumerate(lora_parameters(model).values()):
        generator = torch.Generator().manual_seed(i)
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    save_lora(model, tmp_path, {"trigger": "kuro"})
    assert max(check_export(tmp_path, load_diffusion(pack), model=model).values()) < 1e-4
    other = load_diffusion(pack)
    load_lora(other, tmp_path)
    mine, back = lora_parameters(model), lora_parameters(other)
    assert mine.keys() == back.keys()
    assert all(torch.equal(mine[key], back[key]) for key in mine)


def adapted(pack: Pack, folder: Path) -> Path:
    model = load_diffusion(pack)
    attach_lora(model, LoraSettings(rank=2), seed=1)
    return save_lora(model, folder, {"trigger": "kuro"})


@pytest.mark.parametrize(
    ("theirs", "ours"), [("sdxl", "sd15"), ("sd15", "sdxl"), ("sd3", "flux"), ("flux", "sdxl")]
)
def test_a_lora_of_another_family_is_refused_with_both_names(
    family_pack: Opener, tmp_path: Path, theirs: str, ours: str
) -> None:
    """The error names both bases and both families; nothing is attached."""
    folder = adapted(family_pack(theirs), tmp_path)
    model = load_diffusion(family_pack(ours))
    titles = family_pack(theirs).family.title, family_pack(ours).family.title
    said = rf"'tiny_{theirs}', a {titles[0]} base.*'tiny_{ours}', {titles[1]}\."
    for file in folder.glob("*.safetensors"):
        with pytest.raises(WeightsError, match=said):
            load_lora(model, file)
    assert not has_lora(model)


@pytest.mark.parametrize(
    ("key", "shape", "title"),
    [
        ("transformer.single_transformer_blocks.0.attn.to_q", (2, 8), "FLUX.1"),
        ("transformer.transformer_blocks.0.attn.to_q", (2, 3072), "FLUX.1"),
        ("transformer.transformer_blocks.0.attn.to_q", (2, 1536), "Stable Diffusion 3"),
        ("text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj", (2, 8), "XL"),
        ("unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k", (2, 2048), "XL"),
        ("unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k", (2, 768), "1.x/2.x"),
    ],
)
def test_a_foreign_file_betrays_its_family(
    family_pack: Opener, tmp_path: Path, key: str, shape: tuple[int, int], title: str
) -> None:
    """Without any header, the keys and the width of the words tell what it was trained on."""
    path = tmp_path / "foreign.safetensors"
    tensors = {
        f"{key}.lora_A.weight": torch.zeros(shape),
        f"{key}.lora_B.weight": torch.zeros(8, 2),
    }
    save_file(tensors, path)
    ours = "sdxl" if title != "XL" else "sd15"
    with pytest.raises(WeightsError, match=rf"'another model', a .*{title} base.*'tiny_{ours}'"):
        load_lora(load_diffusion(family_pack(ours)), path)


def test_sdxls_kohya_file_is_read_by_either_name(family_pack: Opener, tmp_path: Path) -> None:
    """Written with the original network's names, as sd-scripts does; diffusers' are read too."""
    pack = family_pack("sdxl")
    tensors = load_file(adapted(pack, tmp_path) / KOHYA)
    stem = "lora_unet_input_blocks_3_1_transformer_blocks_0_attn1_to_q"
    assert f"{stem}.lora_down.weight" in tensors
    old = {
        key.replace("input_blocks_3_1", "down_blocks_1_attentions_0")
        .replace("middle_block_1", "mid_block_attentions_0")
        .replace("output_blocks_0_1", "up_blocks_0_attentions_0")
        .replace("output_blocks_1_1", "up_blocks_0_attentions_1"): tensor
        for key, tensor in tensors.items()
    }
    assert not any("put_blocks" in key or "middle" in key for key in old)
    save_file(old, tmp_path / "other.safetensors")
    one, two = load_diffusion(pack), load_diffusion(pack)
    load_lora(one, tmp_path / KOHYA)
    load_lora(two, tmp_path / "other.safetensors")
    mine, theirs = lora_parameters(one), lora_parameters(two)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.mark.parametrize(
    ("path", "theirs"),
    [
        ("time_embedding.linear_1", "time_embed.0"),
        ("time_embedding.linear_2", "time_embed.2"),
        ("add_embedding.linear_2", "label_emb.0.2"),
        ("conv_in", "input_blocks.0.0"),
        ("down_blocks.1.attentions.0.proj_in", "input_blocks.4.1.proj_in"),
        ("down_blocks.2.attentions.1.transformer_blocks.9.ff.net.2",
         "input_blocks.8.1.transformer_blocks.9.ff.net.2"),
        ("down_blocks.0.resnets.1.conv1", "input_blocks.2.0.in_layers.2"),
        ("down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op"),
        ("mid_block.resnets.1.time_emb_proj", "middle_block.2.emb_layers.1"),
        ("mid_block.attentions.0.proj_out", "middle_block.1.proj_out"),
        ("up_blocks.0.attentions.2.proj_in", "output_blocks.2.1.proj_in"),
        ("up_blocks.1.upsamplers.0.conv", "output_blocks.5.2.conv"),
        ("up_blocks.2.resnets.0.conv_shortcut", "output_blocks.6.0.skip_connection"),
    ],
)  # fmt: skip
def test_sdxls_original_names(path: str, theirs: str) -> None:
    """The places of Stability's own release, for SDXL's two layers a block."""
    assert sgm_path(path, 2) == theirs


def test_headers_say_what_the_base_was(family_pack: Opener, tmp_path: Path) -> None:
    """kohya's and modelspec's names for SDXL; our own for every family."""
    folder = adapted(family_pack("sdxl"), tmp_path / "sdxl")
    with safe_open(str(folder / KOHYA), "pt") as file:
        facts = dict(file.metadata())
    assert facts["ss_base_model_version"] == "sdxl_base_v1-0"
    assert facts["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    assert facts["onbrand.family"] == "sdxl"
    with safe_open(str(adapted(family_pack("flux"), tmp_path / "flux") / LORA), "pt") as file:
        assert dict(file.metadata())["onbrand.family"] == "flux"
