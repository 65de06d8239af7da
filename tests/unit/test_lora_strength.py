"""How strong a LoRA is that another program wrote: as diffusers and peft read its header."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from onbrand.errors import WeightsError
from onbrand.models import Pack
from onbrand.models.adapters import attach_lora, has_lora, load_lora, lora_parameters, save_lora
from onbrand.models.diffusion import load_diffusion
from onbrand.models.load_test import check_export
from onbrand.recipe import LoraSettings

FILE = "pytorch_lora_weights.safetensors"


@pytest.fixture
def trained(tiny_pack: Pack, tmp_path: Path) -> Path:
    """The diffusers file of a LoRA that changes what the tiny pack draws."""
    model = load_diffusion(tiny_pack)
    attach_lora(model, LoraSettings(rank=4, alpha=6, text_encoder=True), seed=1)
    for i, parameter in enumerate(lora_parameters(model).values()):
        generator = torch.Generator().manual_seed(i)
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    save_lora(model, tmp_path / "trained", {"trigger": "kuro"})
    return tmp_path / "trained" / FILE


def told(trained: Path, settings: object) -> Path:
    """The same tensors in a folder of their own, with these settings in the header."""
    folder = trained.parents[1] / "told"
    folder.mkdir()
    save_file(load_file(trained), folder / FILE, {"lora_adapter_metadata": json.dumps(settings)})
    return folder


def settings_of(trained: Path) -> dict[str, object]:
    with safe_open(str(trained), "pt") as file:
        return dict(json.loads(file.metadata()["lora_adapter_metadata"]))


@pytest.mark.parametrize(
    "more",
    [
        {"unet.use_rslora": True, "text_encoder.use_rslora": True},
        {"unet.alpha_pattern": {"attn2.to_k": 64, "attn1.to_(q|v)": 3}},
        {"unet.alpha_pattern": {"to_k": 1, "attn2.to_k": 64}, "unet.use_rslora": True},
        {"text_encoder.alpha_pattern": {"layers.0.self_attn.q_proj": 40}},
        {"unet.alpha_pattern": {}, "unet.lora_alpha": 2.5},
    ],
)
def test_strength_is_what_diffusers_makes_of_the_header(
    tiny_pack: Pack, trained: Path, more: dict[str, object]
) -> None:
    """rsLoRA's α / √r, and patterns as peft matches them: the end of a path, or an expression."""
    folder = told(trained, settings_of(trained) | more)
    assert check_export(folder, load_diffusion(tiny_pack))[FILE] < 1e-4


@pytest.mark.parametrize(
    "more",
    [
        {"unet.alpha_pattern": [1]},
        {"unet.alpha_pattern": {"to_k": "strong"}},
        {"unet.alpha_pattern": {"to_k(": 3}},
        {"unet.lora_alpha": None},
        {"unet.lora_alpha": float("nan")},
    ],
)
def test_a_damaged_strength_is_refused(
    tiny_pack: Pack, trained: Path, more: dict[str, object]
) -> None:
    """One line that names the entry, and nothing is attached."""
    model = load_diffusion(tiny_pack)
    with pytest.raises(WeightsError, match=r"lora_adapter_metadata .* is damaged") as caught:
        load_lora(model, told(trained, settings_of(trained) | more))
    assert "\n" not in str(caught.value)
    assert not has_lora(model)


def test_settings_that_are_no_table_are_refused(tiny_pack: Pack, trained: Path) -> None:
    """A list in their place is no reason for a traceback."""
    with pytest.raises(WeightsError, match=r"lora_adapter_metadata .* is damaged"):
        load_lora(load_diffusion(tiny_pack), told(trained, []))
