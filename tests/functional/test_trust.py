"""What a run can be trusted with: hashed results, bad samples, full memory, settings that only save
memory, roles that are missing."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from brand_folder import draw_picture, tiny_brief, tiny_dataset, tiny_recipe
from PIL import Image
from safetensors.torch import load_file, save_file

from onbrand import road, training
from onbrand.artifacts.brand_model import BrandModel
from onbrand.artifacts.dataset import Dataset
from onbrand.errors import ArtifactError, NonFiniteLoss, OutOfMemory, PackError, RecipeError
from onbrand.events import Advanced, Event, Warned
from onbrand.generation import sample
from onbrand.models.diffusion import DiffusionModel
from onbrand.models.packs import Pack, open_pack
from onbrand.recipe import Recipe
from onbrand.training import looks
from onbrand.training.checks import check
from onbrand.training.lenses import Content, Lens

LORA = "pytorch_lora_weights.safetensors"


def score(pictures: Sequence[Image.Image], texts: Sequence[str], /) -> dict[str, float]:
    """Figures that no test here looks at."""
    return {"identity": 0.5}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return tiny_dataset(tmp_path_factory.mktemp("brand"))


@pytest.fixture(scope="module")
def trained(
    dataset: Dataset, tiny_pack: Pack, tmp_path_factory: pytest.TempPathFactory
) -> BrandModel:
    """One run of the tiny recipe, that others are compared with."""
    return run(dataset, tiny_recipe(), tiny_pack, tmp_path_factory.mktemp("run") / "model")


def run(dataset: Dataset, recipe: Recipe, pack: Pack, out: Path, **more: object) -> BrandModel:
    return training.train(
        dataset, tiny_brief(), recipe, pack, out, sample=sample, score=score, **more
    )


def losses(root: Path) -> list[float]:
    """The losses of all steps of all stages."""
    curves = training.loss_curves(root)
    return [line["loss"] for name in ("appearance", "detail") for line in curves.get(name, [])]


def changed_recipe(**changes: object) -> Recipe:
    """The tiny recipe with both stages changed."""
    recipe = tiny_recipe().model_dump()
    for stage in recipe["stage"]:
        stage.update(changes)
    return Recipe.model_validate(recipe)


def test_the_manifest_hashes_what_went_in_and_what_came_out(trained: BrandModel) -> None:
    """Data, base, recipe and code by fingerprint, each stage's weights by file."""
    loaded = BrandModel.load(trained.root)
    assert set(loaded.parents) == {"dataset", "base", "recipe"}
    for stage in loaded.stages:
        assert set(stage.files) == {LORA, "kohya.safetensors", "resume.safetensors"}
        assert set(stage.code) == {"commit", "source"}
        assert len(stage.code["source"]) == 16


def spoil(path: Path) -> None:
    """The same tensors with one number changed: a sound file that says something else."""
    tensors = load_file(path)
    name = min(tensors)
    tensors[name] = tensors[name] + 1
    save_file(tensors, path)


@pytest.mark.parametrize("name", [LORA, "kohya.safetensors", "resume.safetensors"])
def test_a_changed_weight_file_is_named_and_made_again(
    name: str, dataset: Dataset, trained: BrandModel, tiny_pack: Pack, tmp_path: Path
) -> None:
    """Loading refuses the model and names the file; training again ends at the old bytes."""
    root = tmp_path / "model"
    shutil.copytree(trained.root, root)
    path = root / "stages" / "01-appearance" / name
    before = path.read_bytes()
    spoil(path)
    with pytest.raises(ArtifactError, match=rf"01-appearance/{name}.*train again"):
        BrandModel.load(root)
    warned: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Warned):
            warned.append(event.message)

    run(dataset, tiny_recipe(), tiny_pack, root, emit=listen)
    assert any(f"{name}; " in message for message in warned)
    assert path.read_bytes() == before
    assert len(BrandModel.load(root).stages) == 2


def test_parts_leave_the_trajectory_alone(
    dataset: Dataset, trained: BrandModel, tiny_pack: Pack, tmp_path: Path
) -> None:
    """gradient_accumulation = 2, all losses, class pictures: the whole batch's losses to 1e-5."""
    run(dataset, changed_recipe(gradient_accumulation=2), tiny_pack, tmp_path / "model")
    assert losses(tmp_path / "model") == pytest.approx(losses(trained.root), abs=1e-5)


