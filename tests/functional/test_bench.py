"""The benches on a tiny pack of the real classes: the whole road, resumed, and rendered."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from onbrand.bench import (
    compare,
    read_result,
    render_readme,
    render_section,
    run_consistency,
    run_eyes,
    run_pack,
    table,
)
from onbrand.bench.characters import draw_brand, drawn_pictures, trigger_word
from onbrand.bench.read_back import ask, hits
from onbrand.bench.reconstruct import psnr_db
from onbrand.bench.record import machine, metric
from onbrand.bench.summary import summarise
from onbrand.bench.worlds import WORLDS
from onbrand.brief import Brief
from onbrand.errors import ArtifactError, InputError
from onbrand.events import Advanced, Event, Finished
from onbrand.illustrator import RESERVED_IDS
from onbrand.models.packs import Pack

SHAPE = {"name", "version", "commit", "machine", "seed", "seconds", "metrics", "baselines"}
METRIC = {"value", "interval", "bar", "holds", "better"}


def printed(found: dict[str, object]) -> str:
    console = Console(width=160, record=True, file=None, quiet=True)
    with console.capture() as capture:
        console.quiet = False
        console.print(table(found))
    return capture.get()


def record(identity: int, ours: float, words: float, dreambooth: float) -> dict[str, object]:
    def arm(error: float) -> dict[str, float]:
        return {
            "identity": 0.9 - error,
            "identity_error": error,
            "retrieval_fraction": 1 - error,
            "memorised_fraction": 0.0,
        }

    arms = {
        "onbrand": arm(ours), "base": arm(0.6), "prompt_only": arm(words),
        "dreambooth_lora": arm(dreambooth), "appearance": arm(ours + 0.05), "detail": arm(ours),
        "real": {"identity": 0.9},
    }  # fmt: skip
    return {"id": identity, "arms": arms, "seconds": 10.0, "chance": 1 / 180, "shipped": "detail"}


def test_consistency_runs_the_whole_road_and_goes_on_where_it_stopped(
    tiny_pack: Pack, tmp_path: Path
) -> None:
    """Stopped after a character, the bench keeps it; the next run adds the rest and the JSON."""
    stopped: list[Event] = []

    def stop(event: Event) -> None:
        stopped.append(event)
        if isinstance(event, Advanced) and event.task == "consistency":
            raise KeyboardInterrupt

    settings = {"base": str(tiny_pack.root), "quick": True, "work": tmp_path / "work", "seed": 3}
    with pytest.raises(KeyboardInterrupt):
        run_consistency(**settings, emit=stop)
    (kept,) = (tmp_path / "work").rglob("character-*.json")
    first = kept.read_bytes()

    found = run_consistency(**settings, json_path=tmp_path / "consistency.json")
    assert kept.read_bytes() == first
    assert found["num_characters"] == 2
    assert set(found) >= SHAPE
    arms = {"base", "prompt_only", "dreambooth_lora", "real", "true_drawings"}
    assert set(found["baselines"]) == arms
    assert found["metrics"].keys() >= {
        "identity", "identity_error", "retrieval_fraction", "alignment",
        "memorised_fraction", "diversity", "attributes_fraction",
    }  # fmt: skip
    # alignment_ratio is left out where the base's own is negative, as random eyes may have it
    for arm in (found["metrics"], *found["baselines"].values()):
        assert all(set(m) == METRIC | {"num"} for m in arm.values())
    assert set(found["stages"]) == {"appearance", "detail"}
    assert json.loads((tmp_path / "consistency.json").read_text("utf-8")) == found

    assert run_consistency(**settings)["metrics"] == found["metrics"]
    kept.unlink()  # and again, by two processes; its training and pictures are still there
    again = run_consistency(**settings, num_workers=2)
    for name, m in found["metrics"].items():
        assert again["metrics"][name]["value"] == pytest.approx(m["value"], abs=1e-4)
    text = render_readme(tmp_path)
    assert "A quick run" in text
    assert "180 identities" in text
    assert "“True drawings” are the illustrator's own" in text


def test_pack_bench_measures_and_resumes(tiny_pack: Pack, tmp_path: Path) -> None:
    """Reconstruction, read-back, time and size of a pack; a second run reads what was kept."""
    events: list[Event] = []
    settings = {"base": str(tiny_pack.root), "quick": True, "work": tmp_path / "work"}
    found = run_pack(**settings, mascot=tmp_path / "nowhere", emoji=tmp_path, emit=events.append)
    assert set(found) >= SHAPE
    assert {"psnr_drawn_db", "attributes_fraction", "seconds_per_picture", "t2i_mib"} <= set(
        found["metrics"]
    )
    assert "psnr_mascot_db" not in found["metrics"]
    assert any("its reconstruction is not measured" in str(event) for event in events)
    assert any("the emoji's nouns are not measured" in str(event) for event in events)
    assert set(found["steps"]) == {"2", "4"}
    assert isinstance(events[-1], Finished)
    again = run_pack(**settings, mascot=tmp_path / "nowhere", emoji=tmp_path)
    assert again["metrics"] == found["metrics"]
    assert "Time per picture" in printed(found)


def test_pack_bench_steers_and_compares_worlds(guided_pack: Pack, tmp_path: Path) -> None:
    """Edges followed stand beside the unguided; faults are counted with and without the negative
    prompt; the Fréchet ratio takes as many pictures as it is told; emoji are named by the twin."""
    settings = {"base": str(guided_pack.root), "quick": True, "work": tmp_path / "work"}
    things = [{"file_name": f"{k:02d}.png", "text": f"t{k}", "style": "flat"} for k in range(60)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, things)))
    for k in (0, 50):
        Image.new("RGBA", (8, 8), "red").save(tmp_path / f"{k:02d}.png")
    found = run_pack(**settings, mascot=tmp_path / "nowhere", emoji=tmp_path)
    ours = found["metrics"]
    wanted = {"edge_f1", "joints_fraction", "fault_fraction"}
    assert wanted | {"frechet_ratio"} <= set(ours)
    assert {"joints_fraction", "emoji_nouns_fraction"} <= set(found["baselines"]["real"])
    assert 0 <= ours["emoji_nouns_fraction"]["value"] <= 1
    unguided = found["baselines"]["unguided"]["edge_f1"]
    assert unguided["value"] != ours["edge_f1"]["value"]
    assert 0 <= found["baselines"]["real"]["fault_fraction"]["value"] <= 1
    assert ours["frechet_ratio"]["value"] > 1  # noise is farther than drawings are from each other
    assert found["num_likeness"] == 12
    (made,) = (tmp_path / "work").rglob("likeness-made-*.npy")
    assert np.load(made).shape == (12, 9)
    (tmp_path / "pack.json").write_text(json.dumps(found))
    assert "12 pictures" in render_readme(tmp_path)
    assert "Unguided" in printed(found)
    none = run_pack(**settings, mascot=tmp_path / "nowhere", emoji=tmp_path, num_likeness=0)
    assert "frechet_ratio" not in none["metrics"]
    with pytest.raises(InputError, match="take 2 or more"):
        run_pack(**settings, num_likeness=1)


def test_prompts_name_what_is_read_back() -> None:
    """Every world's prompts name their attributes; the truth is read at 100 %, a lie at 0."""
    for world in WORLDS:
        asked = ask(world, 6, seed=3, size_px=32)
        assert asked[0].picture.size == (32, 32)
        assert [one.prompt for one in ask(world, 6, seed=3, size_px=32)] == [
            one.prompt for one in asked
        ]
        for one in asked:
            kind = next(value for name, value in one.attributes.items() if name != "species")
            assert kind.removeprefix("pair of ") in one.prompt
        truth = [dict(one.attributes) for one in asked]
        name = "attributes_fraction" if world == "mascots" else f"{world}_attributes_fraction"
        assert hits(world, asked, truth, 0)[name]["value"] == 1
        lies = [dict.fromkeys(one.attributes, "?") for one in asked]
        assert hits(world, asked, lies, 0)[name]["value"] == 0
        assert hits(world, asked, [{"place": "room"}] * 6, 0) == {}


