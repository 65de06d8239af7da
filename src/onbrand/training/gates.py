"""Gates: a stage must reach its figures before the next one may start.

A gate reads the training-side figures of the validation pictures. `at_least` and `at_most` are
absolute, or shares of the base's own figure (`of_base`); `not_worse` compares with the stage before
(the untouched base for the first stage) and grants `tolerance`, because a handful of pictures
measures no finer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onbrand.artifacts import alignment_name
from onbrand.recipe import GATE_METRICS, Gate

__all__ = ["Verdict", "figure_of", "judge_gates"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gates after a stage say: `passed`, one sentence with the figures, and the numbers
    (0-based) of the gates that were `missed`."""

    passed: bool
    sentence: str
    missed: tuple[int, ...] = ()


def figure_of(name: str, figures: Mapping[str, float]) -> float:
    """The figure, NaN where it is missing. Where all pictures have one text the plain alignment
    stands in for that of directions."""
    if name == "directional_alignment":
        name = alignment_name(figures)
    return figures.get(name, math.nan)


def judge_gates(
    gates: Sequence[Gate],
    metrics: Mapping[str, float],
    before: Mapping[str, float],
    base: Mapping[str, float] | None = None,
) -> Verdict | None:
    """The verdict of all gates that stand after one stage; None if there are none.

    `metrics` are the stage's figures, `before` those of the stage before it, `base` the untouched
    base's. A figure that is missing or not a number fails, as does one whose base's is.
    """
    if not gates:
        return None
    reached: list[str] = []
    missed: list[str] = []
    which: list[int] = []
    for number, gate in enumerate(gates):
        num_missed = len(missed)
        good, note = _bound(gate, metrics, base or {})
        (reached if good else missed).append(note)
        for name in gate.not_worse:
            was, now = figure_of(name, before), figure_of(name, metrics)
            good = math.isnan(was) or not _worse(name, now, was, abs(was) * gate.tolerance)
            note = f"{name} {was:.3f} → {now:.3f}"
            (reached if good else missed).append(note if good else f"{note} is worse")
        if len(missed) > num_missed:
            which.append(number)
    if missed:
        return Verdict(False, f"failed: {'; '.join(missed)}", tuple(which))
    return Verdict(True, f"passed: {'; '.join(reached)}")


def _bound(gate: Gate, metrics: Mapping[str, float], base: Mapping[str, float]) -> tuple[bool, str]:
    """Whether the gate's own bound holds, and the figure beside it."""
    value = figure_of(gate.metric, metrics)
    higher = gate.at_least is not None
    bound = gate.at_least if gate.at_least is not None else gate.at_most
    assert bound is not None
    words = f"{bound:g}"
    if gate.of_base:
        theirs = figure_of(gate.metric, base)
        words = f"{bound:g} × the base's {theirs:.3f}"
        bound = theirs + (bound - 1) * abs(theirs)  # 0.9 grants a tenth of its size below 0, too
    good = value >= bound if higher else value <= bound
    signs = ("≥", "<") if higher else ("≤", ">")
    return good, f"{gate.metric} {value:.3f} {signs[0] if good else signs[1]} {words}"


def _worse(name: str, now: float, was: float, slack: float) -> bool:
    """Whether a figure lost more than `slack`, in its own direction; NaN has."""
    kept = now >= was - slack if GATE_METRICS[name] == "higher" else now <= was + slack
    return not kept
