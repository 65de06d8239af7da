"""The command line as a person meets it: help, errors in one line, exit codes, the whole road."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onbrand import generation
from onbrand.__main__ import main as script
from onbrand.app.cli import main

CLI = [sys.executable, "-m", "onbrand"]
RECIPE = """
base = "{base}"
seed = 7
[lora]
rank = 2
[validation]
num_prompts = 1
num_per_prompt = 2
num_steps = 2
[prior]
num_pictures = 2
[[stage]]
kind = "appearance"
learning_rate = 1e-4
batch_size = 2
num_steps = {num_steps}
"""


def draw(folder: Path, num: int = 8, colour: tuple[int, int, int] = (200, 90, 40)) -> Path:
    """`num` different blobs of one colour, with captions, as a stand-in for a mascot."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(7)
    for index in range(num):
        pixels = np.full((48, 48, 3), 245, np.uint8)
        top, left = (int(v) for v in rng.integers(2, 18, 2))
        pixels[top : top + 26, left : left + 26] = colour
        pixels[top + 6 : top + 10, left + 6 : left + 10] = rng.integers(0, 255, 3)
        Image.fromarray(pixels).save(folder / f"{index:02d}.png")
        (folder / f"{index:02d}.txt").write_text(f"an orange fox standing on spot {index}\n")
    return folder


def run(*words: str | Path) -> int:
    """The exit code of the command line, run in this process."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0)


@pytest.fixture
def brand(tmp_path: Path, tiny_pack_folder: Path) -> Path:
    """A new brand on a tiny random pack, not trained yet."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(base=tiny_pack_folder, num_steps=2))
    pictures = draw(tmp_path / "pictures")
    lookalikes = draw(tmp_path / "lookalikes", 2, (40, 90, 200))
    code = run(
        *("new", tmp_path / "kuro", "--pictures", pictures, "--lookalikes", lookalikes),
        *("--subject", "orange fox", "--recipe", recipe),
    )
    assert code == 0
    return tmp_path / "kuro"


def test_help_comes_at_once() -> None:
    """`onbrand --help` answers in under half a second of processor time and shows every verb."""
    before = os.times()
    done = subprocess.run([*CLI, "--help"], capture_output=True, text=True, check=True)
    after = os.times()
    assert all(verb in done.stdout for verb in ("new", "train", "generate", "report", "bench"))
    spent = (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )
    assert spent < 0.5


