"""Real failures: a character trained as usual, five times as long, four and sixteen times as fast,
and from pictures of one pose. What the indices say of each is told, not graded: nobody planted the
fault.

Every run is a brand folder under `work`, trained and compared as a user would; what is finished is
kept.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onbrand.bench.characters import draw_brand, drawn_pictures
from onbrand.bench.exam import figures
from onbrand.bench.record import Result
from onbrand.events import Advanced, Finished, Listener, Started, silent
from onbrand.files import write_text_atomic

if TYPE_CHECKING:
    from onbrand.models.packs import Pack

__all__ = ["RUNS", "SETTINGS", "failures_of", "train_failures"]

SETTINGS: Mapping[str, Any] = {
    "num_train": 12, "num_held_out": 6, "num_prompts": 8, "num_steps": 150, "batch_size": 4,
    "learning_rate": 1e-3, "num_sampling_steps": 12,
}  # fmt: skip

NUM_MEMORY = 60  # new real pictures, for the threshold of memorised

RUNS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "steps_x5": {"num_steps": 5},
    "rate_x4": {"learning_rate": 4},
    "rate_x16": {"learning_rate": 16},
    "one_pose": {"pose": "waving"},
}
"""Run → what is multiplied, or the one pose."""


def recipe_toml(run: str, base: str) -> str:
    """The recipe of a run: one stage, so that nothing mends what it did."""
    change = RUNS[run]
    num_steps = SETTINGS["num_steps"] * change.get("num_steps", 1)
    rate = SETTINGS["learning_rate"] * change.get("learning_rate", 1)
    return f"""\
base = {json.dumps(base)}
seed = 7
[lora]
rank = 32
alpha = 32
targets = "all"
[validation]
num_prompts = 4
num_per_prompt = 2
num_steps = 12
[[stage]]
kind = "appearance"
learning_rate = {rate:g}
warmup_steps = 20
batch_size = {SETTINGS["batch_size"]}
num_steps = {num_steps}
min_snr_gamma = 0
augment = {{ rotate_degrees = 6, scale_fraction = 0.1, shift_fraction = 0.05 }}
"""


def train_failures(
    identity: int, *, base: str, folder: Path, size_px: int, seed: int, emit: Listener = silent
) -> dict[str, Path]:
    """The brand folders of all runs of a character, by run; trained where they are not yet."""
    from onbrand import road

    brands = {}
    task = f"failures of character {identity}"
    emit(Started(task, len(RUNS), "runs"))
    for done, run in enumerate(RUNS, start=1):
        brand = folder / f"{identity:03d}" / run
        if not (brand / "brief.toml").is_file():
            drawn = folder / f"{identity:03d}" / f"drawn-{run}"
            draw_brand(
                identity,
                drawn,
                num_train=SETTINGS["num_train"],
                num_held_out=SETTINGS["num_held_out"],
                num_prompts=SETTINGS["num_prompts"],
                size_px=size_px,
                seed=seed,
                pose=RUNS[run].get("pose"),
            )
            recipe = drawn / "recipe.toml"
            write_text_atomic(recipe, recipe_toml(run, base))
            road.new(
                str(brand),
                pictures=drawn / "pictures",
                brief=drawn / "brief.toml",
                recipe=str(recipe),
                base=base,
                emit=emit,
            )
        road.train(brand, emit=emit)
        brands[run] = brand
        emit(Advanced(task, done))
    emit(Finished(task, {"runs": len(RUNS)}))
    return brands


def failures_of(
    identity: int, *, base: str, pack: Pack, folder: Path, seed: int, emit: Listener = silent
) -> Result:
    """Per run of a character what a report says of its stage, and what gates would have read.
    `base` is the pack's name, as a recipe has it."""
    brands = train_failures(
        identity,
        base=base,
        folder=folder / "failures",
        size_px=pack.num_px,
        seed=seed,
        emit=emit,
    )
    found: dict[str, Result] = {}
    drawn: Path | None = None
    for run, brand in brands.items():
        if drawn is not None:
            _lend(drawn, brand)
        found[run] = _compared(brand, identity, pack, seed, emit)
        drawn = drawn or brand
    return found


def _lend(lender: Path, brand: Path) -> None:
    """The untouched base draws the same for every run: its pictures are drawn once."""
    for arm in ("base", "prompt_only"):
        if not (brand / "judged" / arm).exists():
            shutil.copytree(lender / "judged" / arm, brand / "judged" / arm)


def _compared(brand: Path, identity: int, pack: Pack, seed: int, emit: Listener) -> Result:
    from onbrand import road
    from onbrand.judging import character_gallery
    from onbrand.judging.diagnosis import excesses, findings

    contest = road.open_contest(
        brand,
        num_prompts=SETTINGS["num_prompts"],
        num_per_prompt=1,
        seed=1000 + seed,
        num_steps=SETTINGS["num_sampling_steps"],
        gallery=character_gallery(
            identity, num_others=3, num_lookalikes=2, num_pictures=3, size_px=pack.num_px
        ),
        held_out_for_memory=drawn_pictures(identity, NUM_MEMORY, size_px=pack.num_px, seed=seed),
        emit=emit,
    )
    found = road.compare(brand, contest, emit=emit)
    stage = found.model.stages[-1]
    own, base = (figures(found.measured[arm].arm) for arm in (stage.name, "base"))
    return {
        "excesses": excesses(own, base),
        "named": [finding.fault for finding in findings(own, base)],
        "said": [finding.sentence for finding in findings(own, base)],
        "identity": own["identity"],
        "alignment": own["alignment"],
        "gates": dict(stage.metrics),
    }
