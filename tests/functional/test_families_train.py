"""Each family trains through the real stages, and what it leaves works in plain diffusers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from brand_folder import tiny_brief, tiny_dataset, tiny_recipe
from diffusers import DiffusionPipeline
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_families import FAMILY_NAMES

from onbrand import training
from onbrand.artifacts.brand_model import BrandModel
from onbrand.artifacts.dataset import Dataset
from onbrand.errors import RecipeError, WeightsError
from onbrand.events import Advanced, Event
from onbrand.generation.sample import sample, starting_noise
from onbrand.models import Pack
from onbrand.models.adapters import (
    attach_lora,
    check_export,
    has_lora,
    load_lora,
    lora_parameters,
    save_lora,
)
from onbrand.models.diffusion import DiffusionModel, load_diffusion, quiet_libraries
from onbrand.recipe import LoraSettings, Recipe

Opener = Callable[[str], Pack]
LORA, KOHYA = "pytorch_lora_weights.safetensors", "kohya.safetensors"
FLOWS = ("sd3", "flux")
NETWORK = {"sd15": "unet", "sdxl": "unet", "sd3": "transformer", "flux": "transformer"}


def brightness(pictures: Sequence[Image.Image], texts: Sequence[str], /) -> dict[str, float]:
    """Figures that need no encoder: a scorer is any function of pictures and their texts."""
    grey = [float(np.asarray(p.convert("L")).mean()) / 255 for p in pictures]
    return {"identity": grey[0], "alignment": sum(grey) / len(grey), "diversity": 0.0}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return tiny_dataset(tmp_path_factory.mktemp("brand"))


def run(dataset: Dataset, recipe: Recipe, pack: Pack, out: Path, **more: Any) -> BrandModel:
    return training.train(
        dataset, tiny_brief(), recipe, pack, out, sample=sample, score=brightness, **more
    )


def plain_with_lora(pack: Pack, model: DiffusionModel, folder: Path, file: str) -> Any:
    """The base and the LoRA file as diffusers alone loads them, with our sampler for U-Nets."""
    with quiet_libraries():
        pipe = DiffusionPipeline.from_pretrained(
            pack.root, torch_dtype=torch.float32, local_files_only=True
        )
        pipe.load_lora_weights(str(folder), weight_name=file)
    pipe.set_progress_bar_config(disable=True)
    if model.family.name not in FLOWS:
        pipe.scheduler = model.sampler()
    return pipe


def gap_to_plain(pack: Pack, model: DiffusionModel, folder: Path, file: str) -> int:
    """Largest difference in grey levels between our picture and plain diffusers'."""
    more = {"max_sequence_length": 16} if model.family.name in FLOWS else {}
    start = model.pack_latents(starting_noise(model, [4], 32))
    theirs = plain_with_lora(pack, model, folder, file)(
        "kuro waving", latents=start, num_inference_steps=3, guidance_scale=2.0, height=32,
        width=32, **more,
    ).images[0]  # fmt: skip
    ours = sample(model, ["kuro waving"], seeds=[4], num_steps=3, guidance=2.0)[0]
    return int(np.abs(np.asarray(ours).astype(int) - np.asarray(theirs).astype(int)).max())


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_a_family_trains_through_all_stages(
    dataset: Dataset, family_pack: Opener, tmp_path: Path, name: str
) -> None:
    """Appearance and detail with prior, perceptual and identity losses: finite losses, a LoRA that
    moved, whose files load in plain diffusers and there draw the same picture."""
    pack = family_pack(name)
    recipe = tiny_recipe(lora={"rank": 2, "alpha": 4, "targets": "attention+ff"})
    model = run(dataset, recipe, pack, tmp_path / "model")
    assert [s.name for s in model.stages] == ["appearance", "detail"]
    curves = training.loss_curves(model.root)
    assert [len(curves[s]) for s in ("appearance", "detail")] == [6, 4]
    lines = [line for curve in curves.values() for line in curve]
    assert all(math.isfinite(v) for line in lines for v in line.values())
    looked = [line for line in curves["detail"] if "perceptual" in line]
    assert looked
    assert all(line["identity"] > 0 and line["prior"] > 0 for line in looked)

    folder = model.checkpoint("detail")
    kept = load_file(folder / LORA)
    assert {key.split(".")[0] for key in kept} == {NETWORK[name]}
    assert any(float(t.abs().max()) > 0 for k, t in kept.items() if k.endswith("lora_B.weight"))
    files = [LORA] if name in FLOWS else [LORA, KOHYA]
    assert sorted(p.name for p in folder.glob("*.safetensors")) == sorted(
        [*files, "resume.safetensors"]
    )
    assert set(json.loads((folder / "load_test.json").read_text())["largest_difference"]) == set(
        files
    )
    trained = load_diffusion(pack)
    load_lora(trained, folder)
    base = sample(load_diffusion(pack), ["kuro waving"], seeds=[4], num_steps=3, guidance=2.0)[0]
    ours = sample(trained, ["kuro waving"], seeds=[4], num_steps=3, guidance=2.0)[0]
    assert np.abs(np.asarray(ours).astype(int) - np.asarray(base).astype(int)).max() > 2
    for file in files:
        assert gap_to_plain(pack, trained, folder, file) <= 1


