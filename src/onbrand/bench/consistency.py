"""Is the right character drawn? Many reserved characters, the whole road for each.

For every character: draw pictures as a designer would deliver them, `road.new`, `road.train`, the
dreambooth_lora baseline on the same number of pictures, and `road.compare` on prompts that name
what it does in no training picture. A character's figures are its pictures' mean; the bench's are
the characters' mean, with intervals resampled by character. Each finished character is a JSON file
under `work`, so a run can be stopped at any time and goes on behind the last one.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from onbrand.bench.characters import draw_brand, drawn_pictures, quick_recipe
from onbrand.bench.record import Result
from onbrand.bench.summary import OURS, summarise
from onbrand.errors import GateFailed
from onbrand.events import Advanced, Finished, Listener, Noted, Started, silent
from onbrand.files import (
    fingerprint_bytes,
    fingerprint_file,
    write_json_atomic,
    write_text_atomic,
)

if TYPE_CHECKING:
    from onbrand.models.packs import Pack

__all__ = ["LEARNING_RATES", "Settings", "run_consistency"]

LEARNING_RATES = (2.5e-4, 5e-4, 1e-3, 2e-3)
TUNING_IDS = (200, 201)
"""Characters on which the baseline's learning rate is searched: never among the measured ones."""


@dataclass(frozen=True)
class Settings:
    """What a character's figures depend on; another value is another folder of results."""

    base: str
    pack: str
    recipe: str
    num_train: int = 20
    num_held_out: int = 8
    num_memory: int = 100
    num_gallery: int = 6
    num_prompts: int = 10
    num_per_prompt: int = 2
    num_steps: int = 20
    guidance: float = 4.0
    seed: int = 7
    learning_rates: tuple[float, ...] = LEARNING_RATES

    def quick(self) -> Settings:
        """The same with hardly any pictures or steps: only what must run to see that it runs."""
        return replace(
            self, recipe=quick_recipe(self.recipe), num_train=6, num_held_out=3, num_memory=8,
            num_gallery=1, num_prompts=2, num_steps=4, learning_rates=self.learning_rates[:1],
        )  # fmt: skip

    def to_dict(self) -> dict[str, object]:
        """As in the JSON."""
        return {**asdict(self), "learning_rates": list(self.learning_rates)}

    @property
    def key(self) -> str:
        """A fingerprint of all of them."""
        return fingerprint_bytes(json.dumps(self.to_dict(), sort_keys=True).encode())


def run_consistency(
    *,
    base: str = "pocket",
    num_characters: int = 20,
    num_prompts: int = 10,
    num_per_prompt: int = 2,
    quick: bool = False,
    work: Path = Path("build/bench/consistency"),
    seed: int = 7,
    recipe: str = "demo",
    learning_rates: Sequence[float] = LEARNING_RATES,
    json_path: Path | None = None,
    num_workers: int = 1,
    emit: Listener = silent,
) -> Result:
    """Run (or go on with) the bench and return its JSON object, written to `json_path` too.

    `quick`: 2 characters, 2 prompts, a few steps, no search: shows that it works, and the figures
    say nothing. `learning_rates` are tried for dreambooth_lora on characters outside the bench; the
    best by training-side figures is used for all. `num_workers` characters are worked on at once,
    each in a process with its share of the cores; figures agree to rounding. Raises what the road
    raises, but for GateFailed: a character whose gate failed counts with the stage that would ship.
    """
    from onbrand.models import open_pack
    from onbrand.recipe import recipe_file

    work.mkdir(parents=True, exist_ok=True)
    pack = open_pack(base)
    settings = Settings(
        base=base,
        pack=pack.fingerprint,
        recipe=recipe_file(recipe).read_text(encoding="utf-8"),
        num_prompts=num_prompts,
        num_per_prompt=num_per_prompt,
        seed=seed,
        learning_rates=tuple(learning_rates),
    )
    if quick:
        settings, num_characters = settings.quick(), min(num_characters, 2)
    folder = work / settings.key
    write_json_atomic(folder / "settings.json", settings.to_dict())
    rate = _learning_rate(settings, pack.num_px, folder, num_workers, emit)

    task = "consistency"
    emit(Started(task, num_characters, "characters"))
    work_on = partial(
        _character, settings=settings, size_px=pack.num_px, rate=rate, folder=folder,
        judges=_judges(pack),
    )  # fmt: skip
    records = []
    for record in _at_once(work_on, range(num_characters), num_workers, emit):
        records.append(record)
        numbers = {
            "retrieval": records[-1]["arms"][OURS].get("retrieval_fraction", 0.0),
            "identity": records[-1]["arms"][OURS]["identity"],
        }
        emit(Advanced(task, len(records), numbers))
    found = summarise(records, seed=seed)
    found |= {"quick": quick, "learning_rate": rate, "settings": settings.to_dict()}
    if json_path is not None:
        write_json_atomic(json_path, found)
    emit(Finished(task, {name: m["value"] for name, m in found["metrics"].items()}))
    return found


