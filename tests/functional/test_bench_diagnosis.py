"""The diagnosis bench on a tiny pack of real classes: planted faults, real failures, resumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from onbrand.bench import render_section, run_diagnosis, table
from onbrand.bench.characters import draw_brand
from onbrand.bench.diagnosis import CALIBRATION_IDS, EYES, failures
from onbrand.bench.diagnosis.plant import FAULTY
from onbrand.bench.record import Result
from onbrand.events import Advanced, Event
from onbrand.models.packs import Pack
from onbrand.recipe import Recipe


def test_planted_faults_are_measured_character_by_character(
    tiny_pack: Pack, tmp_path: Path
) -> None:
    """Stopped after a character, the bench goes on behind it; both kinds of eyes have all figures,
    and the limits come from a character that is not graded."""

    def stop(event: Event) -> None:
        if isinstance(event, Advanced) and event.task == "diagnosis":
            raise KeyboardInterrupt

    settings = {"base": str(tiny_pack.root), "quick": True, "work": tmp_path / "work"}
    with pytest.raises(KeyboardInterrupt):
        run_diagnosis(**settings, emit=stop)
    (kept,) = (tmp_path / "work").rglob("character-*.json")
    first = kept.read_bytes()
    found = run_diagnosis(**settings, json_path=tmp_path / "diagnosis.json")
    assert kept.read_bytes() == first
    records = {p.stem for p in (tmp_path / "work").rglob("character-*.json")}
    assert records == {"character-000", "character-001", f"character-{CALIBRATION_IDS[0]}"}
    wanted = {f"auc_{fault}" for fault in FAULTY} | {f"named_{fault}_fraction" for fault in FAULTY}
    for told in (found["metrics"], found["baselines"]["gates"]):
        assert wanted <= set(told)
    assert found["metrics"]["auc_memorised"]["value"] > 0.9, "copies need no trained eyes"
    assert found["metrics"]["auc_oily"]["value"] > 0.9, "nor does blur"
    assert set(found["limits"]) == set(EYES)
    assert "memorised" not in found["limits"]["training"], "a definition, not a measurement"
    assert 0 <= found["metrics"]["base_accused_fraction"]["value"] <= 1
    assert json.loads((tmp_path / "diagnosis.json").read_text("utf-8")) == found
    console = Console(width=160, record=True, file=None, quiet=True)
    with console.capture() as capture:
        console.quiet = False
        console.print(table(found))
    assert "AUC, oily look" in capture.get()
    assert "Gates' eyes" in render_section(found)
    with pytest.raises(KeyboardInterrupt):
        run_diagnosis(**{**settings, "quick": False}, num_sets=1, emit=stop)
    assert len(list((tmp_path / "work").rglob("character-000.json"))) == 2, "no quick run's record"


def test_real_failures_differ_in_what_they_say_and_are_kept(
    tiny_pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five runs of a character, each changed as named, trained and compared once."""
    short = {**failures.SETTINGS, "num_train": 3, "num_held_out": 3, "num_prompts": 2,
             "num_steps": 2, "batch_size": 2, "num_sampling_steps": 2}  # fmt: skip
    monkeypatch.setattr(failures, "SETTINGS", short)
    settings = {"base": str(tiny_pack.root), "pack": tiny_pack, "folder": tmp_path, "seed": 7}
    told: Result = failures.failures_of(12, **settings)
    assert set(told) == {"plain", "steps_x5", "rate_x4", "rate_x16", "one_pose"}
    for run in told.values():
        assert {"shapes", "pose", "memorised", "drift"} <= set(run["excesses"])
        assert "validation_loss" in run["gates"]
    recipes = {
        run: Recipe.load(tmp_path / "failures" / "012" / run / "recipe.toml") for run in told
    }
    assert recipes["steps_x5"].stage[0].num_steps == 5 * recipes["plain"].stage[0].num_steps
    assert recipes["rate_x4"].stage[0].learning_rate == pytest.approx(
        4 * recipes["plain"].stage[0].learning_rate
    )
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("resume.safetensors")}
    assert failures.failures_of(12, **settings) == told
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("resume.safetensors")} == kept


def test_a_brand_of_one_pose_keeps_its_prompts(tmp_path: Path) -> None:
    """Every caption says the pose, and what is asked of the model stays as it was."""
    for name, pose in (("all", None), ("one", "waving")):
        draw_brand(
            12, tmp_path / name, num_train=4, num_held_out=2, num_prompts=3, size_px=32, seed=7,
            pose=pose,
        )  # fmt: skip
    captions = [p.read_text("utf-8") for p in (tmp_path / "one" / "pictures").glob("*.txt")]
    assert all("waving" in caption for caption in captions)
    both = [(tmp_path / name / "expected.json").read_bytes() for name in ("all", "one")]
    assert both[0] == both[1]
