"""run.json: what a model folder was trained from, so that a run goes on or starts anew, never both.

Three kinds of facts: what all weights depend on (`trains`), each stage's own settings (a stage
depends on those before it), and what only pictures and figures depend on (`looks`). Gates are not
among them: they are judged again from the kept figures.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from onbrand.artifacts.brand_model import StageResult
from onbrand.events import Listener, Noted, Warned, silent
from onbrand.files import storage_errors, write_json_atomic

__all__ = ["BEST_FILE", "WATCH_FILE", "History", "digest"]

VERSION = 1
BEST_FILE = "best.safetensors"
WATCH_FILE = "watch.json"
"""What an early stop saw and kept in a stage's folder (early_stop.py)."""
CHECKPOINT_FILES = ("resume.safetensors", BEST_FILE)
"""From these parameters a stage, or the one behind it, goes on."""


def digest(value: object) -> str:
    """Hash of a JSON value, 16 hex digits."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass
class History:
    """The state of run.json in a model folder.

    `results[i]` is None until stage i has finished; `looked[i]` says what it was measured on;
    `tries[i]` are its earlier tries, whose gate failed, in order.
    """

    root: Path
    trains: dict[str, Any]
    looks: str
    stages: list[dict[str, str]]
    results: list[dict[str, Any] | None]
    looked: list[str]
    tries: list[list[dict[str, Any]]]
    base_metrics: dict[str, float] = field(default_factory=dict)
    emit: Listener = silent
    read_only: bool = False

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        trains: Mapping[str, Any],
        looks: str,
        stages: Sequence[Mapping[str, str]],
        emit: Listener,
        read_only: bool = False,
    ) -> History:
        """Read run.json and keep what still holds; move the rest to previous/, saying why.

        `read_only` takes run.json as it stands: another process has opened it and writes it.
        """
        num = len(stages)
        fresh = cls(
            Path(root), dict(trains), looks, [dict(s) for s in stages], [None] * num, [""] * num,
            [[] for _ in range(num)],
        )  # fmt: skip
        fresh.emit, fresh.read_only = emit, read_only
        if read_only:
            fresh.refresh()
            return fresh
        old = fresh._read()
        if old is None:
            if (fresh.root / "stages").exists():
                emit(Warned(f"{fresh.root} has stages of unknown origin; they move to previous/."))
                fresh._set_aside(0)
        else:
            fresh._inherit(old, emit)
        fresh._write()
        return fresh

    def _inherit(self, old: dict[str, Any], emit: Listener) -> None:
        before = self.trains | old["trains"]  # what an older onbrand did not write down
        changed = [k for k in self.trains if self.trains[k] != before[k]]
        num_same = 0
        if not changed:
            for ours, theirs in zip(self.stages, old["stages"], strict=False):
                if ours != theirs:
                    break
                num_same += 1
            self.base_metrics = dict(old["base_metrics"])
        if num_same < len(old["stages"]):
            what = ", ".join(changed) or f"stage {old['stages'][num_same]['name']}"
            if self._set_aside(num_same):
                kept = "training starts anew" if num_same == 0 else f"{num_same} stage(s) are kept"
                emit(
                    Warned(f"changed since the last run: {what}; {kept}, the rest is in previous/.")
                )
        self.results[:num_same] = old["results"][:num_same]
        self.looked[:num_same] = old["looked"][:num_same]
        self.tries[:num_same] = old.get("tries", self.tries)[:num_same]
        if self.looks != old["looks"]:
            self.base_metrics = {}
        done = sum(r is not None for r in self.results)
        if done:
            names = ", ".join(s["name"] for s in self.stages[:done])
            emit(Noted(f"already trained, kept: {names}"))

    def _set_aside(self, first: int) -> bool:
        """Move stages from number `first` on (0-based) to previous/; True if there were any."""
        folders = sorted((self.root / "stages").glob("[0-9][0-9]-*"))
        folders = [folder for folder in folders if int(folder.name[:2]) > first]
        if not folders:
            return False
        aside = self.root / "previous"
        with storage_errors(aside):
            shutil.rmtree(aside, ignore_errors=True)
            (aside / "stages").mkdir(parents=True)
            for name in ("manifest.json", "run.json"):
                if (self.root / name).exists():
                    shutil.copy2(self.root / name, aside / name)
            (self.root / "manifest.json").unlink(missing_ok=True)
            for folder in folders:
                shutil.move(folder, aside / "stages" / folder.name)
                for sheet in (self.root / "previews").glob(f"{folder.name}*.png"):
                    (aside / "previews").mkdir(exist_ok=True)
                    shutil.move(sheet, aside / "previews" / sheet.name)
        return True

    def refresh(self) -> None:
        """Take the results and figures that run.json holds now."""
        told = self._read()
        if told is not None:
            self.results, self.looked = list(told["results"]), list(told["looked"])
            self.tries = list(told["tries"])
            self.base_metrics = dict(told["base_metrics"])

    def result(self, index: int) -> StageResult | None:
        """The kept result of stage `index`, if it finished and its files are what it wrote.

        Otherwise the stage is to be run again, which writes the missing files: a changed or lost
        checkpoint, the best one of an early stop too, is taken out of the way with what goes with
        it, for nothing may go on from it.
        """
        kept = self.results[index]
        if kept is None:
            return None
        told = {**kept, "diagnosis": (), "tries": tuple(kept.get("tries", ()))}
        result = StageResult(**told)
        changed = result.changed_files(self.root)
        folder = self.root / result.folder
        checkpoint = folder / CHECKPOINT_FILES[0]
        if changed and not self.read_only:
            names = ", ".join(path.name for path in changed)
            parameters = {folder / name for name in CHECKPOINT_FILES}
            anew = not parameters.isdisjoint(changed)
            again = "is trained anew" if anew else "writes it again"
            self.emit(
                Warned(f"changed since stage {result.name} was trained: {names}; it {again}.")
            )
            (folder / "load_test.json").unlink(missing_ok=True)
            if anew:
                for path in (*parameters, folder / WATCH_FILE):
                    path.unlink(missing_ok=True)
        return None if changed or not checkpoint.exists() else result

    def keep_try(self, index: int, result: StageResult, then: Mapping[str, Any]) -> None:
        """Put the stage's checkpoint aside in tries/: its gate failed, and another try follows,
        with the changes `then`. Stages behind it began from what is put aside: those, too."""
        number = len(self.tries[index]) + 1
        aside = self.root / "tries" / f"{Path(result.folder).name}-{number}"
        with storage_errors(aside):
            shutil.rmtree(aside, ignore_errors=True)
            aside.parent.mkdir(exist_ok=True)
            shutil.move(self.root / result.folder, aside)
            for sheet in (self.root / "previews").glob(f"{Path(result.folder).name}.png"):
                shutil.move(sheet, aside / "preview.png")
        told = {
            "changes": dict(result.changes),
            "metrics": dict(result.metrics),
            "gate": result.gate,
            "folder": f"tries/{aside.name}",
            "then": dict(then),
        }
        self.tries[index].append(told)
        self.results[index] = None
        self.forget_from(index + 1)

    def forget_from(self, index: int) -> None:
        """Put stage `index` and all behind it aside, tries included: they are to be made anew."""
        self._set_aside(index)
        for later in range(index, len(self.results)):
            self.results[later], self.looked[later], self.tries[later] = None, "", []
        self._write()

    def is_stale(self, index: int) -> bool:
        """Whether stage `index` was measured on other prompts or settings than today's."""
        return self.looked[index] != self.looks

    def keep(self, index: int, result: StageResult) -> None:
        """Write down that stage `index` has finished, and was measured as is asked today."""
        self.results[index] = asdict(result)
        self.looked[index] = self.looks
        self._write()

    def keep_base(self, metrics: Mapping[str, float]) -> None:
        """Write down the untouched base's figures on the validation prompts."""
        self.base_metrics = dict(metrics)
        self._write()

    def _read(self) -> dict[str, Any] | None:
        path = self.root / "run.json"
        try:
            data = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return data if isinstance(data, dict) and data.get("version") == VERSION else None

    def _write(self) -> None:
        write_json_atomic(
            self.root / "run.json",
            {
                "version": VERSION,
                "trains": self.trains,
                "looks": self.looks,
                "stages": self.stages,
                "results": self.results,
                "looked": self.looked,
                "tries": self.tries,
                "base_metrics": self.base_metrics,
            },
        )
