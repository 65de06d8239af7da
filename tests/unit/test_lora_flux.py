"""FLUX's kohya form: diffusers reads back what was trained, and so do we."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline
from safetensors.torch import load_file, save_file

from onbrand.errors import WeightsError
from onbrand.models.families import FLUX
from onbrand.models.lora_files import BaseFacts, has_kohya_form, read_lora, write_kohya
from onbrand.models.lora_layer import Layer

WIDE = 3072
BASE = BaseFacts("flux", "0123", FLUX, "flow_prediction", 1024, 0)
DOUBLE = {
    "attn.to_q": (WIDE, WIDE),
    "attn.to_k": (WIDE, WIDE),
    "attn.to_v": (WIDE, WIDE),
    "attn.to_out.0": (WIDE, WIDE),
    "attn.add_q_proj": (WIDE, WIDE),
    "attn.add_k_proj": (WIDE, WIDE),
    "attn.add_v_proj": (WIDE, WIDE),
    "attn.to_add_out": (WIDE, WIDE),
    "ff.net.0.proj": (WIDE, 4 * WIDE),
    "ff.net.2": (4 * WIDE, WIDE),
    "ff_context.net.0.proj": (WIDE, 4 * WIDE),
    "ff_context.net.2": (4 * WIDE, WIDE),
    "norm1.linear": (WIDE, 6 * WIDE),
    "norm1_context.linear": (WIDE, 6 * WIDE),
}
SINGLE = {
    "attn.to_q": (WIDE, WIDE),
    "attn.to_k": (WIDE, WIDE),
    "attn.to_v": (WIDE, WIDE),
    "proj_mlp": (WIDE, 4 * WIDE),
    "proj_out": (5 * WIDE, WIDE),
    "norm.linear": (WIDE, 3 * WIDE),
}
ATTENTION = [f"attn.{name}" for name in ("to_q", "to_k", "to_v")]


def layers(targets: str) -> dict[str, Layer]:
    """Seeded LoRA of rank 2 on block 3 of both kinds, of FLUX.1's real shapes."""
    generator = torch.Generator().manual_seed(0)
    made = {}
    for block, shapes in (
        ("transformer_blocks.3", DOUBLE),
        ("single_transformer_blocks.3", SINGLE),
    ):
        for name, (into, out) in shapes.items():
            if targets == "all" or name in ATTENTION:
                down = torch.randn(2, into, generator=generator)
                up = torch.randn(out, 2, generator=generator)
                made[f"{block}.{name}"] = Layer(down, up, 3.0)
    return made


def moved(layer: Layer) -> torch.Tensor:
    """What the layer adds for one fixed input."""
    x = torch.randn(layer.down.shape[1], generator=torch.Generator().manual_seed(1))
    return layer.alpha / layer.rank * (layer.up @ (layer.down @ x))


def same(ours: Mapping[str, Layer], theirs: Mapping[str, Layer]) -> None:
    for path, layer in ours.items():
        torch.testing.assert_close(moved(theirs[path]), moved(layer), atol=2e-3, rtol=1e-4)
    extra = [moved(layer) for path, layer in theirs.items() if path not in ours]
    assert all(float(out.abs().max()) == 0 for out in extra), "only zeros beside what was trained"


@pytest.mark.parametrize("targets", ["attention", "all"])
def test_diffusers_and_we_read_back_what_was_trained(tmp_path: Path, targets: str) -> None:
    """Through kohya's names and fused matrices every layer adds what it added before."""
    ours = layers(targets)
    assert has_kohya_form(FLUX, {"transformer": ours})
    path = write_kohya(tmp_path / "kohya.safetensors", {"transformer": ours}, BASE, {})
    read = FluxPipeline.lora_state_dict(load_file(path))
    ends = ".lora_A.weight", ".lora_B.weight"
    names = [key.removesuffix(ends[0]) for key in read if key.endswith(ends[0])]
    found = {
        name.removeprefix("transformer."): Layer(read[name + ends[0]], read[name + ends[1]], 1.0)
        for name in names
    }
    same(ours, {n: Layer(x.down, x.up, float(x.rank)) for n, x in found.items()})
    back = read_lora(path, {}, BASE).layers["transformer"]
    same(ours, back)
    assert set(back) == set(ours), "what holds only zeros is left out"