def test_a_run_goes_on_with_more_parts(
    dataset: Dataset, trained: BrandModel, tiny_pack: Pack, tmp_path: Path
) -> None:
    """What OutOfMemory advises throws nothing away: the finished stage and the open one's
    checkpoint are gone on from, to the same losses."""

    def press(event: Event) -> None:
        if isinstance(event, Advanced) and (event.task, event.done) == ("detail", 2):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(dataset, tiny_recipe(), tiny_pack, tmp_path / "model", emit=press)
    steps: list[tuple[str, int]] = []

    def listen(event: Event) -> None:
        if isinstance(event, Advanced):
            steps.append((event.task, event.done))

    recipe = changed_recipe(gradient_accumulation=2)
    run(dataset, recipe, tiny_pack, tmp_path / "model", emit=listen)
    assert steps == [("detail", 3), ("detail", 4)]
    assert losses(tmp_path / "model") == pytest.approx(losses(trained.root), abs=1e-5)


def test_checkpointing_leaves_the_trajectory_alone(
    dataset: Dataset, trained: BrandModel, tiny_pack: Pack, tmp_path: Path
) -> None:
    """Activations computed twice, in U-Net and decoder, give the losses of those that were kept."""
    on: list[bool] = []

    def watch(model: DiffusionModel, *args: object, **more: object) -> list[Image.Image]:
        on.append(model.network.is_gradient_checkpointing and model.vae.is_gradient_checkpointing)
        return sample(model, *args, **more)

    recipe = tiny_recipe(gradient_checkpointing=True)
    training.train(
        dataset, tiny_brief(), recipe, tiny_pack, tmp_path / "model", sample=watch, score=score
    )
    assert on[-1]
    assert losses(tmp_path / "model") == pytest.approx(losses(trained.root), abs=1e-6)


def test_float16_trains_with_a_scaled_loss_and_warns(
    dataset: Dataset, trained: BrandModel, tiny_pack: Pack, tmp_path: Path
) -> None:
    """On the CPU it is warned of; losses follow float32's, the scale is in the log."""
    warned: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Warned):
            warned.append(event.message)

    recipe = tiny_recipe(precision="float16", stage=[tiny_recipe().stage[0].model_dump()])
    run(dataset, recipe, tiny_pack, tmp_path / "model", emit=listen)
    assert any("float16" in message for message in warned)
    ours = losses(tmp_path / "model")
    assert ours == pytest.approx(losses(trained.root)[: len(ours)], rel=0.05)
    assert training.loss_curves(tmp_path / "model")["appearance"][-1]["loss_scale"] >= 1024


