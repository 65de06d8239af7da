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
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of `statistic(values)` (the mean by default).

    Draws groups, not values, with replacement, because pictures of one prompt (or one character)
    are not independent: Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 8 and 13.
    Each value is its own group when `groups` is None. Seeded; None when fewer than two groups.
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
    low, high = np.percentile(results, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
