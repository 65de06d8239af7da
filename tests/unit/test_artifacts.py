"""Artifacts read back what was written, and say when a folder is something else."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brand_folder import draw_picture, tiny_brief, tiny_dataset, tiny_recipe
from PIL import Image

from onbrand.artifacts import (
    Arm,
    BrandModel,
    Dataset,
    Identity,
    IdentityPicture,
    Judgement,
    Metric,
    Picture,
    Pictures,
    Skip,
    StageResult,
)
from onbrand.artifacts.folder import not_finite_as_none
from onbrand.errors import ArtifactError, InputError
from onbrand.files import fingerprint_file
from onbrand.training.augment import Move, draw


def a_model(root: Path) -> BrandModel:
    stages = [
        StageResult(name, name, 10, 80, f"stages/0{i}-{name}", 1.5, {"identity": value}, None)
        for i, (name, value) in enumerate([("appearance", math.nan), ("detail", 0.8)], 1)
    ]
    return BrandModel(
        root=root,
        arm="onbrand",
        base="pocket",
        brief=tiny_brief(),
        recipe=tiny_recipe(),
        stages=stages,
        ship={"stage": "appearance", "reason": "it is the better one"},
        parents={"dataset": "0123"},
    )


def test_a_dataset_reads_back(tmp_path: Path) -> None:
    """Assets, skips, coverage and splits come back equal from the manifest."""
    dataset = replace(
        tiny_dataset(tmp_path), skipped=[Skip("a.png", "is empty")], coverage={"holes": ["x"]}
    )
    dataset.save()
    again = Dataset.load(tmp_path)
    assert again == dataset
    assert again.fingerprint == dataset.fingerprint
    assert len(again.train) == 5
    assert len(again.held_out) == 1


def test_a_cut_out_opens_on_white_and_gives_its_mask(tmp_path: Path) -> None:
    """open lays transparent pictures on white; alpha is their mask, None for opaque ones."""
    dataset = tiny_dataset(tmp_path)
    opaque, cut_out = dataset.assets[0], dataset.assets[1]
    picture, alpha = dataset.open(cut_out), dataset.alpha(cut_out)
    assert picture.mode == "RGB"
    assert alpha is not None
    assert alpha.shape == (40, 40)
    assert (alpha.min(), alpha.max()) == (0, 1)
    assert (np.asarray(picture)[alpha == 0] == 255).all()
    assert dataset.alpha(opaque) is None


@pytest.mark.parametrize("size", [(40, 40), (30, 60), (90, 50)])
@pytest.mark.parametrize("cut_out", [False, True])
def test_a_square_picture_is_what_training_sees(
    tmp_path: Path, size: tuple[int, int], cut_out: bool
) -> None:
    """To the bit, portrait, landscape or square, its border's colour or white around it; one that
    is square and of that size already is as it was."""
    dataset = tiny_dataset(tmp_path)
    asset = dataset.assets[int(cut_out)]
    draw_picture(3, size_px=90, cut_out=cut_out).crop((0, 0, *size)).save(dataset.path(asset))
    seen = draw(dataset.open(asset), dataset.alpha(asset), Move(), 40)
    square = np.asarray(dataset.open_square(asset, 40))
    np.testing.assert_array_equal(square, seen)
    if size == (40, 40):
        np.testing.assert_array_equal(square, dataset.open(asset))


def test_a_cut_out_stands_on_white_where_it_fills_its_picture(tmp_path: Path) -> None:
    """Its border is the subject's; the square's is not."""
    dataset = tiny_dataset(tmp_path)
    asset = next(asset for asset in dataset.assets if asset.has_alpha)
    picture = Image.new("RGBA", (20, 40), (235, 120, 40, 255))
    picture.putpixel((0, 0), (0, 0, 0, 0))
    picture.save(dataset.path(asset))
    assert dataset.open_square(asset, 40).getpixel((2, 20)) == (255, 255, 255)
    assert dataset.open_square(asset, 40).getpixel((20, 20)) == (235, 120, 40)


def test_the_fingerprint_follows_content_only(tmp_path: Path) -> None:
    """A caption or a split changes the fingerprint; a name or the order does not."""
    dataset = tiny_dataset(tmp_path)
    first, *rest = dataset.assets
    same = replace(dataset, assets=[*rest, replace(first, source="renamed.png")])
    assert same.fingerprint == dataset.fingerprint
    for change in ({"caption": "other"}, {"split": "held_out"}, {"key": "f" * 16}):
        other = replace(dataset, assets=[replace(first, **change), *rest])
        assert other.fingerprint != dataset.fingerprint


def test_a_lost_picture_says_what_to_do(tmp_path: Path) -> None:
    """A picture that is gone or damaged is an ArtifactError that says: train again."""
    dataset = tiny_dataset(tmp_path)
    asset = dataset.assets[0]
    dataset.path(asset).write_bytes(dataset.path(asset).read_bytes()[:60])
    with pytest.raises(ArtifactError, match="onbrand train again"):
        dataset.open(asset)
    dataset.path(asset).unlink()
    with pytest.raises(ArtifactError, match="onbrand train again"):
        dataset.open(asset)


def test_a_brand_model_reads_back(tmp_path: Path) -> None:
    """Brief, recipe, stages and choice come back; a figure that is NaN stays NaN."""
    model = a_model(tmp_path)
    model.save()
    again = BrandModel.load(tmp_path)
    assert (again.brief, again.recipe, again.ship) == (model.brief, model.recipe, model.ship)
    assert again.parents == model.parents
    assert again.stages[1] == model.stages[1]
    assert math.isnan(again.stages[0].metrics["identity"])
    json.loads((tmp_path / "manifest.json").read_text(), parse_constant=pytest.fail)


def test_weights_that_are_gone_or_others_are_told(tmp_path: Path) -> None:
    """By their paths; what training wrote is none of them."""
    folder = tmp_path / "stages" / "01-one"
    folder.mkdir(parents=True)
    for name in ("kept", "other", "gone"):
        (folder / name).write_text(name)
    files = {name: fingerprint_file(folder / name) for name in ("kept", "other", "gone")}
    result = StageResult("one", "detail", 1, 1, "stages/01-one", 1.0, files=files)
    assert result.changed_files(tmp_path) == []
    (folder / "other").write_text("changed")
    (folder / "gone").unlink()
    assert result.changed_files(tmp_path) == [folder / "other", folder / "gone"]


def test_checkpoints_by_name_choice_or_last(tmp_path: Path) -> None:
    """None is the stage to ship; a typo is refused with the nearest stage."""
    model = a_model(tmp_path)
    assert model.checkpoint(None) == tmp_path / "stages/01-appearance"
    assert model.checkpoint("detail") == tmp_path / "stages/02-detail"
    assert replace(model, ship={}).checkpoint() == tmp_path / "stages/02-detail"
    with pytest.raises(InputError, match="did you mean 'detail'"):
        model.checkpoint("detial")
    with pytest.raises(ArtifactError, match="train"):
        replace(model, stages=[]).checkpoint()


def test_pictures_read_back(tmp_path: Path) -> None:
    """Items and parents come back, and every picture opens."""
    Image.new("RGB", (8, 8), "red").save(tmp_path / "000.png")
    shots = Pictures(tmp_path, (Picture("000.png", "kuro waving", 7, 20, 4.0),), {"base": "pocket"})
    shots.save()
    again = Pictures.load(tmp_path)
    assert again == shots
    assert len(again) == 1
    assert again.open(0).getpixel((0, 0)) == (255, 0, 0)
    (tmp_path / "000.png").unlink()
    with pytest.raises(ArtifactError, match="gone or damaged"):
        again.open(0)


def test_an_identity_reads_back(tmp_path: Path) -> None:
    """Vectors, parts by their names, and the pictures in their order."""
    rows = np.eye(3, dtype=np.float32)
    pictures = (IdentityPicture("ab", "a.png", 0.5), IdentityPicture("cd", "b.png", None))
    kuro = Identity(tmp_path, "kuro", "pocket", "0123", pictures, rows[0], rows[:2],
                    {"ears": rows[1], "eyes": rows[2]}, "a fox")  # fmt: skip
    kuro.save()
    again = Identity.load(tmp_path)
    assert (again.name, again.base, again.encoder) == ("kuro", "pocket", "0123")
    assert (again.description, again.pictures) == ("a fox", pictures)
    assert list(again.parts) == ["ears", "eyes"]
    np.testing.assert_array_equal(again.parts["eyes"], rows[2])
    np.testing.assert_array_equal(again.who, rows[0])
    np.testing.assert_array_equal(again.each, rows[:2])


def test_a_judgement_reads_back(tmp_path: Path) -> None:
    """report.json has the documented form, and reads back; NaN is null in it."""
    metrics = {
        "identity": Metric(0.9, (0.85, 0.95), 0.8, True),
        "identity_error": Metric(math.nan, better="lower"),
    }
    judgement = Judgement(
        stages=[Arm("detail", 150, metrics, ["good"])],
        baselines={"prompt_only": Arm("prompt_only", 0, {"identity": Metric(0.4)}, [])},
        ship={"stage": "detail", "reason": "it wins"},
    )
    judgement.save(tmp_path)
    told = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert told["stages"][0]["metrics"]["identity"] == {
        "value": 0.9,
        "interval": [0.85, 0.95],
        "bar": 0.8,
        "holds": True,
        "better": "higher",
    }
    again = Judgement.load(tmp_path)
    assert again.stages[0].metrics["identity"] == metrics["identity"]
    assert math.isnan(again.stages[0].metrics["identity_error"].value)
    assert again.baselines == judgement.baselines


def test_metrics_take_numpy_numbers(tmp_path: Path) -> None:
    """Figures straight from numpy can be saved."""
    value = np.float32(0.5)
    metric = Metric(value, (value, value), None, np.bool_(True))
    assert Judgement([Arm("a", np.int64(3), {"x": metric})]).save(tmp_path).is_file()


def test_json_has_no_nan_however_deep() -> None:
    """In tables, lists and tuples."""
    told = not_finite_as_none({"a": (math.nan, 1.0), "b": [{"c": math.inf}], "d": "nan"})
    assert told == {"a": [None, 1.0], "b": [{"c": None}], "d": "nan"}


def test_a_folder_that_is_something_else_is_told(tmp_path: Path) -> None:
    """No manifest, another kind, another version, damaged: four different sentences."""
    with pytest.raises(ArtifactError, match=r"is no dataset: it has no manifest"):
        Dataset.load(tmp_path)
    a_model(tmp_path).save()
    with pytest.raises(ArtifactError, match="of the kind brand_model, but dataset was asked"):
        Dataset.load(tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_text('{"kind": "dataset", "version": 99}')
    with pytest.raises(ArtifactError, match="version 99"):
        Dataset.load(tmp_path)
    manifest.write_text('{"kind": "dataset", "version": 1, "assets": [{}]}')
    with pytest.raises(ArtifactError, match="damaged"):
        Dataset.load(tmp_path)
    manifest.write_text('{"kind": ')
    with pytest.raises(ArtifactError, match="cannot be read"):
        Dataset.load(tmp_path)
    (tmp_path / "report.json").write_text("[1]")
    with pytest.raises(ArtifactError, match="no report"):
        Judgement.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"coverage": "abc"},
        {"assets": {}},
        {"skipped": ["a.png"]},
        {"assets": None},
    ],
)
def test_a_damaged_dataset_is_told(tmp_path: Path, change: dict[str, Any]) -> None:
    """Fields of another kind, an empty table for the empty list included."""
    dataset = tiny_dataset(tmp_path)
    dataset.save()
    spoil(tmp_path / "manifest.json", change)
    with pytest.raises(ArtifactError, match="damaged dataset"):
        Dataset.load(tmp_path)


@pytest.mark.parametrize("metrics", [None, "x", {"identity": "x"}])
def test_a_damaged_brand_model_is_told(tmp_path: Path, metrics: object) -> None:
    """A stage's figures that are none."""
    a_model(tmp_path).save()
    manifest = tmp_path / "manifest.json"
    stages = json.loads(manifest.read_text())["stages"]
    spoil(manifest, {"stages": [{**stages[0], "metrics": metrics}]})
    with pytest.raises(ArtifactError, match="damaged brand model"):
        BrandModel.load(tmp_path)


