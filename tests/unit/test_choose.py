"""Which checkpoint ships, and the sentence that says why."""

from __future__ import annotations

import pytest

from onbrand.artifacts.judgement import Arm, Metric
from onbrand.judging import choose, diagnose, verdict, with_bars
from onbrand.judging.protocol import BETTER

BASE = {"identity": 0.4, "alignment": 0.30, "diversity": 20.0}


def test_choose_takes_the_most_alike_that_still_follows_prompts() -> None:
    """A stage that lost alignment is passed over, and the reason says so."""
    good = {"identity": 0.8, "alignment": 0.30, "diversity": 18.0}
    lost = {"identity": 0.9, "alignment": 0.25, "diversity": 18.0}
    choice = choose({"appearance": good, "detail": lost}, base=BASE)
    assert (choice.stage, choice.good) == ("appearance", True)
    assert "detail is more alike but lost 17 % of the base's alignment" in choice.reason


def test_choose_follows_prompts_by_direction_where_it_can() -> None:
    """Traits on every picture lower the plain alignment; what counts is how pictures differ."""
    base = BASE | {"directional_alignment": 0.60}
    marked = {"identity": 0.9, "alignment": 0.20, "directional_alignment": 0.58}
    deaf = {"identity": 0.95, "alignment": 0.30, "directional_alignment": 0.30}
    choice = choose({"appearance": marked, "detail": deaf}, base=base)
    assert choice.stage == "appearance"
    assert "its alignment of directions is 3 % below the base's" in choice.reason
    assert "but lost 50 % of the base's alignment of directions" in choice.reason


@pytest.mark.parametrize("followed", [-0.05, 0.0])
def test_a_base_that_follows_nothing_has_nothing_to_lose(followed: float) -> None:
    """Directions of a weak base can be opposite: the better stage is not refused for it, and a
    stage that turns away from a good one has lost all of it, no more."""
    weak = BASE | {"directional_alignment": followed}
    better = {"identity": 0.8, "alignment": 0.30, "directional_alignment": 0.30}
    assert choose({"detail": better}, base=weak).good
    away = better | {"directional_alignment": -0.2}
    choice = choose({"detail": away}, base=BASE | {"directional_alignment": 0.6})
    assert not choice.good
    assert "lost 100 % of the base's alignment of directions" in choice.reason


def test_choose_prefers_the_later_stage_when_stages_tie() -> None:
    """Equal likeness goes to the later stage, whose gates have passed; less does not."""
    one = {"identity": 0.803, "alignment": 0.30}
    two = {"identity": 0.800, "alignment": 0.30}
    assert choose({"appearance": one, "detail": two}, base=BASE).stage == "detail"
    worse = {"identity": 0.79, "alignment": 0.30}
    assert choose({"appearance": one, "detail": worse}, base=BASE).stage == "appearance"


def test_choose_says_when_nothing_is_good_enough() -> None:
    """Collapsed variety or a brand not learned is named, never shipped silently."""
    same = {"identity": 0.9, "alignment": 0.30, "diversity": 4.0}
    assert not choose({"detail": same}, base=BASE).good
    for identity in (0.39, BASE["identity"]):
        unlearned = {"identity": identity, "alignment": 0.30, "diversity": 19.0}
        choice = choose({"detail": unlearned}, base=BASE)
        assert not choice.good
        assert "nothing was learned" in choice.reason


def arm(name: str, **values: float) -> Arm:
    return Arm(
        name=name,
        steps=0,
        metrics={
            k: Metric(value=v, interval=None, bar=None, holds=None, better=BETTER[k])
            for k, v in values.items()
        },
        diagnosis=[],
    )


def test_verdict_is_one_plain_sentence() -> None:
    """The design's example sentence comes out of matching figures."""
    stages = {
        "appearance": arm("appearance", identity=0.81, alignment_ratio=0.99),
        "detail": arm("detail", identity=0.87, alignment_ratio=0.98, memorised_fraction=0.0),
    }
    chosen = choose({n: {"identity": a.metrics["identity"].value} for n, a in stages.items()})
    found = verdict(chosen, stages, {"prompt_only": arm("prompt_only", identity=0.55)})
    assert found.good
    assert found.sentence == (
        "Ship detail: its identity 0.87 beats appearance's 0.81, alignment is within 3 % of the "
        "base's, and no picture is memorised."
    )


def test_verdict_explains_a_choice_that_is_not_the_best_here() -> None:
    """The validation pictures chose; the report's own figures do not overrule them."""
    stages = {"appearance": arm("appearance", identity=0.78), "detail": arm("detail", identity=0.8)}
    chosen = choose({"appearance": {"identity": 0.86}, "detail": {"identity": 0.85}})
    found = verdict(chosen, stages, {"prompt_only": arm("prompt_only", identity=0.55)})
    assert found.sentence.startswith(
        "Ship appearance, which the validation pictures chose: its identity 0.78 stays under "
        "detail's 0.80 here, "
    )


