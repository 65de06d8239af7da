"""Bootstrap intervals that resample whole groups (prompts in a report, characters in a bench)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["bootstrap"]

Floats = NDArray[np.float64]


def bootstrap(
    values: Sequence[float] | Floats,
    groups: Sequence[Hashable] | None = None,
    *,
    statistic: Callable[[Floats], float] | None = None,
    num_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    share: bool = False,
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of `statistic(values)` (the mean by default).

    Draws groups, not values, with replacement, because pictures of one prompt (or one character)
    are not independent: Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 8 and 13.
    Each value is its own group when `groups` is None. Seeded; None when fewer than two groups. A
    resample of which the statistic is NaN, as it has nothing to tell of, is left out.

    Of a `share` whose values are all 0, or all 1, resampling says nothing: its bound is Clopper &
    Pearson's (1934) for as many trials as there are groups, 1 − ((1 − level) / 2)^(1/n).
    """
    data = np.asarray(values, np.float64)
    labels = list(groups) if groups is not None else list(range(len(data)))
    if len(labels) != len(data):
        raise ValueError(f"{len(data)} values, but {len(labels)} groups: one label per value")
    members: dict[Hashable, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    if len(members) < 2:
        return None
    if share and np.unique(data).tolist() in ([0.0], [1.0]):
        reach = 1 - ((1 - level) / 2) ** (1 / len(members))
        return (0.0, reach) if data[0] == 0 else (1 - reach, 1.0)
    rows = [np.array(m) for m in members.values()]
    draws = np.random.default_rng(seed).integers(0, len(rows), (num_resamples, len(rows)))
    if statistic is None:
        sums = np.array([data[r].sum() for r in rows])
        sizes = np.array([len(r) for r in rows])
        results = sums[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    else:
        results = np.array(
            [statistic(data[np.concatenate([rows[k] for k in draw])]) for draw in draws]
        )
    told = results[~np.isnan(results)]
    low, high = np.percentile(told if len(told) else results, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
