"""The bootstrap: right width, right unit of resampling, repeatable."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onbrand.judging import bootstrap


def test_interval_of_a_mean_matches_theory() -> None:
    """For 400 independent normal values the half-width is near 1.96 σ/√n."""
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = bootstrap(values, seed=1)
    assert low < values.mean() < high
    assert (high - low) / 2 == pytest.approx(1.96 * 2 / 20, rel=0.15)


def test_grouped_values_are_resampled_by_group() -> None:
    """Copies inside a group add no certainty: ten copies of each value change nothing."""
    values = np.random.default_rng(0).normal(0, 1, 30)
    alone = bootstrap(values, seed=2)
    copied = bootstrap(np.repeat(values, 10), np.repeat(np.arange(30), 10).tolist(), seed=2)
    assert copied == pytest.approx(alone)
    naive = bootstrap(np.repeat(values, 10), seed=2)
    assert naive[1] - naive[0] < 0.5 * (copied[1] - copied[0])


def test_covers_the_truth_about_as_often_as_it_says() -> None:
    """Over 200 simulated studies the 95 % interval holds the true mean 88–100 % of the time."""
    rng, hits = np.random.default_rng(7), 0
    for study in range(200):
        centres = rng.normal(0, 1, 25)
        values = np.repeat(centres, 4) + rng.normal(0, 0.5, 100)
        low, high = bootstrap(values, np.repeat(np.arange(25), 4).tolist(), seed=study)
        hits += low <= 0 <= high
    assert 0.88 <= hits / 200 <= 1.0


def test_same_seed_same_interval_and_any_statistic() -> None:
    """Seeded, and a given statistic is computed on the resampled rows."""
    values = np.arange(20.0)
    one = bootstrap(values, statistic=lambda v: float(np.median(v)), seed=3)
    assert one == bootstrap(values, statistic=lambda v: float(np.median(v)), seed=3)
    assert 0 <= one[0] < 9.5 < one[1] <= 19
    assert bootstrap(values, seed=3) != bootstrap(values, seed=4)


def test_a_share_that_all_have_alike_has_a_bound() -> None:
    """Nothing in 20 groups may still be 17 in a hundred (Clopper & Pearson); what is no share, and
    what differs, is resampled as ever."""
    groups = np.repeat(np.arange(20), 3).tolist()
    low, high = bootstrap([0.0] * 60, groups, share=True)
    assert low == 0
    assert high == pytest.approx(0.1684, abs=1e-4)
    low, high = bootstrap([1.0] * 60, groups, share=True)
    assert high == 1
    assert low == pytest.approx(1 - 0.1684, abs=1e-4)
    assert bootstrap([0.0] * 20) == (0, 0)
    assert bootstrap([0.25] * 20, share=True) == (0.25, 0.25)
    mixed = [0.0, 1.0] * 10
    assert bootstrap(mixed, share=True) == bootstrap(mixed)


def test_one_group_has_no_interval() -> None:
    """A single group says nothing about others, so None rather than a false zero width."""
    assert bootstrap([1.0, 2.0], ["a", "a"]) is None
    with pytest.raises(ValueError, match="one label per value"):
        bootstrap([1.0], ["a", "b"])


def test_groups_of_unequal_size_count_by_their_values() -> None:
    """Ten groups of nine zeros and ten of a single one: the mean is a tenth, not a half."""
    sizes = [9, 1] * 10
    values = np.repeat([0.0, 1.0] * 10, sizes)
    groups = np.repeat(np.arange(20), sizes).tolist()
    low, high = bootstrap(values, groups)
    assert low < 0.1 < high < 0.4


def test_a_statistic_is_resampled_by_group_too() -> None:
    """A mean by name is the mean by default."""
    values = np.random.default_rng(0).normal(0, 1, 60)
    groups = np.repeat(np.arange(12), 5).tolist()
    named = bootstrap(values, groups, statistic=lambda v: float(np.mean(v)))
    assert named == pytest.approx(bootstrap(values, groups))


def test_resamples_that_tell_nothing_are_left_out() -> None:
    """The mean of what is above zero, which some resamples lack."""

    def above(v: np.ndarray) -> float:
        return float(v[v > 0].mean()) if (v > 0).any() else math.nan

    assert bootstrap([-1.0, -1.0, 2.0], statistic=above) == (2, 2)
