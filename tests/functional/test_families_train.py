"""Each family trains through the real stages, and what it leaves works in plain diffusers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brand_folder import draw_picture, tiny_brief, tiny_dataset, tiny_recipe
from PIL import Image
from safetensors.torch import load_file
from tiny_families import FAMILY_NAMES, plain

import onbrand as ob
from onbrand import training
from onbrand.artifacts.brand_model import BrandModel
from onbrand.artifacts.dataset import Dataset
from onbrand.errors import RecipeError
from onbrand.events import Advanced, Event, Noted, Warned
from onbrand.generation.sample import sample, starting_noise
from onbrand.models import Pack
from onbrand.models.adapters import attach_lora, load_lora
from onbrand.models.diffusion import DiffusionModel, load_diffusion
from onbrand.models.quiet import quiet_libraries
from onbrand.recipe import Recipe

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
    pipe = plain(pack)
    with quiet_libraries():
        pipe.load_lora_weights(str(folder), weight_name=file)
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
    heard: list[Event] = []
    model = run(dataset, recipe, pack, tmp_path / "model", emit=heard.append)
    (told,) = [e.message for e in heard if isinstance(e, Noted) and "plain diffusers" in e.message]
    assert ("kohya" in told) == (name not in FLOWS)
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


@pytest.mark.parametrize("name", FLOWS)
def test_the_baseline_trains_on_a_flow(
    dataset: Dataset, family_pack: Opener, tmp_path: Path, name: str
) -> None:
    """dreambooth_lora, whose example exists for these families too, runs on the same code, and a
    run stopped on the way ends at the same bytes."""
    recipe = tiny_recipe(stage=[tiny_recipe().stage[0].model_dump()])
    whole = run(dataset, recipe, family_pack(name), tmp_path / "one", arm="dreambooth_lora")
    lines = training.loss_curves(whole.root)["dreambooth_lora"]
    assert all(0 < line["loss"] < 100 for line in lines)

    def press(event: Event) -> None:
        if isinstance(event, Advanced) and (event.task, event.done) == ("dreambooth_lora", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(dataset, recipe, family_pack(name), tmp_path / "two", arm="dreambooth_lora", emit=press)
    again = run(dataset, recipe, family_pack(name), tmp_path / "two", arm="dreambooth_lora")
    one, two = (m.checkpoint("dreambooth_lora") / LORA for m in (whole, again))
    assert one.read_bytes() == two.read_bytes()


RECIPE = """
base = "{base}"
lora = {{ rank = 2 }}
validation = {{ num_prompts = 1, num_per_prompt = 2, num_steps = 2 }}
[[stage]]
kind = "appearance"
batch_size = 2
num_steps = 2
min_snr_gamma = 5.0
timestep_sampling = "logit_normal"
"""


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_the_road_leads_through_every_family(
    family_pack: Opener, tmp_path: Path, name: str
) -> None:
    """new, train and generate as a user calls them, on a base that is a plain diffusers folder and
    borrows the pocket pack's judges; FLUX says that it reads no negative prompt."""
    (tmp_path / "drawn").mkdir()
    for index in range(4):
        draw_picture(index).save(tmp_path / "drawn" / f"{index}.png")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(base=family_pack(name).root))
    brand = ob.new(
        tmp_path / "kuro", pictures=tmp_path / "drawn", subject="red fox", recipe=str(recipe)
    )
    model = ob.train(brand)
    assert {"identity", "alignment"} <= set(model.stages[0].metrics)
    heard: list[Event] = []
    shots = ob.generate(
        "waving", brand, num_per_prompt=2, num_steps=2, negative_prompt="night", emit=heard.append
    )
    assert [shots.open(i).size for i in range(2)] == [(32, 32)] * 2
    told = [e.message for e in heard if isinstance(e, Warned) and "negative prompt" in e.message]
    assert len(told) == (name == "flux")


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


@pytest.mark.parametrize("name", ["sd15", "flux"])
def test_a_size_that_cannot_be_drawn_is_refused(
    dataset: Dataset, family_pack: Opener, tmp_path: Path, name: str
) -> None:
    """FLUX reads 16 px at a time, and this U-Net halves its latents: 24 is told before any work."""
    recipe = tiny_recipe(resolution_px=24)
    with pytest.raises(RecipeError, match=r"resolution_px is 24.*squares of 16 px"):
        run(dataset, recipe, family_pack(name), tmp_path / "model")