def test_both_text_encoders_of_sdxl_learn(
    dataset: Dataset, family_pack: Opener, tmp_path: Path
) -> None:
    """LoRA on both of them moves, lands in both files under their prefixes, reads back, and an
    interrupted run ends at the same bytes."""
    pack = family_pack("sdxl")
    recipe = tiny_recipe(
        lora={"rank": 2, "alpha": 2, "text_encoder": True},
        stage=[tiny_recipe().stage[0].model_dump()],
    )
    model = run(dataset, recipe, pack, tmp_path / "model")
    folder = model.checkpoint("appearance")
    kept, kohya = load_file(folder / LORA), load_file(folder / KOHYA)
    assert {k.split(".")[0] for k in kept} == {"unet", "text_encoder", "text_encoder_2"}
    assert {k.split("_")[1] for k in kohya} == {"unet", "te1", "te2"}
    for part in ("text_encoder.", "text_encoder_2."):
        moved = [t for k, t in kept.items() if k.startswith(part) and k.endswith("lora_B.weight")]
        assert max(float(t.abs().max()) for t in moved) > 0
    trained = load_diffusion(pack)
    for file in (LORA, KOHYA):
        load_lora(trained, folder / file)
        assert gap_to_plain(pack, trained, folder, file) <= 1

    def press(event: Event) -> None:
        if isinstance(event, Advanced) and (event.task, event.done) == ("appearance", 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(dataset, recipe, pack, tmp_path / "other", emit=press)
    again = run(dataset, recipe, pack, tmp_path / "other")
    assert (again.checkpoint("appearance") / LORA).read_bytes() == (folder / LORA).read_bytes()


@pytest.mark.parametrize("name", FLOWS)
def test_text_encoders_that_stay_frozen_are_said_to(
    dataset: Dataset, family_pack: Opener, tmp_path: Path, name: str
) -> None:
    """lora.text_encoder is refused before any work, with the base's family."""
    recipe = tiny_recipe(lora={"rank": 2, "text_encoder": True})
    said = rf"tiny_{name}' is .*stay frozen here.*false"
    with pytest.raises(RecipeError, match=said):
        run(dataset, recipe, family_pack(name), tmp_path / "model")
    assert not (tmp_path / "model").exists()
    with pytest.raises(RecipeError, match=said):
        attach_lora(load_diffusion(family_pack(name)), recipe.lora)


def test_a_size_that_has_no_whole_patches_is_refused(
    dataset: Dataset, family_pack: Opener, tmp_path: Path
) -> None:
    """FLUX reads 16 px at a time: 24 is told before any work."""
    recipe = tiny_recipe(resolution_px=24)
    with pytest.raises(RecipeError, match=r"resolution_px is 24.*squares of 16 px"):
        run(dataset, recipe, family_pack("flux"), tmp_path / "model")


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
    assert max(check_export(tmp_path, pack, model=model).values()) < 1e-4
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
        ("transformer.transformer_blocks.0.attn.to_q", (2, 8), "Stable Diffusion 3"),
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
