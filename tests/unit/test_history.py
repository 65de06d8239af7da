"""run.json, opened again: what goes on, what is measured anew, what is trained anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onbrand.artifacts.brand_model import StageResult
from onbrand.events import Event, Warned
from onbrand.files import fingerprint_file
from onbrand.training.history import BEST_FILE, WATCH_FILE, History, digest

RESUME = "resume.safetensors"
LORA = "pytorch_lora_weights.safetensors"
NAMES = ("one", "two")


def opened(root: Path, *fingerprints: str, **changes: Any) -> tuple[History, list[Event]]:
    """The history of two stages with these settings, and what was said."""
    heard: list[Event] = []
    facts: dict[str, Any] = {"trains": {"base": "a"}, "looks": "x", "emit": heard.append}
    pairs = zip(NAMES, fingerprints or ("1", "2"), strict=True)
    stages = [{"name": name, "fingerprint": told} for name, told in pairs]
    return History.open(root, stages=stages, **(facts | changes)), heard


def finished(history: History, index: int) -> StageResult:
    """Stage `index` as one that has just written its files."""
    folder = history.root / "stages" / f"{index + 1:02d}-{NAMES[index]}"
    folder.mkdir(parents=True)
    for name in (RESUME, BEST_FILE, WATCH_FILE, LORA, "load_test.json"):
        (folder / name).write_text(f"{name} of {NAMES[index]}")
    files = {name: fingerprint_file(folder / name) for name in (RESUME, BEST_FILE, LORA)}
    place = str(folder.relative_to(history.root))
    result = StageResult(NAMES[index], "appearance", 2, 4, place, 1.0, {"identity": 0.5},
                         files=files)  # fmt: skip
    history.keep(index, result)
    return result


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder in which both stages are finished, and the base was looked at."""
    history, _ = opened(tmp_path)
    for index in range(2):
        finished(history, index)
    history.keep_base({"identity": 0.25})
    return tmp_path


def test_digests_tell_values_apart_and_not_orders() -> None:
    """Keys in any order, paths and other letters; lists keep theirs."""
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest([1, 2]) != digest([2, 1])
    assert len(digest({"path": Path("/é")})) == 16


def test_the_same_again_keeps_all(root: Path) -> None:
    """Results, the base's figures, and that they are of today's pictures."""
    history, heard = opened(root)
    assert [history.result(i) is not None for i in range(2)] == [True, True]
    assert history.base_metrics == {"identity": 0.25}
    assert not history.is_stale(0)
    assert not [event for event in heard if isinstance(event, Warned)]


def test_other_pictures_to_look_at_train_nothing(root: Path) -> None:
    """The stages stay, their figures are stale, and the base is looked at anew."""
    history, _ = opened(root, looks="y")
    assert history.result(1) is not None
    assert history.is_stale(0)
    assert history.is_stale(1)
    assert history.base_metrics == {}


def test_a_changed_stage_takes_those_behind_it_along(root: Path) -> None:
    """The first goes on where the second alone is another; the second never outlives the first."""
    history, heard = opened(root, "1", "3")
    assert [history.result(i) is not None for i in range(2)] == [True, False]
    assert history.base_metrics == {"identity": 0.25}
    (said,) = [event.message for event in heard if isinstance(event, Warned)]
    assert said == (
        "changed since the last run: stage two; 1 stage(s) are kept, the rest is in previous/."
    )
    assert (root / "previous" / "stages" / "02-two" / LORA).is_file()
    history, _ = opened(root, "4", "3")
    assert history.results == [None, None]


def test_another_base_keeps_no_figure(root: Path) -> None:
    """Neither the stages' nor its own."""
    history, heard = opened(root, trains={"base": "b"})
    assert history.results == [None, None]
    assert history.base_metrics == {}
    (said,) = [event.message for event in heard if isinstance(event, Warned)]
    assert "changed since the last run: base; training starts anew" in said


def test_nothing_goes_on_from_a_changed_checkpoint(root: Path) -> None:
    """It is taken away with all that belongs to it; a changed export alone is written again."""
    folder = root / "stages" / "01-one"
    (folder / LORA).write_text("other")
    history, heard = opened(root)
    assert history.result(0) is None
    assert heard[-1].message.endswith(f"{LORA}; it writes it again.")
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [RESUME, BEST_FILE, WATCH_FILE, LORA]
    )
    (folder / BEST_FILE).write_text("other")
    assert history.result(0) is None
    assert heard[-1].message.endswith("it is trained anew.")
    assert [path.name for path in folder.iterdir()] == [LORA]


def test_who_only_reads_changes_nothing(root: Path) -> None:
    """A second process takes the results as they stand, whatever is asked of it."""
    before = (root / "run.json").read_bytes()
    (root / "stages" / "01-one" / RESUME).write_text("other")
    history, heard = opened(root, "5", "6", read_only=True)
    assert history.result(1) is not None
    assert history.result(0) is None
    assert (root / "stages" / "01-one" / RESUME).is_file()
    assert (root / "run.json").read_bytes() == before
    assert heard == []


def test_a_try_whose_gate_failed_is_put_aside(root: Path) -> None:
    """With its figures and what the next one changes; the stages behind began from it, and go."""
    history, _ = opened(root)
    first = history.result(0)
    assert first is not None
    history.keep_try(0, first, {"learning_rate": 1e-3})
    (told,) = opened(root)[0].tries[0]
    assert told["folder"] == "tries/01-one-1"
    assert told["metrics"] == {"identity": 0.5}
    assert told["then"] == {"learning_rate": 1e-3}
    assert (root / "tries" / "01-one-1" / LORA).is_file()
    assert history.results == [None, None]
    assert not (root / "stages" / "02-two").exists()
