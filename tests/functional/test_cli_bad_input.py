"""Bad input of training at the command line: one line that names what conflicts, and a code."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from brand_folder import SHORTEST_RECIPE, draw_picture
from PIL import UnidentifiedImageError

from onbrand.app.cli import main

RESULT = Path(__file__).parents[2] / "docs" / "benchmarks" / "training.json"


def run(*words: str | Path) -> int:
    """The exit code of the command line, run in this process."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0)


@pytest.fixture
def brand(tmp_path: Path, tiny_pack_folder: Path) -> Path:
    """A brand of two pictures on the tiny pack, not trained yet."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(2):
        draw_picture(index).save(pictures / f"{index}.png")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(SHORTEST_RECIPE.format(base=tiny_pack_folder))
    assert run("new", tmp_path / "kuro", "-p", pictures, "--recipe", recipe) == 0
    return tmp_path / "kuro"


def refused(capsys: pytest.CaptureFixture) -> str:
    """The last line on stderr, which is the error."""
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    return line


def test_a_gate_on_an_unknown_metric(brand: Path, capsys: pytest.CaptureFixture) -> None:
    """The gate, the metric and the nearest valid name, before anything is loaded."""
    with (brand / "recipe.toml").open("a") as file:
        file.write('[[gate]]\nafter = "appearance"\nmetric = "identty"\nat_least = 0.5\n')
    assert run("train", brand) == 2
    said = refused(capsys)
    assert "the gate after 'appearance' reads 'identty'" in said
    assert "'identity'" in said
    assert not (brand / "model").exists()


def test_more_parts_than_pictures_in_a_batch(brand: Path, capsys: pytest.CaptureFixture) -> None:
    """gradient_accumulation above batch_size: both numbers are told."""
    with (brand / "recipe.toml").open("a") as file:
        file.write("gradient_accumulation = 4\n")
    assert run("train", brand) == 2
    assert "gradient_accumulation = 4 cuts a batch of 2" in refused(capsys)


def test_a_dataset_smaller_than_a_batch(brand: Path, capsys: pytest.CaptureFixture) -> None:
    """It trains, and a warning says what happens and what to lower to which number."""
    recipe = brand / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("batch_size = 2", "batch_size = 4"))
    assert run("train", brand) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "batches of 4: pictures repeat within a batch" in said
    num = len(json.loads((brand / "dataset" / "manifest.json").read_text())["assets"])
    assert any(f"Lower batch_size to {n} or less" in said for n in range(1, num + 1))


def test_a_model_for_another_base(
    brand: Path, tiny_hub_base: Path, capsys: pytest.CaptureFixture
) -> None:
    """A LoRA put on a base that it was not trained on is refused with both names."""
    assert run("train", brand) == 0
    manifest = brand / "model" / "manifest.json"
    told = json.loads(manifest.read_text())
    trained_on = Path(told["base"]).name
    manifest.write_text(json.dumps({**told, "base": str(tiny_hub_base)}))
    assert run("generate", "waving", "--brand", brand, "-n", "1", "--steps", "2") == 1
    said = refused(capsys)
    assert "trained on" in said
    assert tiny_hub_base.name in said
    assert trained_on in said


def test_a_changed_weight_file(brand: Path, capsys: pytest.CaptureFixture) -> None:
    """generate refuses a model whose LoRA is not the one that was trained, and names the file."""
    assert run("train", brand) == 0
    (lora,) = (brand / "model" / "stages").glob("*/pytorch_lora_weights.safetensors")
    data = bytearray(lora.read_bytes())
    data[-1] ^= 1
    lora.write_bytes(data)
    assert run("generate", "waving", "--brand", brand, "-n", "1", "--steps", "2") == 1
    said = refused(capsys)
    assert str(lora.relative_to(brand)) in said
    assert "train again" in said


def test_words_that_are_no_text(brand: Path, capsys: pytest.CaptureFixture) -> None:
    """Bytes of another encoding on the command line are refused before a folder is made."""
    assert run("generate", "waving", "--negative", "caf\udce9", "--brand", brand) == 2
    assert "is no text in UTF-8" in refused(capsys)
    assert not (brand / "generated").exists()


def test_a_brand_that_cannot_be_looked_at(capsys: pytest.CaptureFixture) -> None:
    """A name that no folder can have is a wrong call, and no fault of onbrand's own."""
    assert run("generate", "waving", "--brand", "k" * 300) == 2
    assert "cannot look into" in refused(capsys)


def test_a_place_that_cannot_be_looked_at(brand: Path, capsys: pytest.CaptureFixture) -> None:
    """Of a recipe, settings, an identity or a base: told by name, and no fault of onbrand's own."""
    place = brand / ("k" * 300) / "x"
    for words in (
        ["train", brand, "--recipe", place.with_suffix(".toml")],
        ["train", brand, "--base", place],
        ["sweep", brand, "--settings", place],
        ["identity", "make", place, brand / "pictures"],
        ["bench", "readme", place],
    ):
        assert run(*words) == 1
        assert refused(capsys).startswith(f"error: cannot use '{brand / 'kkk'}")


def test_no_name_is_no_recipe(brand: Path, capsys: pytest.CaptureFixture) -> None:
    """The current folder's is not taken for it."""
    assert run("train", brand, "--recipe", "") == 2
    assert "the recipe has no name" in refused(capsys)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_what_cannot_be_written_out_is_said() -> None:
    """A full disk behind stdout is one line, and no fault of onbrand's own."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "onbrand", "sweep", "--example"],
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode != 0
    said = f"error: {os.strerror(errno.ENOSPC)}; --debug shows the trace"
    assert done.stderr.splitlines()[0] == said


def test_what_a_library_says_is_no_refusal_of_the_system(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Libraries derive their errors from OSError: that they come this far is our own fault."""

    def app(words: list[str], **settings: object) -> None:
        raise UnidentifiedImageError("cannot identify image file")

    monkeypatch.setattr("onbrand.app.cli.app", app)
    assert run("report") == 1
    assert "UnidentifiedImageError: cannot identify image file (a fault of" in refused(capsys)


def test_a_result_of_another_bench_is_refused_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Hours are not spent on what cannot be compared."""
    stored = tmp_path / "pack.json"
    stored.write_text('{"name": "pack", "quick": false, "metrics": {}}')
    work = tmp_path / "work"
    assert run("bench", "eyes", "--against", stored, "--work", work) == 2
    assert "a result of eyes cannot be compared with one of pack" in refused(capsys)
    assert run("bench", "eyes", "--against", tmp_path / "nope.json", "--work", work) == 1
    assert "no file" in refused(capsys)
    stored.write_text('{"metrics": {}}')
    assert run("bench", "eyes", "--against", stored, "--work", work) == 1
    assert "not a benchmark's result" in refused(capsys)
    assert not work.exists()


def test_a_page_is_rendered_from_results_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """A folder without any is refused, and so is a README.md that somebody wrote."""
    readme = tmp_path / "README.md"
    assert run("bench", "readme", tmp_path) == 2
    assert "no result lies in" in refused(capsys)
    assert not readme.exists()
    shutil.copy(RESULT, tmp_path)
    readme.write_text("mine")
    assert run("bench", "readme", tmp_path) == 2
    assert "was not rendered from results: move it away" in refused(capsys)
    assert readme.read_text() == "mine"
    readme.unlink()
    for _ in range(2):
        assert run("bench", "readme", tmp_path) == 0
    assert "## training" in readme.read_text()