def test_damaged_pictures_and_reports_are_told(tmp_path: Path) -> None:
    """Items as a table, an interval of one end, and nesting without end."""
    Pictures(tmp_path, ()).save()
    spoil(tmp_path / "manifest.json", {"items": {}})
    with pytest.raises(ArtifactError, match="damaged set of pictures"):
        Pictures.load(tmp_path)
    metric = {"value": 1, "interval": [1], "better": "higher"}
    arm = {"name": "a", "steps": 1, "metrics": {"x": metric}, "diagnosis": []}
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"stages": [arm], "baselines": {}, "ship": {}}))
    with pytest.raises(ArtifactError, match="no report"):
        Judgement.load(report)
    report.write_text("[" * 100_000)
    with pytest.raises(ArtifactError, match="nested too deep"):
        Judgement.load(report)


def spoil(manifest: Path, change: dict[str, Any]) -> None:
    """Write these fields over the manifest's."""
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))


def test_an_interval_without_an_end_reads_back() -> None:
    """NaN is null in the file, in an interval too; bar, verdict and direction come back."""
    again = Metric.from_dict(Metric(0.5, (math.nan, 1.0), 0.8, False, "lower").to_dict())
    assert again.interval is not None
    assert math.isnan(again.interval[0])
    assert (again.interval[1], again.bar, again.holds, again.better) == (1.0, 0.8, False, "lower")
