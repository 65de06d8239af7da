"""The whole of training on a tiny pack: stages, checkpoints, figures, gates, resuming, errors."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from brand_folder import tiny_brief, tiny_dataset, tiny_recipe
from PIL import Image
from safetensors.torch import load_file

from onbrand import training
from onbrand.artifacts.brand_model import BrandModel
from onbrand.artifacts.dataset import Dataset
from onbrand.errors import DatasetError, NonFiniteLoss, RecipeError
from onbrand.events import Advanced, Event, Noted, Warned
from onbrand.generation import sample
from onbrand.models.packs import Pack
from onbrand.recipe import Recipe

LORA = "pytorch_lora_weights.safetensors"


def brightness(pictures: Sequence[Image.Image], texts: Sequence[str], /) -> dict[str, float]:
    """Figures that need no encoder: a scorer is any function of pictures and their texts."""
    assert all("kuro" not in text for text in texts)
    grey = [float(np.asarray(p.convert("L")).mean()) / 255 for p in pictures]
    return {"identity": grey[0], "alignment": sum(grey) / len(grey), "diversity": float("nan")}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return tiny_dataset(tmp_path_factory.mktemp("brand"))


@pytest.fixture(scope="module")
def trained(
    dataset: Dataset, tiny_pack: Pack, tmp_path_factory: pytest.TempPathFactory
) -> BrandModel:
    """One uninterrupted run of the tiny recipe, that other runs are compared with."""
    return run(dataset, tiny_recipe(), tiny_pack, tmp_path_factory.mktemp("run") / "model")


def run(dataset: Dataset, recipe: Recipe, pack: Pack, out: Path, **more: object) -> BrandModel:
    return training.train(
        dataset, tiny_brief(), recipe, pack, out, sample=sample, score=brightness, **more
    )


def weights(root: Path, stage: str) -> bytes:
    (folder,) = (root / "stages").glob(f"[0-9][0-9]-{stage}")
    return (folder / LORA).read_bytes()


def test_stages_run_in_order_and_each_leaves_its_work(trained: BrandModel, tiny_pack: Pack) -> None:
    """Two stages, each with both LoRA forms, a log, pictures and finite figures; the last ships."""
    assert [s.name for s in trained.stages] == ["appearance", "detail"]
    assert trained.ship["stage"] == "detail"
    assert trained.ship["reason"]
    for stage in trained.stages:
        folder = trained.root / stage.folder
        assert (folder / LORA).exists()
        assert (folder / "kohya.safetensors").exists()
        figures = {"identity", "alignment", "validation_loss"}
        assert set(stage.metrics) == figures, "a NaN figure is left out"
        told = json.loads((folder / "load_test.json").read_text())["largest_difference"]
        assert set(told) == {LORA, "kohya.safetensors"}
        assert max(told.values()) < 1e-4
    sheets = {p.name for p in (trained.root / "previews").glob("*.png")}
    assert sheets == {"00-base.png", "01-appearance.png", "02-detail.png"}
    moved = load_file(trained.checkpoint("detail") / LORA)
    assert any(float(t.abs().max()) > 0 for k, t in moved.items() if "lora_B" in k)


def test_the_manifest_tells_the_whole_run(trained: BrandModel) -> None:
    """What is loaded again equals what train returned."""
    loaded = BrandModel.load(trained.root)
    assert loaded.stages == trained.stages
    assert loaded.ship == trained.ship
    assert loaded.parents == trained.parents


def test_pictures_seen_are_planned_and_logged(dataset: Dataset, trained: BrandModel) -> None:
    """The plan counts prior pictures, the stages report the same, the log has a line a step."""
    plans = training.plan(dataset, tiny_recipe())
    assert [p.num_pictures_seen for p in plans] == [6 * 2, 4 * (2 + 2)]
    assert [s.num_pictures_seen for s in trained.stages] == [12, 16]
    curves = training.loss_curves(trained.root)
    assert [line["step"] for line in curves["appearance"]] == [1, 2, 3, 4, 5, 6]
    assert {"loss", "learning_rate", "prior", "perceptual", "identity"} <= set(curves["detail"][0])
    assert curves["appearance"][-1]["pictures_per_second"] > 0


PACK = "a7ac58553f664c3e"  # of the tiny pack; another one has other losses
LOSSES = {
    "appearance": [0.2747411, 0.2899954, 0.2542627, 0.1334769, 0.2698264, 0.3534606],
    "detail": [0.2005194, 0.5089320, 0.3669337, 0.2288883],
}
TOLERANCE = 1e-5


def test_the_loss_trajectory_is_the_stored_one(trained: BrandModel, tiny_pack: Pack) -> None:
    """Six steps of appearance and four of detail, to 1e-5 of the stored losses."""
    assert tiny_pack.fingerprint == PACK, "tests/tiny.py changed: store the new losses"
    curves = training.loss_curves(trained.root)
    for stage, losses in LOSSES.items():
        assert [line["loss"] for line in curves[stage]] == pytest.approx(losses, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("stage", "field", "value"),
    [
        (0, "learning_rate", 1.1e-2),
        (0, "min_snr_gamma", 4.5),
        (0, "warmup_steps", 2),
        (1, "learning_rate", 1.1e-2),
        (1, "loss_max_timestep", 500),
        (1, "losses", {"perceptual": 0.11, "identity": 0.1, "prior": 1.0}),
        (1, "losses", {"perceptual": 0.1, "identity": 0.11, "prior": 1.0}),
    ],
)
def test_the_trajectory_would_show_a_change(
    stage: int,
    field: str,
    value: object,
    dataset: Dataset,
    trained: BrandModel,
    tiny_pack: Pack,
    tmp_path: Path,
) -> None:
    """A tenth more of any setting moves the losses by more than the tolerance."""
    recipe = tiny_recipe().model_dump()
    recipe["stage"][stage][field] = value
    shutil.copytree(trained.root, tmp_path / "model")
    run(dataset, Recipe.model_validate(recipe), tiny_pack, tmp_path / "model")
    name = ["appearance", "detail"][stage]
    ours = [line["loss"] for line in training.loss_curves(tmp_path / "model")[name]]
    theirs = [line["loss"] for line in training.loss_curves(trained.root)[name]]
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) > 2 * TOLERANCE


def test_a_finished_run_called_again_does_nothing(
    dataset: Dataset, trained: BrandModel, tiny_pack: Pack
) -> None:
    """No step is trained twice; the kept stages are named."""
    before = weights(trained.root, "detail")
    events: list[Event] = []
    again = run(dataset, tiny_recipe(), tiny_pack, trained.root, emit=events.append)
    assert not [e for e in events if isinstance(e, Advanced)]
    assert [e.message for e in events if isinstance(e, Noted)] == [
        "already trained, kept: appearance, detail"
    ]
    assert again.stages == trained.stages
    assert weights(trained.root, "detail") == before


def test_an_interrupted_run_goes_on_to_the_same_weights(
    dataset: Dataset, trained: BrandModel, tiny_pack: Pack, tmp_path: Path
) -> None:
    """Ctrl-C saves and raises; the next call ends at the very same bytes."""

    def press(event: Event) -> None:
        if isinstance(event, Advanced) and (event.task, event.done) == ("detail", 2):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(dataset, tiny_recipe(), tiny_pack, tmp_path / "model", emit=press)
    assert not (tmp_path / "model" / "stages" / "02-detail" / LORA).exists()
    resumed = run(dataset, tiny_recipe(), tiny_pack, tmp_path / "model")
    for stage in ("appearance", "detail"):
        assert weights(resumed.root, stage) == weights(trained.root, stage)
    log = training.loss_curves(resumed.root)["detail"]
    assert [line["step"] for line in log] == [1, 2, 3, 4]


def test_stop_after_ends_between_stages(
    dataset: Dataset, trained: BrandModel, tiny_pack: Pack, tmp_path: Path
) -> None:
    """A run stopped after appearance ships it for now, and goes on to the same detail later."""
    early = run(dataset, tiny_recipe(), tiny_pack, tmp_path / "model", stop_after="appearance")
    assert [s.name for s in early.stages] == ["appearance"]
    assert early.ship["stage"] == "appearance"
    run(dataset, tiny_recipe(), tiny_pack, tmp_path / "model")
    assert weights(tmp_path / "model", "detail") == weights(trained.root, "detail")
    with pytest.raises(RecipeError, match="expression"):
        run(dataset, tiny_recipe(), tiny_pack, tmp_path / "model", stop_after="expression")


def test_a_missed_gate_ends_the_run_and_keeps_the_last_good_stage(
    dataset: Dataset, trained: BrandModel, tiny_pack: Pack, tmp_path: Path
) -> None:
    """detail misses its gate: appearance is the one to ship, detail's work stays; a gate that is
    then lowered is judged again without training."""
    gates = [{"after": "detail", "metric": "identity", "at_least": 2.0}]
    warned: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Warned):
            warned.append(event.message)

    model = run(dataset, tiny_recipe(gate=gates), tiny_pack, tmp_path / "model", emit=listen)
    assert model.ship["stage"] == "appearance"
    assert "last good stage" in model.ship["reason"]
    failed = training.failed_gate(model)
    assert failed is not None
    assert "< 2" in failed
    assert any("failed" in message for message in warned)
    assert weights(model.root, "detail") == weights(trained.root, "detail")

    events: list[Event] = []
    lowered = [{"after": "detail", "metric": "identity", "at_least": 0.0}]
    model = run(
        dataset, tiny_recipe(gate=lowered), tiny_pack, tmp_path / "model", emit=events.append
    )
    assert not [e for e in events if isinstance(e, Advanced)]
    assert model.ship["stage"] == "detail"
    assert training.failed_gate(model) is None


def test_a_first_stage_that_misses_its_gate_stops_the_second(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """detail never begins, and the reason says that nothing passed."""
    gates = [{"after": "appearance", "metric": "identity", "at_least": 2.0}]
    model = run(dataset, tiny_recipe(gate=gates), tiny_pack, tmp_path / "model")
    assert [s.name for s in model.stages] == ["appearance"]
    assert "No stage passed" in model.ship["reason"]
    assert not (tmp_path / "model" / "stages" / "02-detail").exists()


def test_a_changed_stage_keeps_the_stages_before_it(
    dataset: Dataset, trained: BrandModel, tiny_pack: Pack, tmp_path: Path
) -> None:
    """Editing detail's learning rate retrains detail only, and the old one is kept aside."""
    root = tmp_path / "model"
    run(dataset, tiny_recipe(), tiny_pack, root)
    recipe = tiny_recipe().model_dump()
    recipe["stage"][1]["learning_rate"] = 5e-4
    events: list[Event] = []
    run(dataset, Recipe.model_validate(recipe), tiny_pack, root, emit=events.append)
    assert {e.task for e in events if isinstance(e, Advanced)} == {"detail"}
    assert any("stage detail" in e.message for e in events if isinstance(e, Warned))
    assert weights(root, "appearance") == weights(trained.root, "appearance")
    assert weights(root, "detail") != weights(trained.root, "detail")
    kept = root / "previous" / "stages" / "02-detail" / LORA
    assert kept.read_bytes() == weights(trained.root, "detail")