def test_verdict_vetoes_but_never_switches() -> None:
    """When the twins contradict the choice nothing ships, and the advice says what to try."""
    stages = {
        "appearance": arm("appearance", identity=0.81, memorised_fraction=0.0),
        "detail": arm("detail", identity=0.87, memorised_fraction=0.4, retrieval_fraction=0.5),
    }
    chosen = choose({"detail": {"identity": 0.87, "alignment": 0.3}})
    found = verdict(chosen, stages, {"prompt_only": arm("prompt_only", identity=0.55)})
    assert (found.stage, found.good) == (None, False)
    assert found.sentence.startswith("Ship nothing yet: 40 % of detail's pictures repeat")
    assert any("trait is lost" in line for line in found.diagnosis)


def test_few_copies_are_not_none() -> None:
    """One picture of 256 is memorised: no sentence says 0 %."""
    stages = {"detail": arm("detail", identity=0.87, memorised_fraction=1 / 256)}
    told = verdict(choose({"detail": {"identity": 0.87}}), stages, {}).sentence
    assert "and under 1 % of the pictures come close to a training picture" in told


def test_what_the_base_seems_to_have_memorised_is_chance() -> None:
    """It never saw the pictures: as many of a stage's are no reason to ship nothing."""
    stages = {"detail": arm("detail", identity=0.87, memorised_fraction=1 / 16)}
    chosen = choose({"detail": {"identity": 0.87}})
    words = arm("prompt_only", identity=0.55)
    for chance, ships in ((1 / 16, True), (0.0, False)):
        base = arm("base", identity=0.3, memorised_fraction=chance)
        found = verdict(chosen, stages, {"prompt_only": words, "base": base})
        assert found.good is ships
    assert "Train longer" not in found.sentence


def test_a_verdict_says_which_pictures_a_reason_is_of() -> None:
    """What was lost on the validation prompts need not show in the figures beside the sentence."""
    lost = choose({"detail": {"identity": 0.9, "alignment": 0.2}}, base=BASE)
    seen = {"detail": arm("detail", identity=0.87, alignment_ratio=1.2)}
    found = verdict(lost, seen, {"prompt_only": arm("prompt_only", identity=0.55)})
    assert "lost 33 % of the base's alignment, on the validation prompts." in found.sentence


def test_the_sentence_names_the_alignment_that_the_table_has() -> None:
    """Where there are directions the ratio is of these."""
    told = arm("detail", identity=0.87, directional_alignment=0.5, alignment_ratio=0.98)
    found = verdict(choose({"detail": {"identity": 0.87}}), {"detail": told}, {})
    assert "alignment of directions is within 3 % of the base's" in found.sentence


def test_real_pictures_that_are_mistaken_as_often_have_lost_no_trait() -> None:
    """The model is blamed where it is worse than the real pictures, and there alone."""
    poor = arm("detail", identity=0.87, retrieval_fraction=0.6)
    for real, blamed in ((0.6, False), (0.8, True)):
        (said,) = diagnose(poor, {"real": arm("real", retrieval_fraction=real)})
        assert ("a trait is lost" in said) is blamed
        assert ("of the real ones 60 %, which is no sure difference" in said) is not blamed


@pytest.mark.parametrize(
    ("found", "interval", "real", "blamed"),
    [
        (0.0, (0.0, 0.37), 0.05, False),  # the demo's
        (0.7, (0.5, 0.85), 0.73, False),
        (0.3, (0.1, 0.5), 0.73, True),
        (0.8, (0.6, 1.0), 1.0, True),  # the eyes mistake no real one
    ],
)
def test_what_so_few_pictures_cannot_tell_is_no_lost_trait(
    found: float, interval: tuple[float, float], real: float, blamed: bool
) -> None:
    """None of sixteen, where one real picture of twenty is found, says nothing of training."""
    metrics = {"retrieval_fraction": Metric(found, interval)}
    poor = Arm(name="detail", steps=0, metrics=metrics, diagnosis=[])
    (said,) = diagnose(poor, {"real": arm("real", retrieval_fraction=real)})
    assert ("a trait is lost" in said) is blamed
    assert (f"of the real ones {100 * real:.0f} %" in said) is not blamed


def test_prompts_are_followed_as_the_base_told_in_words_follows_them() -> None:
    """Traits that the prompts do not name cost prompt_only as much: they veto nothing; a stage that
    loses a tenth more does not ship."""
    chosen = choose({"detail": {"identity": 0.87, "alignment": 0.3}})
    told = {"prompt_only": arm("prompt_only", identity=0.55, alignment_ratio=0.87)}
    near = {"detail": arm("detail", identity=0.87, alignment_ratio=0.81)}
    far = {"detail": arm("detail", identity=0.87, alignment_ratio=0.77)}
    assert verdict(chosen, near, told).good
    assert "only 77 %" in verdict(chosen, far, told).sentence.replace("\u202f", " ")
    better = {"prompt_only": arm("prompt_only", identity=0.55, alignment_ratio=1.2)}
    assert verdict(
        chosen, {"detail": arm("detail", identity=0.87, alignment_ratio=0.91)}, better
    ).good


