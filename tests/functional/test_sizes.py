"""A run at another size than the base's own: all its pictures have it, and so have later ones."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from brand_folder import cut_off_cut_out, draw_picture, tiny_brief, tiny_dataset, tiny_recipe
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

import onbrand as ob
from onbrand import judging, pixels, road, training
from onbrand.artifacts import Pictures
from onbrand.events import Event, Finished, Noted, Started, Warned
from onbrand.generation import sample
from onbrand.models import Pack, open_pack
from onbrand.models.diffusion import load_diffusion
from onbrand.models.perception import load_identity
from onbrand.road.request import Request
from onbrand.training.cache import ENCODING, to_pixels
from onbrand.training.optimisers import is_moment
from onbrand.training.session import PREVIEW_SEED

SIZE = 48  # the tiny base's own is 32
RECIPE = """
base = "{base}"
resolution_px = {size}
lora = {{ rank = 2 }}
validation = {{ num_prompts = 2, num_per_prompt = 1, num_steps = 2 }}
prior = {{ num_pictures = 2 }}
[[stage]]
kind = "appearance"
batch_size = 2
num_steps = 2
losses = {{ prior = 1.0 }}
"""


def brand_of(root: Path, base: Path, size: int = SIZE, **more: Any) -> Path:
    (root / "drawn").mkdir(parents=True)
    for index in range(6):
        draw_picture(index, size_px=64).save(root / "drawn" / f"{index}.png")
    (root / "recipe.toml").write_text(RECIPE.format(base=base, size=size))
    return ob.new(
        root / "kuro", pictures=root / "drawn", subject="red fox",
        recipe=str(root / "recipe.toml"), **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def told() -> list[Event]:
    """What the run of `brand` said."""
    return []


@pytest.fixture(scope="module")
def brand(
    tmp_path_factory: pytest.TempPathFactory, tiny_pack_folder: Path, told: list[Event]
) -> Path:
    root = brand_of(tmp_path_factory.mktemp("sizes"), tiny_pack_folder)
    ob.train(root, emit=told.append)
    return root


def sides(pictures: Sequence[Path]) -> set[tuple[int, int]]:
    return {pixels.read(path).size for path in pictures}


def opened(shots: Pictures) -> set[tuple[int, int]]:
    return {shots.open(index).size for index in range(len(shots.items))}


def test_class_pictures_have_the_size_it_trains_at(brand: Path) -> None:
    """They are drawn at that size, not enlarged."""
    assert sides(list((brand / "model" / "cache").glob("class_pictures/*.png"))) == {(SIZE, SIZE)}


def test_validation_looks_at_the_size_it_trains_at(tiny_pack: Pack, tmp_path: Path) -> None:
    """What gates judge, of the base and of a stage."""
    seen: list[tuple[int, int]] = []

    def score(pictures: Sequence[Image.Image], texts: Sequence[str], /) -> dict[str, float]:
        seen.extend(picture.size for picture in pictures)
        return {"identity": 0.5}

    recipe = tiny_recipe(resolution_px=SIZE, stage=[tiny_recipe().stage[0].model_dump()])
    training.train(
        tiny_dataset(tmp_path / "brand"), tiny_brief(), recipe, tiny_pack, tmp_path / "model",
        sample=sample, score=score,
    )  # fmt: skip
    assert seen == [(SIZE, SIZE)] * 4


def test_cut_outs_stand_on_white_wherever_training_looks(tiny_pack: Pack, tmp_path: Path) -> None:
    """The held-out ones and those of the identity loss too, where the border is the subject's."""
    made = tiny_dataset(tmp_path / "brand")
    dataset = replace(made, assets=[replace(a, has_alpha=True) for a in made.assets])
    for asset in dataset.assets:
        cut_off_cut_out().save(dataset.path(asset))
    stage = tiny_recipe().stage[1].model_dump()
    training.train(
        dataset, tiny_brief(), tiny_recipe(stage=[stage]), tiny_pack, tmp_path / "m",
        sample=sample, score=lambda pictures, texts: {}, cache=tmp_path / "cache",
    )  # fmt: skip
    model, encoder = load_diffusion(tiny_pack, dtype="float32"), load_identity(tiny_pack)
    seen = to_pixels([pixels.square(cut_off_cut_out(), tiny_pack.num_px)])
    kept = {
        kind: next(iter(load_file(next((tmp_path / "cache" / kind).iterdir())).values()))
        for kind in ("held_out_latents", "identity_reference")
    }
    with torch.no_grad():
        latents, who = model.encode_pixels(seen), encoder.embed(seen)[0]
    torch.testing.assert_close(kept["held_out_latents"], latents)
    torch.testing.assert_close(kept["identity_reference"], who)


def test_a_trained_brand_draws_at_the_size_it_learned(brand: Path) -> None:
    """generate, with the adapter and without, and every arm of a comparison."""
    assert opened(ob.generate("waving", brand, num_per_prompt=1, num_steps=2)) == {(SIZE, SIZE)}
    bare = ob.generate("waving", brand, num_per_prompt=1, num_steps=2, stage="base")
    assert opened(bare) == {(SIZE, SIZE)}
    nobody = judging.Gallery((), ())
    contest = road.open_contest(
        brand, prompts=["sitting"], num_per_prompt=1, num_steps=2, gallery=nobody
    )
    assert {picture.size for picture in contest.references.train} == {(SIZE, SIZE)}
    assert {picture.size for picture in contest.references.held_out} == {(SIZE, SIZE)}
    entry = road.entry_of(contest, ob.BrandModel.load(brand / "model"), "appearance")
    drawn = contest.draw(entry, brand / "judged")
    assert opened(drawn.pictures) == {(SIZE, SIZE)}