def test_a_pixel_loss_that_is_no_number_names_the_picture(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One picture's pixel losses turn NaN at step 2 of detail: step and picture are told, and
    the run goes on from its checkpoint once that is mended."""
    sound, bad = looks.through, []

    def through(
        lens: Lens, seen: torch.Tensor, contents: Sequence[Content], seed: int, step: int
    ) -> torch.Tensor:
        value = sound(lens, seen, contents, seed, step)
        if step == 2:
            bad.append(contents[0][0])  # the first one met is the bad one
            if any(picture == bad[0] for picture, _ in contents):
                value = value * float("nan")
        return value

    recipe = changed_recipe(loss_max_timestep=1000)
    with monkeypatch.context() as patch:
        patch.setattr(looks, "through", through)
        with pytest.raises(NonFiniteLoss) as raised:
            run(dataset, recipe, tiny_pack, tmp_path / "model")
    said = str(raised.value)
    names = [asset.source for asset in sorted(dataset.train, key=lambda a: (a.key, a.caption))]
    assert f"at step 2 for {names[bad[0]]} (variant" in said
    assert "detail" in said
    assert "checkpoint before it is kept" in said
    run(dataset, recipe, tiny_pack, tmp_path / "model")
    assert [line["step"] for line in training.loss_curves(tmp_path / "model")["detail"]] == [
        1, 2, 3, 4,
    ]  # fmt: skip


def train_in_little_memory(brand: Path, pack: Path, out: Path, said: Path) -> None:
    """Train with batches of 8,192 and 400 MiB more than what is in use; writes what is raised."""
    dataset = Dataset.load(brand)

    def listen(event: Event) -> None:
        # never reached: the first step does not fit
        if isinstance(event, Advanced) and event.task == "appearance":
            raise AssertionError
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 400 * 2**20, resource.RLIM_INFINITY))

    stage = {**tiny_recipe().stage[0].model_dump(), "batch_size": 8192}
    try:
        run(dataset, tiny_recipe(stage=[stage]), open_pack(pack), out, emit=listen)
    except OutOfMemory as error:
        said.write_text(str(error))


def test_a_batch_that_does_not_fit_says_what_to_lower(
    dataset: Dataset, tiny_pack_folder: Path, tmp_path: Path
) -> None:
    """A real allocation that fails in the first step becomes OutOfMemory with the fields' names."""
    said = tmp_path / "said.txt"
    arguments = (dataset.root, tiny_pack_folder, tmp_path / "model", said)
    child = get_context("spawn").Process(target=train_in_little_memory, args=arguments)
    child.start()
    child.join(600)
    assert "batch_size (now 8192)" in said.read_text()


def test_a_loss_whose_role_is_missing_is_refused_first(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """No identity encoder anywhere: loss, role and the pack that has it are named, before work."""
    blind = replace(tiny_pack, roles={}, fallback=None)
    with pytest.raises(PackError, match=r"'perceptual'.*role 'identity'.*'pocket' has it"):
        run(dataset, tiny_recipe(), blind, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_more_parts_than_pictures_are_refused() -> None:
    """gradient_accumulation above batch_size is a mistake, told with both."""
    with pytest.raises(RecipeError, match="gradient_accumulation = 3 cuts a batch of 2"):
        changed_recipe(gradient_accumulation=3)


def test_a_filtered_stage_smaller_than_its_batch_is_warned_of(
    dataset: Dataset, tiny_pack: Pack
) -> None:
    """What counts is what the stage's `only` leaves, not all training pictures."""
    tagged = [
        replace(a, tags=("pose:jumping",) if i == 0 else ()) for i, a in enumerate(dataset.train)
    ]
    few = replace(dataset, assets=(*tagged, *dataset.held_out))
    recipe = changed_recipe()
    recipe.stage[1] = recipe.stage[1].model_copy(update={"only": ["pose"]})
    heard: list[Event] = []
    plans = training.plan(few, recipe)
    check(few, recipe, tiny_pack, recipe.stage, plans, training.ALONE, heard.append)
    (said,) = [event.message for event in heard if isinstance(event, Warned)]
    assert "1 training picture in stage detail, but batches of 2" in said


def test_an_optimiser_that_is_not_installed_is_refused_before_any_work(
    dataset: Dataset, tiny_pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so by `onbrand train --plan`."""
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    recipe = tiny_recipe(optimizer="adamw8bit")
    plans = training.plan(dataset, recipe)
    with pytest.raises(RecipeError, match="bitsandbytes, which is not installed"):
        check(dataset, recipe, tiny_pack, recipe.stage, plans, training.ALONE, [].append)


def test_float16_on_a_card_is_not_warned_of(
    dataset: Dataset, tiny_pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it is what older cards do best."""
    monkeypatch.setenv("ONBRAND_DEVICE", "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    recipe = tiny_recipe(precision="float16")
    heard: list[Event] = []
    plans = training.plan(dataset, recipe)
    check(dataset, recipe, tiny_pack, recipe.stage, plans, training.ALONE, heard.append)
    assert heard == []


def test_the_small_bases_rate_on_a_large_base_is_warned_of(
    dataset: Dataset, tiny_pack_folder: Path, tmp_path: Path
) -> None:
    """Before training and by `new`, where the weights are many times the built-in ones; not at a
    rate that suits it."""
    root = tmp_path / "base"
    shutil.copytree(tiny_pack_folder, root)
    for file in (root / "unet").glob("*.safetensors"):
        os.truncate(file, 2 * 2**30)  # a hole: no disk is used, and nobody reads it here
    heard: list[Event] = []
    for rate in (1e-3, 1e-4):
        recipe = tiny_recipe(
            stage=[{"kind": "appearance", "num_steps": 2, "batch_size": 2, "learning_rate": rate}]
        )
        plans = training.plan(dataset, recipe)
        pack = open_pack(root)
        check(dataset, recipe, pack, recipe.stage, plans, training.ALONE, heard.append)
    (said,) = [event.message for event in heard if isinstance(event, Warned)]
    assert "learning_rate = 0.001 is meant for the built-in base" in said
    draw_picture(0, size_px=64).save(tmp_path / "one.png")
    for recipe_name, num in (("mascot", 1), ("large", 0)):
        told: list[Event] = []
        road.new(
            tmp_path / recipe_name, pictures=tmp_path / "one.png", base=str(root),
            recipe=recipe_name, emit=told.append,
        )  # fmt: skip
        rates = [e for e in told if isinstance(e, Warned) and "learning_rate" in e.message]
        assert len(rates) == num