def test_pack_bench_reads_a_real_mascot_inside_its_alpha(tiny_pack: Pack, tmp_path: Path) -> None:
    """RGBA pictures of a folder are reconstructed and measured where they are opaque."""
    from PIL import Image

    for n in range(3):
        picture = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
        picture.paste((200, 30 * n, 40, 255), (16, 8, 48, 40))
        picture.save(tmp_path / f"{n}.png")
    found = run_pack(base=str(tiny_pack.root), quick=True, work=tmp_path / "work", mascot=tmp_path)
    assert 0 < found["metrics"]["psnr_mascot_db"]["value"] < 60


def test_psnr_is_the_textbook_one() -> None:
    """An error of 0.1 everywhere is 20 dB; a mask looks nowhere else."""
    one, other = np.zeros((4, 4, 3)), np.full((4, 4, 3), 0.1)
    assert psnr_db(one, other) == pytest.approx(20)
    mask = np.zeros((4, 4), bool)
    mask[0, 0] = True
    other[1:] = 1.0
    assert psnr_db(one, other, mask) == pytest.approx(20)


def test_bars_are_relative_to_the_baselines_and_misses_stay() -> None:
    """Half of prompt_only's error, or of DreamBooth's; a miss is shown as a miss."""
    records = [record(n, 0.12 + 0.01 * n, 0.40, 0.30) for n in range(4)]
    found = summarise(records, seed=0)
    error = found["metrics"]["identity_error"]
    assert error["bar"] == pytest.approx(0.15)
    assert error["holds"] is True
    assert found["metrics"]["retrieval_fraction"]["holds"] is False
    assert found["shipped"] == {"appearance": 0, "detail": 4}
    assert "missed" in printed(found)


