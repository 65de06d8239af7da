"""Gates pass, fail and explain themselves in one sentence."""

from __future__ import annotations

import math

import pytest

from onbrand.recipe import Gate
from onbrand.training.gates import Verdict, judge_gates

BEFORE = {"identity": 0.5, "alignment": 0.30, "diversity": 0.20}


def gate(at_least: float = 0.8, not_worse: list[str] | None = None) -> Gate:
    return Gate(
        after="detail", metric="identity", at_least=at_least, not_worse=not_worse or ["alignment"]
    )


def test_a_stage_without_a_gate_has_no_verdict() -> None:
    """No gate, no verdict: the stage is neither praised nor stopped."""
    assert judge_gates([], {"identity": 0.1}, BEFORE) is None


def test_a_gate_passes_with_its_figures_in_the_sentence() -> None:
    """A metric at its bar passes, and the sentence tells the figures."""
    verdict = judge_gates([gate(0.8)], {"identity": 0.8, "alignment": 0.31}, BEFORE)
    assert verdict is not None
    assert verdict.passed
    assert verdict.sentence.startswith("passed")
    assert "0.800" in verdict.sentence


def test_a_metric_below_its_bar_fails() -> None:
    """identity under at_least fails the gate and says by how much."""
    verdict = judge_gates([gate(0.8)], {"identity": 0.61, "alignment": 0.31}, BEFORE)
    assert verdict is not None
    assert not verdict.passed
    assert "identity 0.610 < 0.8" in verdict.sentence


@pytest.mark.parametrize(("alignment", "passes"), [(0.30, True), (0.286, True), (0.28, False)])
def test_not_worse_grants_five_percent(alignment: float, passes: bool) -> None:
    """not_worse compares with the stage before, with the documented tolerance."""
    verdict = judge_gates([gate()], {"identity": 0.9, "alignment": alignment}, BEFORE)
    assert verdict is not None
    assert verdict.passed is passes


@pytest.mark.parametrize(("now", "passes"), [(-0.205, True), (-0.22, False)])
def test_a_figure_below_zero_is_granted_as_much(now: float, passes: bool) -> None:
    """Directions can be opposite: the tolerance is a share of the figure's size."""
    one = gate(not_worse=["directional_alignment"])
    metrics = {"identity": 0.9, "directional_alignment": now}
    verdict = judge_gates([one], metrics, {"directional_alignment": -0.2})
    assert verdict is not None
    assert verdict.passed is passes


def test_a_share_of_a_base_below_zero_grants_its_size() -> None:
    """Nine tenths of -0.2 is -0.22, a little worse, not -0.18, which is better."""
    one = Gate(after="detail", metric="directional_alignment", at_least=0.9, of_base=True)
    base = {"directional_alignment": -0.2}
    verdicts = [judge_gates([one], {"directional_alignment": v}, {}, base) for v in (-0.21, -0.23)]
    assert [v is not None and v.passed for v in verdicts] == [True, False]


def test_the_verdict_names_the_gates_that_missed() -> None:
    """By number, whether their own figure or one that may not be worse is what failed."""
    metrics = {"identity": 0.7, "alignment": 0.1}
    verdict = judge_gates([gate(0.6, ["identity"]), gate(0.8), gate(0.6)], metrics, BEFORE)
    assert verdict is not None
    assert verdict.missed == (1, 2)


def test_a_recipe_may_grant_more() -> None:
    """A fifth less is too much by default, and within a tolerance of a quarter."""
    metrics = {"identity": 0.9, "alignment": 0.24}
    wide = Gate(
        after="detail", metric="identity", at_least=0.8, not_worse=["alignment"], tolerance=0.25
    )
    verdicts = [judge_gates([g], metrics, BEFORE) for g in (gate(), wide)]
    assert [v is not None and v.passed for v in verdicts] == [False, True]


def test_missing_or_nan_figures_fail() -> None:
    """A figure that could not be measured never opens a gate."""
    for metrics in ({}, {"identity": math.nan, "alignment": 0.3}, {"identity": 0.9}):
        verdict = judge_gates([gate()], metrics, BEFORE)
        assert verdict is not None
        assert not verdict.passed


def test_without_a_figure_before_there_is_nothing_to_be_worse_than() -> None:
    """not_worse is met when the stage before was never measured."""
    verdict = judge_gates([gate()], {"identity": 0.9, "alignment": 0.1}, {})
    assert verdict is not None
    assert verdict.passed


def verdict_of(
    metrics: dict[str, float], base: dict[str, float] | None = None, **gate: object
) -> Verdict | None:
    return judge_gates([Gate.model_validate({"after": "detail", **gate})], metrics, BEFORE, base)


@pytest.mark.parametrize(("loss", "passes"), [(0.19, True), (0.2, True), (0.21, False)])
def test_a_figure_of_which_less_is_better_has_an_upper_bound(loss: float, passes: bool) -> None:
    """at_most is met at and under the bound, and the sentence says which way."""
    found = verdict_of({"validation_loss": loss}, metric="validation_loss", at_most=0.2)
    assert found is not None
    assert found.passed is passes
    assert ("≤ 0.2" if passes else "> 0.2") in found.sentence
    missing = verdict_of({}, metric="validation_loss", at_most=0.2)
    assert missing is not None
    assert not missing.passed, "a loss that was not measured opens no gate"


def test_a_bound_may_be_a_share_of_the_bases_figure() -> None:
    """of_base multiplies the bound with the base's own figure; an unknown base opens nothing."""
    gate = {"metric": "pose_variety", "at_least": 0.8, "of_base": True}
    for value, passes in ((0.33, True), (0.31, False)):
        found = verdict_of({"pose_variety": value}, {"pose_variety": 0.4}, **gate)
        assert found is not None
        assert found.passed is passes
        assert "0.8 × the base's 0.400" in found.sentence
    unknown = verdict_of({"pose_variety": 9.0}, {}, **gate)
    assert unknown is not None
    assert not unknown.passed


def test_not_worse_knows_which_way_is_worse() -> None:
    """A loss that grew by more than the tolerance is worse, one that fell is not."""
    before = {**BEFORE, "validation_loss": 0.2}
    one = Gate(after="detail", metric="identity", at_least=0.1, not_worse=["validation_loss"])
    for loss, passes in ((0.1, True), (0.209, True), (0.22, False)):
        found = judge_gates([one], {"identity": 0.9, "validation_loss": loss}, before)
        assert found is not None
        assert found.passed is passes


def test_the_plain_alignment_stands_in_where_there_is_one_text() -> None:
    """Pictures of one prompt have no directions: the gate still reads how they follow it."""
    by_direction = gate(not_worse=["directional_alignment"])
    for alignment, passes in ((0.30, True), (0.20, False)):
        metrics = {"identity": 0.9, "alignment": alignment}
        verdict = judge_gates([by_direction], metrics, BEFORE)
        assert verdict is not None
        assert verdict.passed is passes
    both = BEFORE | {"directional_alignment": 0.6}
    marked = {"identity": 0.9, "alignment": 0.20, "directional_alignment": 0.6}
    verdict = judge_gates([by_direction], marked, both)
    assert verdict is not None
    assert verdict.passed
