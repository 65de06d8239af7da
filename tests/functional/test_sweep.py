"""Sweeps as a person runs them: trained, drawn, killed, resumed, shown, applied."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from brand_folder import draw_picture

import onbrand as ob
from onbrand import road
from onbrand.app.cli import main
from onbrand.errors import DatasetError, InputError, PromptError
from onbrand.events import Event, Started, Warned
from onbrand.recipe import Recipe
from onbrand.road.places import open_brand

RATE, BATCH = "stage.appearance.learning_rate", "stage.appearance.batch_size"
RECIPE = """
base = "{base}"
[lora]
rank = 2
[validation]
num_prompts = 2
num_per_prompt = 2
num_steps = 2
[[stage]]             # the only one
kind = "appearance"
learning_rate = 1e-4  # how fast
batch_size = 2
num_steps = 2
"""
GRID = ["--set", f"{RATE}=1e-3,5e-4", "--set", f"{BATCH}=2,3"]
AGAIN = """
import json, sys
import onbrand as ob
told = []
found = ob.sweep(sys.argv[1], settings=json.loads(sys.argv[2]), emit=told.append)
print(json.dumps({
    "started": [e.task for e in told if type(e).__name__ == "Started"],
    "states": [trial.state for trial in found.trials],
    "modules": list(sys.modules),
}))
"""


def begin(folder: Path, base: object) -> Path:
    """A brand of six small drawn pictures, not trained."""
    (folder / "drawn").mkdir(parents=True)
    for index in range(6):
        draw_picture(index).save(folder / "drawn" / f"{index}.png")
    (folder / "recipe.toml").write_text(RECIPE.format(base=base))
    brand = ob.new(
        folder / "kuro", pictures=folder / "drawn", subject="fox mascot",
        recipe=str(folder / "recipe.toml"),
    )  # fmt: skip
    brief = ob.Brief.load(brand)
    brief.model_copy(update={"prompts": ["waving at night", "on a beach"]}).save(brand)
    return brand


def run(*words: str | Path) -> int:
    """The exit code of the command line, run in this process."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_pack_folder: Path) -> Path:
    """A trained brand. Copy it before changing it."""
    brand = begin(tmp_path_factory.mktemp("brands"), tiny_pack_folder)
    ob.train(brand)
    return brand