def test_changed_pictures_start_anew_and_never_mix(
    dataset: Dataset, trained: BrandModel, tiny_pack: Pack, tmp_path: Path
) -> None:
    """Other pictures in a killed run's folder: the result is that of a fresh folder."""
    root = tmp_path / "model"
    run(dataset, tiny_recipe(), tiny_pack, root, stop_after="appearance")
    other = tiny_dataset(tmp_path / "other", first=50)
    warned: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Warned):
            warned.append(event.message)

    run(other, tiny_recipe(), tiny_pack, root, emit=listen, stop_after="appearance")
    run(other, tiny_recipe(), tiny_pack, tmp_path / "fresh", stop_after="appearance")
    assert any("dataset" in message and "anew" in message for message in warned)
    assert weights(root, "appearance") == weights(tmp_path / "fresh", "appearance")
    old = root / "previous" / "stages" / "01-appearance" / LORA
    assert old.read_bytes() == weights(trained.root, "appearance")


def test_the_baseline_sees_as_many_pictures_as_the_recipe(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """dreambooth_lora: one stage, half of its pictures class pictures, constant learning rate."""
    (plan,) = training.plan(dataset, tiny_recipe(), "dreambooth_lora")
    assert plan.num_prior == plan.batch_size
    assert plan.num_pictures_seen == 6 * 2 + 4 * (2 + 2)
    model = run(dataset, tiny_recipe(), tiny_pack, tmp_path / "model", arm="dreambooth_lora")
    assert [s.name for s in model.stages] == ["dreambooth_lora"]
    log = training.loss_curves(model.root)["dreambooth_lora"]
    assert {line["learning_rate"] for line in log} == {tiny_recipe().stage[0].learning_rate * 2}
    assert all(
        line["loss"] == pytest.approx(line["reconstruction"] + line["prior"], abs=1e-6)
        for line in log
    )
    other = run(
        dataset,
        tiny_recipe(),
        tiny_pack,
        tmp_path / "model",
        arm="dreambooth_lora",
        learning_rate=1e-3,
    )
    log = training.loss_curves(other.root)["dreambooth_lora"]
    assert {line["learning_rate"] for line in log} == {1e-3}


def test_a_base_that_predicts_noise_trains_too(
    dataset: Dataset, tiny_hub_base: Path, tiny_pack: Pack, tmp_path: Path
) -> None:
    """A plain diffusers folder with noise prediction runs appearance on the same code."""
    from onbrand.models.packs import open_pack

    recipe = tiny_recipe(stage=[tiny_recipe().stage[0].model_dump()])
    model = run(dataset, recipe, open_pack(tiny_hub_base), tmp_path / "model")
    losses = [line["loss"] for line in training.loss_curves(model.root)["appearance"]]
    assert all(0 < loss < 10 for loss in losses)


def test_half_precision_trains_alike_but_not_the_same(
    dataset: Dataset, trained: BrandModel, tiny_pack: Pack, tmp_path: Path
) -> None:
    """bfloat16 follows float32's losses to three digits; the adapter it leaves is float32."""
    model = run(dataset, tiny_recipe(precision="bfloat16"), tiny_pack, tmp_path / "model")
    ours = [line["loss"] for line in training.loss_curves(model.root)["appearance"]]
    assert ours == pytest.approx(LOSSES["appearance"], rel=0.03)
    assert ours != pytest.approx(LOSSES["appearance"], abs=TOLERANCE)
    kept = load_file(model.checkpoint("appearance") / LORA)
    assert {tensor.dtype for tensor in kept.values()} == {torch.float32}


def test_dropout_and_the_text_encoder_resume_alike(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """With LoRA dropout and a trained text encoder a resumed run still ends at the same bytes."""
    recipe = tiny_recipe(
        lora={"rank": 2, "alpha": 2, "dropout": 0.3, "text_encoder": True},
        stage=[tiny_recipe().stage[0].model_dump()],
    )

    def press(event: Event) -> None:
        if isinstance(event, Advanced) and (event.task, event.done) == ("appearance", 3):
            torch.manual_seed(999)
            signal.raise_signal(signal.SIGINT)

    whole = run(dataset, recipe, tiny_pack, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(dataset, recipe, tiny_pack, tmp_path / "cut", emit=press)
    run(dataset, recipe, tiny_pack, tmp_path / "cut")
    assert weights(tmp_path / "cut", "appearance") == weights(whole.root, "appearance")
    assert any(key.startswith("text_encoder") for key in load_file(whole.checkpoint(None) / LORA))


def test_a_diverging_run_names_the_pictures_and_keeps_its_checkpoint(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """An adapter so strong that it overflows: NonFiniteLoss, and the checkpoint before is sound."""
    stage = {**tiny_recipe().stage[0].model_dump(), "learning_rate": 1.0}
    recipe = tiny_recipe(lora={"rank": 2, "alpha": 1e19}, stage=[stage])
    with pytest.raises(NonFiniteLoss, match=r"appearance.*step \d+.*learning_rate"):
        run(dataset, recipe, tiny_pack, tmp_path / "model")
    kept = load_file(tmp_path / "model" / "stages" / "01-appearance" / "resume.safetensors")
    assert kept
    assert all(bool(torch.isfinite(tensor).all()) for tensor in kept.values())


def test_a_small_dataset_repeats_pictures_and_warns(tiny_pack: Pack, tmp_path: Path) -> None:
    """One picture and batches of two: a warning, not an error; no pictures at all: an error."""
    recipe = tiny_recipe(stage=[tiny_recipe().stage[0].model_dump()])
    warned: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Warned):
            warned.append(event.message)

    one = tiny_dataset(tmp_path / "one", num=1)
    run(one, recipe, tiny_pack, tmp_path / "model", emit=listen)
    assert any("repeat within a batch" in message for message in warned)
    none = tiny_dataset(tmp_path / "none", num=0)
    with pytest.raises(DatasetError, match="no training picture"):
        run(none, recipe, tiny_pack, tmp_path / "other")
    assert not (tmp_path / "other").exists()