def test_intervals_are_by_character() -> None:
    """The interval of characters that agree is narrow, of those that differ wide."""
    same = summarise([record(n, 0.1, 0.4, 0.2) for n in range(6)], seed=0)
    wide = summarise([record(n, 0.1 * n, 0.4, 0.2) for n in range(6)], seed=0)
    for found, width in ((same, 0.0), (wide, 0.1)):
        low, high = found["metrics"]["identity_error"]["interval"]
        assert high - low >= width
    low, high = same["metrics"]["identity_error"]["interval"]
    assert high - low == pytest.approx(0, abs=1e-12)


def test_drawn_brand_is_a_fair_exam(tmp_path: Path) -> None:
    """Prompts combine pose, place and prop as no training picture does, and name their attributes;
    the same seed draws the same brand."""
    for out in ("a", "b"):
        draw_brand(
            9, tmp_path / out, num_train=6, num_held_out=3, num_prompts=4, size_px=32, seed=1
        )
    brief = Brief.load(tmp_path / "a" / "brief.toml")
    asked = json.loads((tmp_path / "a" / "expected.json").read_text("utf-8"))
    assert [entry["prompt"] for entry in asked] == brief.prompts[-4:]
    assert brief.held_out == ["06.png", "07.png", "08.png"]
    assert all(entry["attributes"]["pose"] in entry["prompt"] for entry in asked)
    pictures = sorted((tmp_path / "a" / "pictures").glob("*.png"))
    assert len(pictures) == 9
    for path in pictures:
        assert path.read_bytes() == (tmp_path / "b" / "pictures" / path.name).read_bytes()
        assert path.with_suffix(".txt").read_text("utf-8").strip()
    others = drawn_pictures(9, 2, size_px=32, seed=1)
    assert others[0].tobytes() != others[1].tobytes()


def test_every_character_has_a_trigger_of_its_own() -> None:
    """Made-up trigger words are distinct over all reserved characters, and letters only."""
    words = {trigger_word(identity) for identity in RESERVED_IDS}
    assert len(words) == len(RESERVED_IDS)
    assert all(word.isalpha() for word in words)


def test_readme_is_rendered_and_never_typed(tmp_path: Path) -> None:
    """Values, intervals, bars and the machine come from the JSON; a foreign JSON is refused."""
    found = summarise([record(n, 0.1, 0.4, 0.2) for n in range(6)], seed=0)
    found |= {
        "quick": False,
        "learning_rate": 2e-4,
        "settings": {
            "num_train": 20, "num_prompts": 10, "num_per_prompt": 2, "learning_rates": [2e-4],
        },
    }  # fmt: skip
    (tmp_path / "consistency.json").write_text(json.dumps(found), "utf-8")
    text = render_readme(tmp_path)
    assert "| Identity error ↓ | 0.100 (0.100–0.100) |" in text
    assert "0.0002, was given, not searched" in " ".join(text.split())
    assert "≥ 90\u202f% met" in text
    assert "DreamBooth LoRA" in text
    assert "of all its characters together" in text
    assert "first chosen by an ablation on eight of these" in text
    assert str(machine()["processor"]) in text
    (tmp_path / "other.json").write_text("[]", "utf-8")
    with pytest.raises(ArtifactError, match=r"other\.json is not a benchmark's result"):
        render_readme(tmp_path)


def test_metric_objects_say_whether_the_bar_holds() -> None:
    """Higher and lower bars are read in their own direction; without a bar nothing holds."""
    assert metric(0.9, bar=0.9)["holds"] is True
    assert metric(0.9, bar=0.8, better="lower")["holds"] is False
    assert metric(0.9)["holds"] is None


