"""run.json: what a model folder was trained from, so that a run goes on or starts anew, never both.

Three kinds of facts: what all weights depend on (`trains`), each stage's own settings (a stage
depends on those before it), and what only pictures and figures depend on (`looks`). Gates are not
among them: they are judged again from the kept figures.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from onbrand.artifacts.brand_model import StageResult
from onbrand.artifacts.folder import read_json
from onbrand.errors import ArtifactError
from onbrand.events import Listener, Noted, Warned, silent
from onbrand.files import storage_errors, write_json_atomic

__all__ = ["BEST_FILE", "WATCH_FILE", "History", "digest", "read_run"]

VERSION = 1
BEST_FILE = "best.safetensors"
WATCH_FILE = "watch.json"
"""What an early stop saw and kept in a stage's folder (early_stop.py)."""
CHECKPOINT_FILES = ("resume.safetensors", BEST_FILE)
"""From these parameters a stage, or the one behind it, goes on."""
_ASIDE = re.compile(r"previous(-\d+)?")  # a copy that somebody made, previous.bak, stays as it is


def digest(value: object) -> str:
    """Hash of a JSON value, 16 hex digits."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_run(root: Path) -> dict[str, Any] | None:
    """What run.json in this folder tells; None where there is none, or a damaged one."""
    kinds = {"trains": dict, "stages": list, "results": list, "looked": list, "base_metrics": dict}
    try:
        told = read_json(Path(root) / "run.json")
    except ArtifactError:
        return None
    if not isinstance(told, dict) or told.get("version") != VERSION:
        return None
    if not all(isinstance(told.get(name), kinds[name]) for name in kinds):
        return None
    return {"tries": [[] for _ in told["stages"]], **told}  # an older onbrand made none


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
        """Read run.json and keep what still holds; move the rest to previous/, saying why, and take
        back from there what was trained from the very same before.

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
        old = read_run(fresh.root)
        if old is None:
            aside = fresh._set_aside(0)
            if aside:
                told = f"{fresh.root} had stages of unknown origin; they are in {aside.name}/."
                emit(Warned(told))
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
        self.results[:num_same] = old["results"][:num_same]
        self.looked[:num_same] = old["looked"][:num_same]
        self.tries[:num_same] = old["tries"][:num_same]
        if self.looks != old["looks"]:
            self.base_metrics = {}
        aside = self._set_aside(num_same) if num_same < len(old["stages"]) else None
        self._write()  # before anything is taken back: no folder stands beside others' facts
        num_kept = num_same + self._take_back(num_same)
        if aside:
            what = ", ".join(changed) or f"stage {old['stages'][num_same]['name']}"
            kept = f"{num_kept} stage(s) are kept" if num_kept else "training starts anew"
            emit(
                Warned(f"changed since the last run: {what}; {kept}, the rest is in {aside.name}/.")
            )
        done = sum(r is not None for r in self.results)
        if done:
            names = ", ".join(s["name"] for s in self.stages[:done])
            emit(Noted(f"already trained, kept: {names}"))

    def _set_aside(self, first: int) -> Path | None:
        """Move stages from number `first` on (0-based) to previous/, or to previous-2/ … where
        those before hold a finished stage. Returns the folder; None if there are no such stages."""
        folders = sorted((self.root / "stages").glob("[0-9][0-9]-*"))
        folders = [folder for folder in folders if int(folder.name[:2]) > first]
        if not folders:
            return None
        more = (f"previous-{number}" for number in itertools.count(2))
        places = (self.root / name for name in itertools.chain(["previous"], more))
        aside = next(place for place in places if _is_free(place))
        with storage_errors(aside):
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            for name in ("manifest.json", "run.json"):
                if (self.root / name).exists():
                    shutil.copy2(self.root / name, aside / name)
            (self.root / "manifest.json").unlink(missing_ok=True)
            for folder in folders:
                _move(folder.name, self.root, aside)
        return aside

    def _take_back(self, first: int) -> int:
        """Move finished stages from number `first` on back that were set aside and are what would
        be trained now; returns how many."""
        named = (p for p in sorted(self.root.glob("previous*")) if _ASIDE.fullmatch(p.name))
        asides = [(place, read_run(place)) for place in named]
        for index in range(first, len(self.stages)):
            found = [(p, told) for p, told in asides if told and self._is_ours(told, index, p)]
            if not found:
                return index - first
            place, told = found[0]
            with storage_errors(self.root):
                _move(Path(told["results"][index]["folder"]).name, place, self.root)
                if not any((place / "stages").iterdir()):
                    shutil.rmtree(place)
            self.results[index], self.looked[index] = told["results"][index], told["looked"][index]
            self.emit(Noted(f"{self.stages[index]['name']} is taken back from {place.name}/"))
        return len(self.stages) - first

    def _is_ours(self, told: Mapping[str, Any], index: int, place: Path) -> bool:
        """Whether stage `index` lies in that place, was trained from what is asked for now, and
        began from the stages that are kept. Its tries are not set aside: with some it stays; so
        does what an older onbrand set aside without writing down all that it depends on."""
        end, results = index + 1, told["results"]
        if told["trains"] != self.trains or told["stages"][:end] != self.stages[:end]:
            return False
        if None in results[:end] or told["tries"][index]:
            return False
        began = [one.get("files") for one in results[:index]]
        kept = [one.get("files") for one in self.results[:index] if one]
        known = all(began) and began == kept
        return known and (place / results[index]["folder"]).is_dir()

    def refresh(self) -> None:
        """Take the results and figures that run.json holds now."""
        told = read_run(self.root)
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


def _is_free(place: Path) -> bool:
    """Whether nothing lies there, or no stage that was finished."""
    told = read_run(place)
    if told is None:
        return not place.exists()
    return not any(one and (place / one["folder"]).is_dir() for one in told["results"])


def _move(name: str, root: Path, to: Path) -> None:
    """Move a stage's folder and its sheets from one model's folder to another's."""
    (to / "stages").mkdir(exist_ok=True)
    shutil.move(root / "stages" / name, to / "stages" / name)
    for sheet in (root / "previews").glob(f"{name}*.png"):
        (to / "previews").mkdir(exist_ok=True)
        shutil.move(sheet, to / "previews" / sheet.name)