def test_bars_are_the_designs() -> None:
    """Identity error must be at most half of prompt_only's and not above dreambooth_lora's."""
    baselines = {
        "prompt_only": arm("prompt_only", identity_error=0.40),
        "dreambooth_lora": arm("dreambooth_lora", identity_error=0.15),
    }
    filled = with_bars(
        arm("onbrand", identity_error=0.16, retrieval_fraction=0.92, memorised_fraction=0.0),
        baselines,
    )
    assert filled.metrics["identity_error"].bar == pytest.approx(0.15)
    assert filled.metrics["identity_error"].holds is False
    assert filled.metrics["retrieval_fraction"].holds is True
    assert filled.metrics["memorised_fraction"].holds is True


def test_every_bar_is_the_designs() -> None:
    """Half of what words alone miss, also where the baseline missed more or was not trained; 97 %
    of the base's alignment; not one picture memorised."""
    told = arm("onbrand", identity_error=0.12, alignment_ratio=0.975, memorised_fraction=0.01)
    words = {"prompt_only": arm("prompt_only", identity_error=0.2)}
    worse = words | {"dreambooth_lora": arm("dreambooth_lora", identity_error=0.3)}
    for baselines in (words, worse):
        filled = with_bars(told, baselines).metrics
        assert filled["identity_error"].bar == pytest.approx(0.1)
        assert filled["identity_error"].holds is False
    assert filled["alignment_ratio"].holds is True
    assert filled["memorised_fraction"].holds is False
    less = with_bars(arm("onbrand", alignment_ratio=0.965), words)
    assert less.metrics["alignment_ratio"].holds is False


def test_the_least_bad_is_the_one_that_follows_best() -> None:
    """Where no stage keeps what the base could, likeness does not choose."""
    deaf = {"identity": 0.9, "alignment": 0.1, "diversity": 18.0}
    dull = {"identity": 0.7, "alignment": 0.2, "diversity": 18.0}
    for stages in ({"deaf": deaf, "dull": dull}, {"dull": dull, "deaf": deaf}):
        choice = choose(stages, base=BASE)
        assert (choice.stage, choice.good) == ("dull", False)
        assert "Dull is the least bad: even it lost 33 % of" in choice.reason


def test_the_rival_is_the_next_best() -> None:
    """The reason and the sentence compare with the runner-up, not with the weakest; the real
    pictures are no rival."""
    figures = {"one": 0.7, "two": 0.8, "three": 0.9}
    choice = choose({name: {"identity": value} for name, value in figures.items()})
    assert choice.reason.startswith("Three's identity 0.90 beats two's 0.80")
    stages = {name: arm(name, identity=value) for name, value in figures.items()}
    words = {"prompt_only": arm("prompt_only", identity=0.5), "real": arm("real", identity=0.95)}
    assert "its identity 0.90 beats two's 0.80" in verdict(choice, stages, words).sentence


def test_what_was_passed_over_is_told_where_it_is_more_alike() -> None:
    """The latest of several; one that is less alike as well needs no excuse."""
    good = {"identity": 0.8, "alignment": 0.30}
    lost = {"identity": 0.85, "alignment": 0.20}
    more = {"identity": 0.9, "alignment": 0.15}
    less = {"identity": 0.7, "alignment": 0.10}
    reason = choose({"first": good, "second": lost, "third": more}, base=BASE).reason
    assert "third is more alike but lost 50 % of" in reason
    assert "more alike" not in choose({"first": good, "second": less}, base=BASE).reason


def test_advice_is_given_where_something_is_wrong_and_there_alone() -> None:
    """Half of what words alone miss is good, and half of their variety enough."""
    words = {"prompt_only": arm("prompt_only", identity_error=0.4, diversity=0.6)}
    assert diagnose(arm("detail", identity_error=0.19, diversity=0.31), words) == []
    (partly,) = diagnose(arm("detail", identity_error=0.21, diversity=0.31), words)
    assert "0.210 is more than half of prompt only's 0.400" in partly
    (same,) = diagnose(arm("detail", identity_error=0.19, diversity=0.29), words)
    assert "differ by 0.29, under half of prompt only's 0.60" in same


def test_no_better_than_words_alone_is_not_shipped() -> None:
    """What describing the brand reaches without training is no reason to ship an adapter."""
    stages = {"detail": arm("detail", identity=0.55)}
    chosen = choose({"detail": {"identity": 0.87}})
    found = verdict(chosen, stages, {"prompt_only": arm("prompt_only", identity=0.55)})
    assert (found.stage, found.good) == (None, False)
    assert "detail's identity 0.55 is no better than the 0.55 of describing" in found.sentence