@pytest.mark.parametrize(
    "verb",
    [
        ["new"],
        ["train"],
        ["generate"],
        ["report"],
        ["sweep"],
        ["bench", "consistency"],
        ["bench", "pack"],
    ],
)
def test_every_verb_teaches_with_an_example(verb: list[str], capsys: pytest.CaptureFixture) -> None:
    """Each verb's help holds a command line that can be copied."""
    assert run(*verb, "--help") == 0
    told = capsys.readouterr().out
    assert f"onbrand {' '.join(verb)} " in told
    assert not re.search(r"<\w+|\[\w+\[", told), "a value is PATH, TEXT or NUMBER"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["train", "nowhere"], 2, "onbrand new nowhere --pictures"),
        (["train", "no where"], 2, "onbrand new 'no where' --pictures"),
        (["train", "brief.toml"], 2, "brief.toml is a file: name the brand's folder"),
        (["bench", "readme", "nowhere"], 2, "no folder nowhere"),
        (["report", ".."], 2, "not a brand's folder"),
        (["new", "kuro", "--pictures", "no-such-folder"], 2, "no-such-folder"),
        (["trian"], 2, "train"),
        (["generate"], 2, "prompts"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    words: list[str], code: int, says: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    """A wrong call leaves a message that says what to do, no trace, and the documented code."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "brief.toml").touch()
    assert run(*words) == code
    said = capsys.readouterr().err
    assert says in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def test_debug_shows_the_trace(tmp_path: Path, monkeypatch, capsys) -> None:
    """With --debug anywhere on the line an error comes with its trace."""
    monkeypatch.chdir(tmp_path)
    assert run("train", "nowhere", "--debug") == 2
    assert "Traceback" in capsys.readouterr().err


def test_new_makes_a_folder_that_can_be_edited(brand: Path) -> None:
    """new leaves commented settings, checked pictures with captions, and a frozen dataset."""
    brief = (brand / "brief.toml").read_text()
    assert "#" in brief
    assert 'subject = "orange fox"' in brief
    assert len(list((brand / "pictures").glob("*.png"))) == 8
    assert len(list((brand / "lookalikes").glob("*.png"))) == 2
    assert (brand / "dataset" / "manifest.json").is_file()


def test_new_never_writes_over_a_brand(brand: Path, tmp_path: Path, capsys) -> None:
    """A second new with the same name is refused and changes nothing."""
    before = (brand / "brief.toml").read_bytes()
    assert run("new", brand, "--pictures", tmp_path / "pictures") == 2
    assert "already" in capsys.readouterr().err
    assert (brand / "brief.toml").read_bytes() == before


def test_new_lists_what_it_cannot_use(tmp_path: Path, tiny_pack_folder: Path, capsys) -> None:
    """A truncated and an empty file are skipped with their reasons; the rest becomes a brand."""
    pictures = draw(tmp_path / "pictures")
    whole = (pictures / "00.png").read_bytes()
    (pictures / "cut.png").write_bytes(whole[: len(whole) // 2])
    (pictures / "empty.png").write_bytes(b"")
    assert run("new", tmp_path / "kuro", "-p", pictures, "--base", tiny_pack_folder) == 0
    told = capsys.readouterr()
    assert told.out.strip() == str(tmp_path / "kuro")
    said = told.err
    assert "found 8 pictures" in said
    assert ", 8 with a caption)" in said
    assert re.search(r"^  palette  #[0-9a-f]{6}", said, re.MULTILINE), "no swatch in a log"
    assert "cut.png" in said
    assert "empty.png" in said


def test_the_whole_road(brand: Path, capsys) -> None:
    """train, generate and report run one after the other and leave what the README promises."""
    assert run("generate", "waving", "--brand", brand) == 2
    assert "onbrand train" in capsys.readouterr().err

    capsys.readouterr()
    assert run("train", brand) == 0
    told = capsys.readouterr().err
    ship = json.loads((brand / "model" / "manifest.json").read_text())["ship"]
    assert f"{ship['stage']} is chosen: {ship['reason']}" in told
    assert told.count(ship["reason"]) == 1
    assert re.search(r"^Identity ↑ +[−\d.]+$", told, re.MULTILINE)
    assert "Alignment ↑" in told
    loras = list((brand / "model" / "stages").glob("*/pytorch_lora_weights.safetensors"))
    assert len(loras) == 1

    assert run("generate", "waving", "sitting", "-b", brand, "-n", "2", "--steps", "2") == 0
    assert capsys.readouterr().out.split()[-1] == str(brand / "generated" / "001")
    assert len(list((brand / "generated" / "001").glob("0*.png"))) == 4
    assert (brand / "generated" / "001" / "sheet.png").is_file()

    assert run("report", brand, "--baselines", "--prompts", "2", "-n", "1", "--steps", "2") == 0
    page = Path(capsys.readouterr().out.split()[-1])
    assert page == (brand / "report.html").resolve()
    figures = json.loads((brand / "report.json").read_text())
    assert [stage["name"] for stage in figures["stages"]] == ["appearance"]
    assert {"prompt_only", "dreambooth_lora"} <= set(figures["baselines"])
    assert figures["ship"]["reason"]


def test_generating_again_with_the_same_seed_gives_the_same_pictures(brand: Path) -> None:
    """The pixels depend on the model, the prompt and the seed, on nothing else."""
    assert run("train", brand) == 0
    for _ in range(2):
        assert run("generate", "waving", "-b", brand, "-n", "1", "--steps", "2") == 0
    first, second = (Image.open(brand / "generated" / f"00{k}" / "000.png") for k in (1, 2))
    assert np.array_equal(np.asarray(first), np.asarray(second))


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(
    tmp_path: Path, tiny_pack_folder: Path
) -> None:
    """A training interrupted by SIGINT leaves with 130 and one line; the next run ends the job."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(base=tiny_pack_folder, num_steps=120))
    folder = tmp_path / "kuro"
    assert run("new", folder, "-p", draw(tmp_path / "pictures"), "--recipe", recipe) == 0
    child = subprocess.Popen(
        [*CLI, "train", str(folder)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    log = folder / "model" / "stages" / "01-appearance" / "log.jsonl"
    wait_until(lambda: log.is_file() and log.stat().st_size > 0, child)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    assert "The same command goes on behind them." in said
    assert "Traceback" not in said
    steps_before = len(log.read_text().splitlines())
    assert steps_before < 120

    assert run("train", folder) == 0
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == sorted(set(steps))


def test_a_name_with_spaces_and_brackets(brand: Path, tmp_path: Path, capsys) -> None:
    """It is shown as it is, and the commands to run next can be copied into a shell."""
    folder = tmp_path / "my [/]fox [1]"
    recipe = brand / "recipe.toml"
    assert run("new", folder, "-p", tmp_path / "pictures", "--recipe", recipe) == 0
    told = capsys.readouterr()
    assert told.out.strip() == str(folder)
    assert f"{folder}: found 8 pictures" in told.err
    assert f"onbrand train {shlex.quote(str(folder))}" in told.err
    assert run("train", folder) == 0
    assert f"next: onbrand report {shlex.quote(str(folder))}" in capsys.readouterr().err


def test_a_stopped_report_goes_on(
    brand: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Stopped by Ctrl-C it says that the same command goes on; that one keeps what was drawn, which
    one with other options would not."""
    assert run("train", brand) == 0
    words = ("report", brand, "--prompts", "1", "-n", "1", "--steps", "2")
    real, stop_at, asked = generation.sample, 2, []

    def interrupted(model: object, prompts: list[str], **settings: object) -> list[Image.Image]:
        asked.append(prompts)
        if len(asked) == stop_at:
            raise KeyboardInterrupt
        return real(model, prompts, **settings)

    monkeypatch.setattr(generation, "sample", interrupted)
    assert run(*words) == 130
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(f"kept in {brand}. The same command goes on behind them.")
    stop_at = 3
    assert run(*words) == 130
    assert asked[2] == asked[1]


def wait_until(ready: Callable[[], bool], child: subprocess.Popen[str]) -> None:
    """Returns once `ready` holds; fails when the child ends first or a minute goes by."""
    for _ in range(600):
        if ready():
            return
        try:
            child.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"the child ended with {child.returncode}: {child.stderr}")
    raise AssertionError("nothing happened for a minute")


def test_ctrl_c_before_the_work_begins_is_a_line_too(
    brand: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """While libraries load, and in the console script itself: 130 and one line, no trace."""

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("onbrand.app.cli.render.showing", stopped)
        assert run("generate", "waving", "-b", brand) == 130
    assert capsys.readouterr().err == "stopped; what was finished is kept.\n"
    monkeypatch.setattr("onbrand.app.cli.main", stopped)
    with pytest.raises(SystemExit) as left:
        script()
    assert left.value.code == 130
    assert capsys.readouterr().err == "stopped; nothing was begun.\n"


@pytest.mark.parametrize("policy", [None, "ACTIVE"])
def test_threads_sleep_while_they_wait(monkeypatch: pytest.MonkeyPatch, policy: str | None) -> None:
    """Two threads on busy cores would spin for each other; a policy of one's own is kept."""
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that all is as before when the test ends
        monkeypatch.delenv(name)
    if policy:
        monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    monkeypatch.setattr(sys, "argv", ["onbrand", "--version"])
    with pytest.raises(SystemExit):
        script()
    assert os.environ.get("GOMP_SPINCOUNT") == (None if policy else "1000")
