"""What is wrong with a stage, in words: measured indices against what they are compared with.

    fault        figure of a stage's pictures      wrong when it is
    shapes       shape_doubt                       above the real pictures'
    pose         pose_variety                      below the base's
    oily         oiliness                          above the base's and the real pictures'
    background   background_detail                 below the base's
    memorised    memorised_fraction                more than new real pictures' would be
    drift        prior_drift                       pictures of the plain class moved from the base's

The base draws the same prompts with the same seeds, so that a hard prompt excuses itself. How much
is too much (`LIMITS`) was set on characters that `onbrand bench diagnosis` does not grade.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.judging import indices, metrics
from onbrand.judging.sight import See, Sight

__all__ = [
    "FAULTS",
    "LIMITS",
    "Diagnoser",
    "Finding",
    "excesses",
    "findings",
    "percent",
    "worst_first",
]

Floats = NDArray[np.float64]

FAULTS: Mapping[str, str] = {
    "shapes": "shape_doubt",
    "pose": "pose_variety",
    "oily": "oiliness",
    "background": "background_detail",
    "memorised": "memorised_fraction",
    "drift": "prior_drift",
}
"""Fault → the figure that shows it."""

LIMITS: Mapping[str, Mapping[str, float]] = {
    "training": {
        "shapes": 0.085, "pose": 0.248, "oily": 0.568, "background": 0.338, "memorised": 0.05,
        "drift": 0.080,
    },
    "evaluation": {
        "shapes": 0.562, "pose": 0.124, "oily": 0.568, "background": 0.338, "memorised": 0.05,
        "drift": 0.067,
    },
}  # fmt: skip
"""Excess (see `excesses`) above which a fault is named, by the eyes that looked: "limits" of
docs/benchmarks/diagnosis.json. Memorised is a definition, not a measurement: one picture in a
hundred new ones counts, and one in twenty is too many to ship."""

BROKEN = 2.0  # times the base's doubt: its own sets differed by up to 1.98 (revision 8's eyes)
DOUBT_FLOOR = 0.05  # of a probability: what ratios below it would make of noise


class Diagnoser:
    """The brand's real pictures, seen once, and the figures of other sets against them.

    `train` are the training pictures, `held_out` never-trained real ones, all as large as the
    others and square as training shows them (`Dataset.open_square`); the threshold of
    memorised comes from `held_out_for_memory`, where there are more of these.
    """

    def __init__(
        self,
        see: See,
        *,
        train: Sequence[Image.Image],
        held_out: Sequence[Image.Image],
        held_out_for_memory: Sequence[Image.Image] = (),
    ) -> None:
        if not train or not held_out:
            raise ValueError(
                f"{len(train)} training and {len(held_out)} held-out pictures: diagnoses compare "
                "with both, so there must be some of each"
            )
        self.see = see
        self.real = see([*train, *held_out])
        self.train_layouts = self.real.layouts[: len(train)]
        unseen = metrics.layouts(held_out_for_memory or held_out)
        self.memory_threshold = metrics.memorisation_threshold(unseen, self.train_layouts)

    def figures(self, sight: Sight) -> dict[str, float]:
        """The figures of FAULTS but prior_drift; one that cannot be told is left out.

        shape_doubt is a ratio to the real pictures' (1 = as they are), oiliness a difference of
        logarithms (0 = as they are), pose_variety in figure sizes, the other two are shares.
        """
        distance = metrics.nearest_layout(sight.layouts, self.train_layouts)[1]
        doubt = (sight.doubt.mean() + DOUBT_FLOOR) / (self.real.doubt.mean() + DOUBT_FLOOR)
        found = {
            "shape_doubt": float(doubt),
            "pose_variety": indices.pose_variety(indices.pose_distances(sight.poses)),
            "oiliness": float(sight.oil.mean() - self.real.oil.mean()),
            "background_detail": _mean(sight.detail),
            "memorised_fraction": float((distance < self.memory_threshold).mean()),
        }
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def values(self, sight: Sight) -> dict[str, Floats]:
        """Per fault, how bad each picture is, [n]: comparable within one set only; NaN where
        nothing can be told."""
        apart = indices.pose_distances(sight.poses)
        np.fill_diagonal(apart, np.nan)
        near = metrics.nearest_layout(sight.layouts, self.train_layouts)[1]
        return {
            "shapes": sight.doubt,
            "pose": -_row_means(apart),
            "oily": sight.oil,
            "background": -sight.detail,
            "memorised": -near,
        }


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def _row_means(table: Floats) -> Floats:
    return np.array([_mean(row) for row in table])


def worst_first(values: Floats) -> list[int]:
    """Indices of the pictures, the worst first; those that tell nothing are left out."""
    return [int(i) for i in np.argsort(-values, kind="stable") if np.isfinite(values[i])]


def excesses(own: Mapping[str, float], base: Mapping[str, float]) -> dict[str, float]:
    """By how much each fault's figure is worse than what it is compared with; 0 = not at all.

    shapes: own/real − 1. pose, background: 1 − own/base, the share that is lost. oily: the lesser
    of own − base and own − real. memorised, drift: the figures themselves. `own` and `base` are
    figures of `Diagnoser` (and prior_drift); a fault whose figures are missing is left out.
    """
    found: dict[str, float] = {}
    if "shape_doubt" in own:
        found["shapes"] = own["shape_doubt"] - 1
    for fault in ("pose", "background"):
        figure = FAULTS[fault]
        if figure in own and base.get(figure, 0.0) > 0:
            found[fault] = 1 - own[figure] / base[figure]
    if "oiliness" in own and "oiliness" in base:
        found["oily"] = min(own["oiliness"], own["oiliness"] - base["oiliness"])
    for fault in ("memorised", "drift"):
        if FAULTS[fault] in own:
            found[fault] = own[FAULTS[fault]]
    return {fault: value for fault, value in found.items() if math.isfinite(value)}


@dataclass(frozen=True)
class Finding:
    """A fault that was found, by how much (`excess`), and the sentence that says what to do."""

    fault: str
    excess: float
    sentence: str


def findings(
    own: Mapping[str, float], base: Mapping[str, float], *, eyes: str = "evaluation"
) -> list[Finding]:
    """The faults whose excess is above its limit, the worst (in limits) first.

    `eyes` says who looked: "training" or "evaluation", whose limits differ. What the base seems to
    have memorised, which never saw the pictures, is chance, and not counted.
    """
    limits, told = LIMITS[eyes], excesses(own, base)
    if "memorised" in told:
        told["memorised"] -= base.get("memorised_fraction", 0.0)
    found = [
        Finding(fault, excess, _SAY[fault](excess, own, base))
        for fault, excess in told.items()
        if excess > limits[fault]
    ]
    return sorted(found, key=lambda finding: -finding.excess / limits[finding.fault])


def _shapes(excess: float, own: Mapping[str, float], base: Mapping[str, float]) -> str:
    theirs = base.get("shape_doubt", 1.0)
    said = (
        f"Basic shape errors: shapes are {own['shape_doubt']:.1f} times as doubtful as in the real "
        "pictures"
    )
    if own["shape_doubt"] < BROKEN * theirs:
        return (
            f"{said}, the base's {theirs:.1f} times: this base draws so. Sample with more steps, "
            "or take a larger base."
        )
    return (
        f"{said}, the base's {theirs:.1f} times: training broke them. Lower the learning rate, or "
        "take an earlier stage."
    )


def _pose(excess: float, own: Mapping[str, float], base: Mapping[str, float]) -> str:
    return (
        f"Lack of variety in pose: {percent(excess)} of the base's variety is lost "
        f"({own['pose_variety']:.2f} against {base['pose_variety']:.2f} figure sizes). Add "
        "pictures in other poses and say the pose in each caption, or train less."
    )


def _oily(excess: float, own: Mapping[str, float], base: Mapping[str, float]) -> str:
    return (
        "Oily look: pictures are over-smooth and over-saturated, "
        f"{math.exp(excess):.1f} times as far as the base's and the real ones. Lower the learning "
        "rate or the guidance, or take an earlier stage."
    )


def _background(excess: float, own: Mapping[str, float], base: Mapping[str, float]) -> str:
    return (
        f"Empty background: {percent(excess)} of what the base shows behind the subject is gone "
        f"({percent(own['background_detail'])} of the background shows anything, the base's "
        f"{percent(base['background_detail'])}). Add pictures with scenes and say the scene in "
        "their captions, say 'on a plain background' where there is none, or train less."
    )


def _memorised(excess: float, own: Mapping[str, float], base: Mapping[str, float]) -> str:
    return (
        f"Memorised: {percent(own['memorised_fraction'])} of the pictures are nearer to a "
        "training picture than held-out ones are: compare them below, and train less or augment "
        "more."
    )


def _drift(excess: float, own: Mapping[str, float], base: Mapping[str, float]) -> str:
    return (
        f"Drifted from the prior: pictures of the plain subject moved {excess:.2f} of the way from "
        "the base's (0 = as the base draws them): others of its kind turn into the brand, or into "
        "something else. Add the loss prior, lower its learning rate, or train less."
    )


_SAY: Mapping[str, Callable[[float, Mapping[str, float], Mapping[str, float]], str]] = {
    "shapes": _shapes, "pose": _pose, "oily": _oily, "background": _background,
    "memorised": _memorised, "drift": _drift,
}  # fmt: skip


def percent(share: float) -> str:
    """A share as sentences say it, nothing below 0, and little not as nothing: "93 %", "0 %",
    "under 1 %"."""
    return "under 1 %" if 0 < share < 0.005 else f"{max(0.0, share) * 100:.0f} %"