def test_layers_of_different_rank_are_fused(tmp_path: Path) -> None:
    """The widest decides how many columns each part has; none loses any."""
    ours = {}
    for rank, name in enumerate(("to_q", "to_k", "to_v"), 1):
        down, up = torch.randn(rank, WIDE), torch.randn(WIDE, rank)
        ours[f"transformer_blocks.2.attn.{name}"] = Layer(down, up, 2.0)
    path = write_kohya(tmp_path / "kohya.safetensors", {"transformer": ours}, BASE, {})
    back = read_lora(path, {}, BASE).layers["transformer"]
    same(ours, back)
    assert [layer.rank for layer in back.values()] == [1, 2, 3]


def test_a_shared_down_matrix_is_read(tmp_path: Path) -> None:
    """sd-scripts trains q, k and v as one LoRA: each part gets its rows of `up`."""
    down, up = torch.randn(2, WIDE), torch.randn(3 * WIDE, 2)
    stem = "lora_unet_double_blocks_7_img_attn_qkv"
    tensors = {
        f"{stem}.lora_down.weight": down,
        f"{stem}.lora_up.weight": up,
        f"{stem}.alpha": torch.tensor(1.0),
    }
    save_file(tensors, tmp_path / "foreign.safetensors")
    read = read_lora(tmp_path / "foreign.safetensors", {}, BASE).layers["transformer"]
    parts = zip(("to_q", "to_k", "to_v"), up.split(WIDE), strict=True)
    same({f"transformer_blocks.7.attn.{n}": Layer(down, rows, 1.0) for n, rows in parts}, read)


def test_other_shapes_and_names_have_no_kohya_form(tmp_path: Path) -> None:
    """A narrower transformer or a layer without a name there gets the diffusers form alone; a file
    with an unknown name is refused by that name."""
    narrow = {"transformer_blocks.0.attn.to_q": Layer(torch.ones(2, 64), torch.ones(64, 2), 2.0)}
    assert not has_kohya_form(FLUX, {"transformer": narrow})
    stray = layers("attention") | {"x_embedder": Layer(torch.ones(2, 64), torch.ones(WIDE, 2), 2.0)}
    assert not has_kohya_form(FLUX, {"transformer": stray})
    path = write_kohya(
        tmp_path / "kohya.safetensors", {"transformer": layers("attention")}, BASE, {}
    )
    stem = "lora_unet_double_blocks_0_img_eyes"
    more = {
        f"{stem}.lora_down.weight": torch.ones(2, 4),
        f"{stem}.lora_up.weight": torch.ones(4, 2),
    }
    save_file(load_file(path) | more, path)
    with pytest.raises(
        WeightsError, match=r"FLUX.*does not is 'lora_unet_double_blocks_0_img_eyes"
    ):
        read_lora(path, {}, BASE)


def test_alphas_beside_the_matrices_count(tmp_path: Path) -> None:
    """Some FLUX files in diffusers' form name the alpha of each layer as kohya's do."""
    stem = "transformer.transformer_blocks.3.attn.to_q"
    tensors = {
        f"{stem}.lora_A.weight": torch.zeros(4, WIDE),
        f"{stem}.lora_B.weight": torch.zeros(WIDE, 4),
        f"{stem}.alpha": torch.tensor(1.0),
    }
    save_file(tensors, tmp_path / "lora.safetensors")
    (layer,) = read_lora(tmp_path / "lora.safetensors", {}, BASE).layers["transformer"].values()
    assert layer.alpha == 1
