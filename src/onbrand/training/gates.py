"""Gates: a stage must reach its figures before the next one may start.

A gate reads the training-side figures of the validation pictures. `at_least` is absolute;
`not_worse` compares with the stage before (the untouched base for the first stage) and grants
`tolerance`, because a handful of pictures measures no finer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onbrand.recipe import Gate

__all__ = ["Verdict", "judge_gates"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gates after a stage say: `passed`, and one sentence with the figures."""

    passed: bool
    sentence: str


def judge_gates(
    gates: Sequence[Gate], metrics: Mapping[str, float], before: Mapping[str, float]
) -> Verdict | None:
    """The verdict of all gates that stand after one stage; None if there are none.

    `metrics` are the stage's figures, `before` those of the stage before it. A figure that is
    missing or not a number fails. Higher is better for every metric of a gate.
    """
    if not gates:
        return None
    reached: list[str] = []
    missed: list[str] = []
    for gate in gates:
        value = metrics.get(gate.metric, math.nan)
        good = value >= gate.at_least
        sign = "≥" if good else "<"
        (reached if good else missed).append(f"{gate.metric} {value:.3f} {sign} {gate.at_least:g}")
        for name in gate.not_worse:
            was = before.get(name, math.nan)
            now = metrics.get(name, math.nan)
            good = math.isnan(was) or now >= was - abs(was) * gate.tolerance
            note = f"{name} {was:.3f} → {now:.3f}"
            (reached if good else missed).append(note if good else f"{note} is worse")
    if missed:
        return Verdict(False, f"failed: {'; '.join(missed)}")
    return Verdict(True, f"passed: {'; '.join(reached)}")