def adapters(brand: Path) -> dict[Path, tuple[int, bytes]]:
    """Every trained LoRA file of the sweep: when it was written, and its bytes."""
    files = (brand / "sweep" / "models").glob("*/stages/*/pytorch_lora_weights.safetensors")
    return {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def test_a_killed_sweep_goes_on_and_trains_nothing_twice(
    tmp_path: Path, tiny_pack_folder: Path
) -> None:
    """SIGKILL after the first of four trainings; the next call trains the other three, the one
    after that none, both without ever loading an evaluation twin."""
    brand = begin(tmp_path, tiny_pack_folder)
    child = subprocess.Popen(
        [sys.executable, "-m", "onbrand", "sweep", str(brand), *GRID], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while not (ended := list(brand.glob("sweep/models/*/sweep_run.json"))):
        assert child.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, "no training finished in five minutes"
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert len(ended) == 1
    assert not (brand / "sweep" / "sweep.html").exists()
    first = adapters(brand)

    settings = json.dumps({RATE: [1e-3, 5e-4], BATCH: [2, 3]})
    for num_trained in (3, 0):
        done = subprocess.run(
            [sys.executable, "-c", AGAIN, str(brand), settings],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["started"].count("appearance") == num_trained
        assert told["states"] == ["done"] * 4
        assert "onbrand.models.perception" in told["modules"]
        assert "onbrand.models.twins" not in told["modules"]
    assert "drawing" not in told["started"]
    after = adapters(brand)
    assert len(after) == 4
    assert {file: after[file] for file in first} == first
    check_figures(brand)


def check_figures(brand: Path) -> None:
    """sweep.json has the design's metric objects, the same prompts and seeds for all, a choice."""
    found = json.loads((brand / "sweep" / "sweep.json").read_text())
    assert found["axes"] == {RATE: [1e-3, 5e-4], BATCH: [2, 3]}
    for one in found["combinations"]:
        assert set(one["metrics"]) == {
            "identity",
            "alignment",
            "directional_alignment",
            "diversity",
        }
        for name, metric in one["metrics"].items():
            assert set(metric) == {"value", "interval", "bar", "holds", "better"}
            assert metric["value"] == pytest.approx(np.mean(one["per_prompt"][name]))
            assert metric["interval"][0] <= metric["value"] <= metric["interval"][1]
        assert (brand / one["pictures"] / "sheet.png").is_file()
        assert (brand / one["model"] / "manifest.json").is_file()
        assert one["stage"] == "appearance"
    assert set(found["front"]) <= {1, 2, 3, 4}
    assert found["front"]
    assert (brand / "sweep" / "sweep.html").read_text().count("<img ") == (4 + 1) * 4
    requests = [
        json.loads((brand / one["pictures"] / "request.json").read_text())
        for one in found["combinations"]
    ]
    assert len({(tuple(r["prompts"]), tuple(r["seeds"])) for r in requests}) == 1
    assert len({r["parents"]["lora"] for r in requests}) == 4


def test_one_that_breaks_stops_no_other(tmp_path: Path, tiny_pack_folder: Path) -> None:
    """A training that diverges, one that misses its gate: told, not taken, not tried again."""
    brand = begin(tmp_path, tiny_pack_folder)
    told: list[Event] = []
    found = ob.sweep(brand, settings={"lora.alpha": [1e38, 2]}, emit=told.append)
    assert [trial.state for trial in found.trials] == ["broken", "done"]
    warning = next(e.message for e in told if isinstance(e, Warned) and "broken" in e.message)
    assert warning.startswith("combination 1 (alpha 1e+38)")
    assert "The others go on" in warning
    assert found.trials[0].arm is None
    again: list[Event] = []
    ob.sweep(brand, settings={"lora.alpha": [1e38, 2]}, emit=again.append)
    assert "appearance" not in [e.task for e in again if isinstance(e, Started)]

    gate = '[[gate]]\nafter = "appearance"\nmetric = "identity"\nat_least = 1.5\n'
    (brand / "recipe.toml").write_text((brand / "recipe.toml").read_text() + gate)
    judged: list[Event] = []
    gated = ob.sweep(brand, settings={"lora.alpha": [2]}, apply=True, emit=judged.append)
    assert "appearance" not in [e.task for e in judged if isinstance(e, Started)]
    assert not [e for e in judged if isinstance(e, Warned) and "others" in e.message]
    assert gated.trials[0].state == "gate failed"
    assert gated.trials[0].arm is not None
    assert gated.chosen is None
    assert gated.sentence.startswith("Take none of them: Nothing was measured")
    assert "alpha" not in (brand / "recipe.toml").read_text()
    assert "gate failed: " in (brand / "sweep" / "sweep.html").read_text()


def test_drawing_is_swept_without_training(trained: Path, tmp_path: Path) -> None:
    """Guidance and words change the pictures of the brand's own model; alignment asks them all for
    the brief's own text; what to run next can be typed; an untrained brand is told to train first.
    """
    brand = Path(shutil.copytree(trained, tmp_path / "my kuro"))
    told: list[Event] = []
    settings = {"sample.guidance": [1, 6], "prompt.style": ["", "flat sticker"]}
    found = ob.sweep(brand, settings=settings, apply=True, emit=told.append)
    assert "appearance" not in [e.task for e in told if isinstance(e, Started)]
    assert not (brand / "sweep" / "models").exists()
    pictures = [np.asarray(t.pictures.open(0)) for t in found.trials if t.pictures]
    assert len({p.tobytes() for p in pictures}) == 4
    prompts = [t.pictures.items[0].prompt for t in found.trials if t.pictures]
    assert [p.endswith("waving at night, flat sticker") for p in prompts] == [False, True] * 2
    assert (brand / "recipe.toml").read_bytes() == (trained / "recipe.toml").read_bytes()

    chosen = replace(found, take=replace(found.take, name=found.trials[3].name, good=True))
    (command,) = road.next_commands(chosen, open_brand(brand))
    words = shlex.split(command)
    assert words[words.index("--brand") + 1] == str(brand)

    worded = ob.sweep(brand, settings={"prompt.pose": ["jumping", "naked"]})
    assert [trial.state for trial in worded.trials] == ["done", "refused"]
    assert "word list" in worded.trials[1].reason

    manifest = brand / "model" / "manifest.json"
    stale = json.loads(manifest.read_text())
    stale["parents"]["base"] = "0123456789abcdef"
    manifest.write_text(json.dumps(stale))
    with pytest.raises(InputError, match=r"0123456789abcdef.*onbrand train"):
        ob.sweep(brand, settings=settings)
    manifest.unlink()
    with pytest.raises(InputError, match="onbrand train"):
        ob.sweep(brand, settings=settings)


def test_refused_words_of_the_brief_stop_a_sweep(trained: Path, tmp_path: Path) -> None:
    """Before the base draws anything: no combination could take them away."""
    brand = Path(shutil.copytree(trained, tmp_path / "kuro"))
    ob.Brief.load(brand).model_copy(update={"prompts": ["waving", "naked"]}).save(brand)
    with pytest.raises(PromptError, match="'naked'"):
        ob.sweep(brand, settings={"sample.guidance": [2, 4]})
    assert not (brand / "sweep").exists()


def test_the_built_in_pack_draws_with_every_sampler(tmp_path: Path) -> None:
    """On the pocket pack, a LoRA trained for two steps: three samplers, three pictures of one
    thing, each measured with its interval."""
    brand = begin(tmp_path, "pocket")
    ob.train(brand)
    found = ob.sweep(
        brand, settings={"sample.sampler": ["ddim", "dpm", "unipc"], "sample.num_steps": [4]}
    )
    assert [t.state for t in found.trials] == ["done"] * 3
    shown = [np.asarray(t.pictures.open(0), float) for t in found.trials if t.pictures]
    for other in shown[1:]:
        assert 0 < np.abs(shown[0] - other).mean() < 40
    assert all(t.arm and t.arm.metrics["identity"].interval for t in found.trials)
    assert found.trials[0].combination.label == "sampler “ddim”"


def test_the_command_line(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """--example is a file to begin from; --dry-run plans and writes nothing; --apply writes the
    recipe with its comments; a mistake is one line."""
    brand = Path(shutil.copytree(trained, tmp_path / "kuro"))
    assert run("sweep", "--example") == 0
    assert "[set]" in capsys.readouterr().out
    assert run("sweep", brand) == 2
    assert "nothing to sweep" in capsys.readouterr().err
    assert run("sweep", brand, "--set", "lora.rnak=2,4") == 2
    assert "did you mean 'lora.rank'?" in capsys.readouterr().err
    assert run("sweep", brand, "--set", "lora.rank=2,4", "--seed", "3") == 2
    assert "--seed 3 says which combinations --random draws" in capsys.readouterr().err

    (brand / "sweep.toml").write_text("random = 1\n[set]\nlora.rank = [3, 4]\n")
    assert run("sweep", brand, "--seed", "3", "--dry-run") == 0
    said = capsys.readouterr().err
    assert "1 combination of 2:" in said
    assert "1 training, 4 pictures seen: about" in said
    both = ["--settings", brand / "sweep.toml", "--set", "lora.rank=5,6,7", "--random", "2"]
    assert run("sweep", brand, *both, "--dry-run") == 0
    assert "2 combinations of 3:" in capsys.readouterr().err
    assert run("sweep", brand, "--settings", brand / "none.toml") == 2
    assert "no file" in capsys.readouterr().err
    assert not (brand / "sweep").exists()

    assert run("sweep", brand, "--apply") == 0
    told = capsys.readouterr()
    assert told.out.strip() == str((brand / "sweep" / "sweep.html").resolve())
    taken = json.loads((brand / "sweep" / "sweep.json").read_text())["take"]
    text = (brand / "recipe.toml").read_text()
    rank = 2 if taken["settings"] is None else taken["settings"]["lora.rank"]
    assert Recipe.load(brand / "recipe.toml").lora.rank == rank
    assert "learning_rate = 1e-4  # how fast" in text


def test_pictures_that_came_are_swept_and_nothing_else_learns_them(
    trained: Path, tmp_path: Path
) -> None:
    """After a picture was added the plan counts all trainings anew; the dataset that the brand's
    own model is measured on stays as it was."""
    brand = Path(shutil.copytree(trained, tmp_path / "kuro"))
    settings = {"seed": 3}  # one value alone is a list of one
    ob.sweep(brand, settings=settings)
    assert road.plan_sweep(brand, settings=settings).num_trainings_kept == 1
    before = (brand / "dataset" / "manifest.json").read_bytes()
    draw_picture(77).save(brand / "pictures" / "new.png")
    planned = road.plan_sweep(brand, settings=settings)
    assert (planned.num_trainings_kept, planned.num_pictures_seen) == (0, 4)
    told: list[Event] = []
    ob.sweep(brand, settings=settings, emit=told.append)
    assert "appearance" in [e.task for e in told if isinstance(e, Started)]
    assert (brand / "dataset" / "manifest.json").read_bytes() == before


def test_nothing_to_compare_with_is_said(trained: Path, tmp_path: Path) -> None:
    """A brand that holds out no picture cannot be measured: told before anything is trained."""
    brand = Path(shutil.copytree(trained, tmp_path / "kuro"))
    dataset = ob.Dataset.load(brand / "dataset")
    kept = [asset for asset in dataset.assets if asset.split == "train"]
    ob.Dataset(dataset.root, kept, [], {}).save()
    model = ob.BrandModel.load(brand / "model")
    model.parents["dataset"] = ob.Dataset.load(dataset.root).fingerprint
    model.save()
    with pytest.raises(DatasetError, match="holds out no picture"):
        ob.sweep(brand, settings={"sample.guidance": [2, 4]})
