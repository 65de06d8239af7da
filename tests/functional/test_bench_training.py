"""bench training on a tiny pack: real kills of the real command, real steps of both loops."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from onbrand.bench import run_training
from onbrand.bench.training import with_stored
from onbrand.bench.training.kills import BETWEEN, STAGES, Moment, kill, moments, outcome
from onbrand.errors import InputError
from onbrand.files import write_json_atomic
from onbrand.models import open_pack


def test_moments_are_seeded_and_meet_every_place() -> None:
    """Twenty runs: the same for a seed, every place between steps once, five killed twice."""
    runs = moments(20, 7)
    assert runs == moments(20, 7) != moments(20, 8)
    first = [run[0].mark for run in runs]
    assert set(BETWEEN) <= set(first)
    assert len(set(first)) == 20
    assert sum(len(run) == 2 for run in runs) == 5
    assert any(mark.startswith("02-detail step") for mark in first)
    assert sum(STAGES.values()) == 20


def test_a_moment_comes_when_the_folder_shows_it(tmp_path: Path) -> None:
    """A step is a whole line of the log; a file that came and went is told by the stage's end."""
    stage = tmp_path / "stages" / "01-appearance"
    stage.mkdir(parents=True)
    step, write = Moment("01-appearance step 2", 0.0), Moment(f"{BETWEEN[2]}", 0.0)
    assert write.mark.endswith("01-appearance/resume.tmp")
    (stage / "log.jsonl").write_text('{"step": 1}\n{"st')
    assert not step.has_come(tmp_path)
    assert not write.has_come(tmp_path)
    (stage / "log.jsonl").write_text('{"step": 1}\n{"step": 2}\n')
    (stage / "kohya.safetensors").touch()
    assert step.has_come(tmp_path)
    assert write.has_come(tmp_path)


def test_a_killed_command_ends_the_same(tiny_pack_folder: Path, tmp_path: Path) -> None:
    """`onbrand train`, killed by SIGKILL and called again: identical to the unbroken run; a
    second call of the bench runs nothing anew; one other number is another outcome."""
    from onbrand.bench.training import kills

    found = kills.measure_kills(tmp_path, base=str(tiny_pack_folder), num=1, seed=7)
    assert found["killed_runs_identical_fraction"]["value"] == 1.0
    assert found["kills_at_work_fraction"]["value"] == 1.0
    rows = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.json")}
    again = kills.measure_kills(tmp_path, base=str(tiny_pack_folder), num=1, seed=7)
    assert again == found
    assert rows == {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.json")}
    model = tmp_path / "model"
    (model / "stages" / "01-a").mkdir(parents=True)
    write_json_atomic(model / "manifest.json", {"stages": [], "ship": {}})
    weights = next(Path(tiny_pack_folder).rglob("*.safetensors"))
    tensors = load_file(weights)
    save_file(tensors, model / "stages" / "01-a" / "resume.safetensors")
    before = outcome(model)
    name = min(tensors)
    save_file(
        {**tensors, name: tensors[name] + 1}, model / "stages" / "01-a" / "resume.safetensors"
    )
    assert outcome(model) != before


def test_a_process_that_still_loads_is_not_at_work(tmp_path: Path) -> None:
    """A step that an earlier, killed run logged is no moment: this one ends by itself, at once."""
    stage = tmp_path / "model" / "stages" / "02-detail"
    stage.mkdir(parents=True)
    (stage / "log.jsonl").write_text("{}\n" * 8)
    assert not kill(tmp_path, Moment("02-detail step 4", 0.0))
    assert "brief.toml" in (tmp_path / "said.txt").read_text("utf-8")


def test_speed_is_measured_side_by_side(tiny_pack_folder: Path, tmp_path: Path) -> None:
    """Ratios with intervals and bars; the profiles name the phases, and their shares add up."""
    json = tmp_path / "training.json"
    pack = open_pack(tiny_pack_folder)
    facts = {"name": pack.name, "fingerprint": pack.fingerprint, "revision": pack.revision}
    old = {"name": "training", "metrics": {"old": {"value": 1.0}}, "baselines": {}, "commit": "abc"}
    machine = {"processor": "a slow one"}
    write_json_atomic(json, {**old, "pack": facts, "seed": 7, "quick": True, "machine": machine})
    found = run_training(
        base=str(tiny_pack_folder), quick=True, work=tmp_path, parts=["speed"], json_path=json
    )
    for name, bar in (
        ("example_loop_ratio", 1.3),
        ("cached_loop_ratio", 1.0),
        ("detail_per_picture_ratio", 1.6),
        ("expression_per_picture_ratio", 1.6),
    ):
        told = found["metrics"][name]
        assert told["bar"] == bar
        low, high = told["interval"]
        assert 0 < low <= told["value"] <= high
    assert found["metrics"]["example_loop_ratio"] != found["metrics"]["cached_loop_ratio"]
    for shares in found["profiles"].values():
        assert sum(shares.values()) == pytest.approx(1.0, abs=0.01)
        assert {"network forward", "backward", "draw", "optimiser"} <= set(shares)
    assert {"decoder forward", "eyes forward"} <= set(found["profiles"]["detail"])
    assert found["measured_at"] == {"old": "abc"}
    assert found["measured_on"] == {"old": "a slow one"}


def test_stored_figures_keep_the_commit_and_the_machine_that_measured_them() -> None:
    """A part measured earlier stays, through several runs; one measured now is now's. Of another
    pack nothing stays, nor of a quick run."""
    facts = {"pack": {"fingerprint": "1"}, "seed": 7, "quick": False}
    slow, quick = ({"machine": {"processor": name}} for name in ("slow", "quick"))
    first = {**facts, **slow, "commit": "a", "metrics": {"kills": 1}}
    second = with_stored({**facts, **quick, "commit": "b", "metrics": {"speed": 2}}, first)
    third = with_stored({**facts, **quick, "commit": "c", "metrics": {"speed": 3}}, second)
    assert third["metrics"] == {"kills": 1, "speed": 3}
    assert third["measured_at"] == {"kills": "a"}
    assert third["measured_on"] == {"kills": "slow"}
    for other in ({"pack": {"fingerprint": "2"}}, {"seed": 8}, {"quick": True}):
        made = {**facts, **other, "commit": "d", "metrics": {"speed": 4}}
        assert with_stored(made, third) == made


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    """The parts that there are stand in the message."""
    with pytest.raises(InputError, match="kills, speed"):
        run_training(work=tmp_path, parts=["kill"])


def test_following_is_measured_beside_words(following_pack_folder: Path, tmp_path: Path) -> None:
    """Two characters, four arms and real pictures, a sheet each; a second call draws nothing."""
    settings = {"base": str(following_pack_folder), "quick": True, "work": tmp_path}
    found = run_training(parts=["follow"], **settings)
    assert found["metrics"]["follow_retrieval_fraction"]["bar"] == 0.8
    assert set(found["baselines"]) == {"followed_described", "prompt_only", "class_prompt", "real"}
    real = found["baselines"]["real"]["follow_identity"]["value"]
    assert real != 0
    sheets = sorted(tmp_path.rglob("sheets/*.png"))
    assert len(sheets) == 2
    before = [sheet.stat().st_mtime_ns for sheet in sheets]
    assert run_training(parts=["follow"], **settings)["metrics"] == found["metrics"]
    assert [sheet.stat().st_mtime_ns for sheet in sheets] == before