def test_lookalikes_are_seen_as_the_brand_is(brand: Path, tmp_path: Path) -> None:
    """Of that size, oblong ones filled up alike: nobody is told by white bars."""
    shutil.copytree(brand, tmp_path / "kuro")
    likes = tmp_path / "kuro" / "lookalikes"
    likes.mkdir()
    Image.new("RGB", (30, 60), (200, 40, 40)).save(likes / "red.png")
    gallery = road.open_contest(tmp_path / "kuro").references.gallery
    (seen,) = gallery.pictures[gallery.names.index("look-alike red")]
    assert seen.size == (SIZE, SIZE)
    assert seen.getpixel((0, SIZE // 2)) == (200, 40, 40)


def test_gates_compare_with_real_pictures_of_that_size(brand: Path) -> None:
    """What training scores a picture by is what the real ones are on its own canvas."""
    model, dataset = ob.BrandModel.load(brand / "model"), ob.Dataset.load(brand / "dataset")
    captions = [asset.caption for asset in dataset.held_out if asset.caption]
    validation = model.recipe.validation
    texts = model.brief.validation_prompts(validation.num_prompts, captions)
    shots = ob.generate(
        texts, brand, stage="base", num_per_prompt=1, seed=PREVIEW_SEED,
        num_steps=validation.num_steps, guidance=validation.guidance,
    )  # fmt: skip
    train, held_out = (
        [dataset.open_square(asset, SIZE) for asset in assets]
        for assets in (dataset.train, dataset.held_out)
    )
    scorer = judging.training_scorer(open_pack(model.base), held_out, train=train)
    told = scorer(
        [shots.open(index) for index in range(len(texts))],
        [model.brief.class_prompt(text) for text in texts],
    )
    found = training.base_metrics(model.root)
    assert {name: found[name] for name in told} == pytest.approx(told)


def test_another_size_is_another_picture_and_the_own_one_is_as_before() -> None:
    """A request at the base's own size has the fingerprint that it had before there was another,
    so that pictures that lie there are kept."""
    plain = Request(("a fox",), (1,), 2, 4.0)
    assert plain.fingerprint() == "09705cb4d821e0b9"
    other = Request(("a fox",), (1,), 2, 4.0, size_px=SIZE)
    assert other.fingerprint() != plain.fingerprint()


def test_exported_files_say_whose_they_are(brand: Path) -> None:
    """Title, words, size and the base's licence stand in the headers that other programs show."""
    folder = brand / "model" / "stages" / "01-appearance"
    with safe_open(str(folder / "kohya.safetensors"), "pt") as file:
        header = file.metadata()
    assert header["modelspec.title"] == header["ss_output_name"] == "kuro appearance"
    assert header["modelspec.description"] == "a red fox"
    assert header["modelspec.resolution"] == f"{SIZE}x{SIZE}"
    assert header["ss_resolution"] == f"({SIZE}, {SIZE})"
    assert header["base_licence"] == "Apache-2.0"
    assert header["modelspec.license"] == "Apache-2.0 (the base's)"
    with safe_open(str(folder / "pytorch_lora_weights.safetensors"), "pt") as file:
        assert file.metadata()["onbrand.licence"] == "Apache-2.0 (the base's)"


def test_a_brand_names_its_own_licence(tiny_pack_folder: Path, tmp_path: Path) -> None:
    """What the brief says of it is what the files say."""
    root = brand_of(tmp_path, tiny_pack_folder)
    ob.Brief.load(root).model_copy(update={"licence": "LicenseRef-Kuro"}).save(root)
    folder = ob.train(root).checkpoint()
    with safe_open(str(folder / "kohya.safetensors"), "pt") as file:
        assert file.metadata()["modelspec.license"] == "LicenseRef-Kuro"


def test_a_finished_stage_keeps_no_moments(brand: Path) -> None:
    """Its checkpoint holds parameters alone, and is still what a second call goes on from."""
    kept = brand / "model" / "stages" / "01-appearance" / "resume.safetensors"
    with safe_open(str(kept), "pt") as file:
        names = list(file.keys())
    assert names
    assert not any(is_moment(name) for name in names)
    before = kept.read_bytes()
    heard: list[Event] = []
    ob.train(brand, emit=heard.append)
    assert kept.read_bytes() == before
    assert any("already trained, kept" in e.message for e in heard if isinstance(e, Noted))


def test_a_run_says_what_it_encodes_and_exports(brand: Path, told: list[Event]) -> None:
    """Encoding is told of while it lasts, and not when everything is kept; the load test names the
    files that it loaded."""
    assert Started(ENCODING, 4, "pictures") in told
    (ended,) = [e for e in told if isinstance(e, Finished) and e.task == ENCODING]
    assert ended.facts["pictures"] == 4
    (loaded,) = [e.message for e in told if isinstance(e, Noted) and "plain diffusers" in e.message]
    assert "from pytorch_lora_weights.safetensors and from kohya.safetensors" in loaded
    again: list[Event] = []
    ob.train(brand, emit=again.append)
    assert not any(isinstance(e, Started) and e.task == ENCODING for e in again)


def test_pictures_smaller_than_the_training_side_are_warned_of(
    tmp_path: Path, tiny_pack_folder: Path
) -> None:
    """64 px at a size of 96 are enlarged by half; at 48 nothing is said."""
    heard: list[Event] = []
    ob.plan(brand_of(tmp_path, tiny_pack_folder, size=96), emit=heard.append)
    (said,) = [e.message for e in heard if isinstance(e, Warned) and "enlarged" in e.message]
    assert "4 training pictures of 4 will be enlarged to 96 px" in said
    assert "64 × 64" in said
