"""Which settings to take, when some make pictures more alike and others follow the words better.

The figures are the training side's, on validation prompts: what selects never grades.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from onbrand.artifacts.judgement import alignment_name
from onbrand.judging.choose import IDENTITY_TIE, choose, lost_against
from onbrand.judging.intervals import bootstrap

__all__ = ["Take", "pareto_front", "take"]

PerPrompt = Mapping[str, Sequence[float]]
"""Figure -> its value for each prompt, the same prompts in the same order everywhere."""


@dataclass(frozen=True)
class Take:
    """What to take: `name` of the best (None when nothing was measured), why, whether it is good
    enough to use, and what is uncertain of it ("" when its lead is clear)."""

    name: str | None
    reason: str
    good: bool
    doubt: str = ""


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other one beats: none is at least as high in both and higher in
    one (Pareto; higher is better in both). From the highest first coordinate to the lowest."""
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: points[i], reverse=True):
        equal = bool(front) and points[index] == points[front[-1]]
        if not front or equal or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return front


def take(figures: Mapping[str, PerPrompt], base: PerPrompt) -> Take:
    """The settings to take among `figures` (name -> figures), as `choose` takes a stage: highest
    identity among those that still follow the prompt and still vary; among near-ties the one that
    follows it best. So nothing that keeps both beats it in identity and alignment alike.

    Says so when its lead over the next is a near-tie, or within what the prompts can tell apart:
    the paired differences per prompt, resampled. A handful of prompts makes that interval too
    narrow, never too wide.
    """
    if not figures:
        return Take(None, "Nothing was measured: every combination failed.", good=False)
    means = {name: _means(values) for name, values in figures.items()}
    follows = alignment_name(base)
    order = sorted(means, key=lambda name: (means[name][follows], means[name]["identity"]))
    choice = choose({name: means[name] for name in order}, base=_means(base))
    if not choice.good:
        return Take(choice.stage, choice.reason, good=False)
    whole = _means(base)  # what lost too much of it is no rival
    rivals = [n for n in means if n != choice.stage and not lost_against(means[n], whole)]
    doubt = _doubt(choice.stage, rivals, figures, means)
    return Take(choice.stage, choice.reason, good=True, doubt=doubt)


def _means(values: PerPrompt) -> dict[str, float]:
    return {name: float(np.mean(list(v))) for name, v in values.items()}


def _doubt(
    best: str,
    rivals: Sequence[str],
    figures: Mapping[str, PerPrompt],
    means: Mapping[str, Mapping[str, float]],
) -> str:
    """A sentence when the next in identity may be as good; "" when the lead is clear."""
    if not rivals:
        return ""
    rival = max(rivals, key=lambda name: means[name]["identity"])
    pairs = zip(figures[best]["identity"], figures[rival]["identity"], strict=True)
    differences = [own - other for own, other in pairs]
    interval = bootstrap(differences)
    if interval is None:
        return f"One prompt cannot tell it from {rival} for sure: look at the sheet."
    low, high = interval
    if low > 0 and float(np.mean(differences)) > IDENTITY_TIE:
        return ""
    signed = f"{low:+.3f} to {high:+.3f}".replace("-", "−")
    return (
        f"{len(differences)} prompts do not tell it from {rival} for sure (identity differs by "
        f"{signed}): look at the sheet."
    )