def test_a_result_is_compared_with_a_stored_one(tmp_path: Path) -> None:
    """Outside of each other's intervals counts, within one does not; seconds and sizes never do."""

    def with_metrics(**values: float) -> dict[str, object]:
        told = {
            name: metric(
                value, (value - 0.1, value + 0.1), better="lower" if "error" in name else "higher"
            )
            for name, value in values.items()
        }
        return {"name": "pack", "quick": False, "metrics": told}

    before = {"identity": 0.5, "identity_error": 0.4, "seconds_per_picture": 1, "pack_mib": 30,
              "pictures_per_second": 90}  # fmt: skip
    after = {"identity": 0.55, "identity_error": 0.2, "alignment": 0.3, "seconds_per_picture": 9,
             "pack_mib": 40, "pictures_per_second": 9}  # fmt: skip
    stored = with_metrics(**before)
    seen = compare(with_metrics(**after), stored)
    assert (seen.better, seen.worse, seen.new) == (("identity_error",), (), ("alignment",))
    assert not seen.gone
    assert not seen.lost
    assert compare(with_metrics(**{**before, "identity": 0.3}), stored).worse == ("identity",)
    assert compare(with_metrics(**{**before, "identity": 0.38}), stored).worse == ()  # √2 · 0.1
    assert compare(with_metrics(identity=0.5), stored).gone == tuple(before)[1:]
    assert compare(with_metrics(identity=0.5), stored).lost
    sure = with_metrics() | {"metrics": {"place": metric(1.0, (1.0, 1.0))}}  # all of 200
    nearly = with_metrics() | {"metrics": {"place": metric(0.99, (0.975, 1.0))}}
    assert compare(nearly, sure).worse == ()
    for other in ({"name": "eyes"}, {"quick": True}):
        with pytest.raises(InputError, match="cannot be compared"):
            compare(with_metrics(**after), {**stored, **other})
    (tmp_path / "pack.json").write_text(json.dumps(stored))
    assert read_result(tmp_path / "pack.json") == stored
    (tmp_path / "pack.json").write_text("[]")
    with pytest.raises(ArtifactError, match="not a benchmark's result"):
        read_result(tmp_path / "pack.json")


def test_bench_eyes_goes_on_and_leaves_out_what_is_not_there(
    tiny_pack_folder: Path, tmp_path: Path
) -> None:
    """Every role of a tiny pack is measured beside its twin, real pictures that are not there are
    left out with a note, and a second run looks at nothing again."""
    heard: list[object] = []
    arguments = {"base": str(tiny_pack_folder), "quick": True, "data": tmp_path / "none"}
    json_path = tmp_path / "eyes.json"
    first = run_eyes(**arguments, work=tmp_path / "work", json_path=json_path, emit=heard.append)
    wanted = {
        "parsing_garments_iou", "clicks_products_iou", "faces_recall_fraction",
        "joints_mascots_pck10", "tags_f1",
        "expressions_fraction", "captions_fashion_fraction", "pa_fraction", "ssr_fraction",
        "same_after_jpeg_fraction", "pictures_per_second", "eyes_mib",
    }  # fmt: skip
    shared = {"expression", "alignment", "identity", "pose"}
    roles = {*shared, "tagger", "faces", "parsing", "clicks"}
    each = {f"same_{r}_fraction" for r in roles} | {f"pictures_per_second_{r}" for r in roles}
    assert wanted | each <= set(first["metrics"])
    twin = first["baselines"]["twin"]
    assert {"joints_mascots_pck10", "captions_fashion_fraction"} <= set(twin)
    assert {f"same_{r}_fraction" for r in (*shared, "attributes")} <= set(twin)
    assert {f"pictures_per_second_{r}" for r in (*shared, "attributes")} <= set(twin)
    slowest = first["metrics"]["pictures_per_second"]["value"]
    assert slowest <= first["metrics"]["pictures_per_second_clicks"]["value"]
    assert first["metrics"]["same_in_any_order_fraction"]["value"] == 1
    assert any("gopher is not there" in str(event) for event in heard)
    heard.clear()
    again = run_eyes(**arguments, work=tmp_path / "work", emit=heard.append)
    assert again["metrics"] == first["metrics"]
    assert any("gopher is not there" in str(event) for event in heard), "finished parts say so, too"
    assert "## eyes" in render_section(json.loads(json_path.read_text()))


CREW = """
import os, sys, time
from pathlib import Path
from onbrand.bench.crew import at_once

def work_on(number, emit=None):
    Path(sys.argv[1], f"{number}.pid").write_text(str(os.getpid()))
    time.sleep(600)
    return {}

if __name__ == "__main__":
    list(at_once(work_on, [0, 1], 2, print))
"""


def test_workers_end_with_a_killed_bench(tmp_path: Path) -> None:
    """A bench that is killed leaves no process behind that goes on training."""
    (tmp_path / "crew.py").write_text(CREW)
    bench = subprocess.Popen([sys.executable, str(tmp_path / "crew.py"), str(tmp_path)])
    pids = [tmp_path / f"{number}.pid" for number in (0, 1)]
    try:
        _until(lambda: all(pid.exists() and pid.read_text() for pid in pids))
    finally:
        bench.kill()
        bench.wait()
    for pid in pids:
        _until(lambda pid=pid: not _alive(int(pid.read_text())))


def _until(holds: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False