def _at_once(
    work_on: Callable[..., Result], ids: Sequence[int], num_workers: int, emit: Listener
) -> Iterator[Result]:
    """work_on(id, emit=…) of every id, in order; in processes of their own, which tell nothing,
    when there is more than one worker."""
    if num_workers == 1:
        yield from (work_on(identity, emit=emit) for identity in ids)
        return
    threads = max(1, (os.cpu_count() or 1) // num_workers)
    with ProcessPoolExecutor(
        num_workers, multiprocessing.get_context("spawn"), _take_threads, (threads,)
    ) as crew:
        try:
            yield from crew.map(work_on, ids)
        except BaseException:
            crew.shutdown(cancel_futures=True)
            raise


def _take_threads(num: int) -> None:
    """Make torch in this process leave the other workers' cores alone."""
    import torch

    torch.set_num_threads(num)


def _judges(pack: Pack) -> str:
    """A fingerprint of the weights that measure: with other judges characters are measured anew,
    and nothing is trained or drawn again."""
    roles = [pack.role(name) for name in ("twin_identity", "alignment")]
    roles += [pack.roles["attributes"]] if "attributes" in pack.roles else []
    files = [file for role in roles for file in sorted(role.rglob("*.safetensors"))]
    return fingerprint_bytes("".join(fingerprint_file(file) for file in files).encode())[:8]


def _start(identity: int, settings: Settings, size_px: int, folder: Path, emit: Listener) -> Path:
    """The brand folder of a character: drawn and begun, or as an earlier run left it."""
    from onbrand import road

    brand = folder / f"brand-{identity:03d}"
    if (brand / "brief.toml").is_file():
        return brand
    drawn = folder / f"drawn-{identity:03d}"
    recipe = folder / "recipe.toml"
    write_text_atomic(recipe, settings.recipe)
    draw_brand(
        identity,
        drawn,
        num_train=settings.num_train,
        num_held_out=settings.num_held_out,
        num_prompts=settings.num_prompts,
        size_px=size_px,
        seed=settings.seed,
    )
    return road.new(
        str(brand),
        pictures=drawn / "pictures",
        brief=drawn / "brief.toml",
        recipe=str(recipe),
        base=settings.base,
        emit=emit,
    )


def _train(brand: Path, emit: Listener) -> None:
    from onbrand import road

    try:
        road.train(brand, emit=emit)
    except GateFailed as failed:
        emit(Noted(f"{brand.name}: {failed}"))


def _learning_rate(
    settings: Settings, size_px: int, folder: Path, num_workers: int, emit: Listener
) -> float:
    """The baseline's learning rate: the best mean training-side score on the tuning characters.

    The score is identity, minus what alignment falls short of the best candidate's by more than
    3 %: the same two things our own settings were chosen by.
    """
    if len(settings.learning_rates) == 1:
        return settings.learning_rates[0]
    file = folder / "learning_rate.json"
    if file.is_file():
        return float(json.loads(file.read_text(encoding="utf-8"))["learning_rate"])
    task = "baseline's learning rate"
    emit(Started(task, len(TUNING_IDS), "characters"))
    try_on = partial(_try_rates, settings=settings, size_px=size_px, folder=folder)
    tried: list[Mapping[str, Mapping[str, float]]] = []
    for found in _at_once(try_on, TUNING_IDS, num_workers, emit):
        tried.append(found)
        emit(Advanced(task, len(tried)))
    means = {
        rate: {
            name: sum(found[str(rate)][name] for found in tried) / len(tried)
            for name in ("identity", "alignment")
        }
        for rate in settings.learning_rates
    }
    wanted = 0.97 * max(found["alignment"] for found in means.values())
    best = max(means, key=lambda r: means[r]["identity"] - max(0.0, wanted - means[r]["alignment"]))
    write_json_atomic(
        file, {"learning_rate": best, "tried": {str(rate): found for rate, found in means.items()}}
    )
    return best


def _try_rates(
    identity: int, settings: Settings, size_px: int, folder: Path, emit: Listener = silent
) -> Result:
    """Training-side figures of the baseline on a tuning character, by str(learning rate)."""
    from onbrand import road

    file = folder / f"rates-{identity:03d}.json"
    tried: Result = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    brand = _start(identity, settings, size_px, folder, emit)
    _train(brand, emit)
    for rate in settings.learning_rates:
        if str(rate) not in tried:
            model = road.train_baseline(brand, learning_rate=rate, emit=emit)
            tried[str(rate)] = dict(model.stages[-1].metrics)
            write_json_atomic(file, tried)
    return tried


def _character(
    identity: int,
    settings: Settings,
    size_px: int,
    rate: float,
    folder: Path,
    judges: str,
    emit: Listener = silent,
) -> Result:
    """One character's record: read when it is finished, made when it is not."""
    from onbrand import road
    from onbrand.illustrator import character, describe
    from onbrand.judging import character_gallery

    file = folder / f"character-{identity:03d}-{judges}.json"
    if file.is_file():
        done: Result = json.loads(file.read_text(encoding="utf-8"))
        return done
    began = time.monotonic()
    brand = _start(identity, settings, size_px, folder, emit)
    _train(brand, emit)
    road.train_baseline(brand, learning_rate=rate, emit=emit)
    wanted = json.loads((folder / f"drawn-{identity:03d}" / "expected.json").read_text())
    found = road.compare(
        brand,
        prompts=[entry["prompt"] for entry in wanted],
        expected=[entry["attributes"] for entry in wanted],
        num_per_prompt=settings.num_per_prompt,
        seed=1000 + settings.seed,
        num_steps=settings.num_steps,
        guidance=settings.guidance,
        gallery=character_gallery(identity, num_pictures=settings.num_gallery, size_px=size_px),
        held_out_for_memory=drawn_pictures(
            identity, settings.num_memory, size_px=size_px, seed=settings.seed
        ),
        emit=emit,
    )
    real = found.judgement.baselines["real"].metrics
    shipped = found.model.ship.get("stage") or found.model.stages[-1].name
    arms = {
        name: {key: metric.value for key, metric in measured.arm.metrics.items()}
        for name, measured in found.measured.items()
    }
    record: Result = {
        "id": identity,
        "character": describe(character(identity)),
        "shipped": shipped,
        "sentence": found.verdict.sentence,
        "chance": found.references.gallery.chance,
        "seconds": round(time.monotonic() - began, 1),
        "arms": {
            OURS: arms[shipped],
            **arms,
            "real": {key: metric.value for key, metric in real.items()},
        },
    }
    write_json_atomic(file, record)
    return record
