"""Which checkpoint to ship, and why, in one plain sentence.

Two steps, because what selects never grades: `choose` picks a stage by the training-side scores on
validation prompts; `verdict` then reads the evaluation twins' figures on other prompts and confirms
or vetoes that choice. It never picks another stage by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onbrand.artifacts.judgement import Arm, Metric, alignment_name
from onbrand.judging.diagnosis import LIMITS, findings, percent

__all__ = [
    "ALIGNMENT_TOLERANCE",
    "CHOSEN_BY",
    "RETRIEVAL_BAR",
    "Choice",
    "Verdict",
    "choose",
    "diagnose",
    "lost_against",
    "verdict",
    "with_bars",
]

ALIGNMENT_TOLERANCE = 0.03
CHOICE_TOLERANCE = 0.10  # sixteen pictures measure no finer
RETRIEVAL_BAR = 0.90
DIVERSITY_FLOOR = 0.5
IDENTITY_TIE = 0.005
CHOSEN_BY = ("identity", "alignment", "directional_alignment", "diversity")
"""The training-side figures that `choose` reads."""

SAID = {"alignment": "alignment", "directional_alignment": "alignment of directions"}
"""What tables call the figure by which prompts are followed."""


@dataclass(frozen=True)
class Choice:
    """The best stage there is, and whether it is good enough by the training side's own figures."""

    stage: str
    reason: str
    good: bool = True


@dataclass(frozen=True)
class Verdict:
    """What the report says first. `stage` is None when nothing should ship."""

    stage: str | None
    sentence: str
    good: bool
    diagnosis: tuple[str, ...] = ()


def choose(
    stages: Mapping[str, Mapping[str, float]], *, base: Mapping[str, float] | None = None
) -> Choice:
    """The stage to ship, by training-side scores: highest identity among those that still follow
    the prompt (within 10 % of the base's) and still vary (half the base's diversity).

    `stages` maps names, in training order, to figures (`CHOSEN_BY`; the last two may be missing);
    `base` holds the same for the untouched base. Prompts are followed as the directional alignment
    says, which a brand's traits do not move; where all pictures have one text there is only the
    plain one. Ties (0.005) go to the later stage: the recipe has it because
    it helps as a rule, and its gates have seen what it lost. When no stage keeps both, the one with
    the best of these is named and `good` is False.
    """
    if not stages:
        raise ValueError("there is no stage to choose from: train at least one")
    kept = {name: n for name, n in stages.items() if not lost_against(n, base)}
    if not kept:
        name = max(stages, key=lambda s: stages[s].get(alignment_name(base or {}), 0.0))
        lost = lost_against(stages[name], base)
        return Choice(name, f"{_said(name)} is the least bad: even it {lost}.", good=False)
    best = max(n["identity"] for n in kept.values())
    name = next(s for s in reversed(kept) if kept[s]["identity"] >= best - IDENTITY_TIE)
    own = kept[name]["identity"]
    if base is not None and own <= base.get("identity", -1.0):
        start = f"{_said(name)} has identity {own:.2f}, the base {base['identity']:.2f}"
        return Choice(name, f"{start} from the same words: nothing was learned.", good=False)
    return Choice(name, _why(name, kept, stages, base))


def _why(
    name: str,
    kept: Mapping[str, Mapping[str, float]],
    stages: Mapping[str, Mapping[str, float]],
    base: Mapping[str, float] | None,
) -> str:
    """The reason as a sentence: identity against the runner-up, alignment, what was passed over."""
    own = stages[name]["identity"]
    others = {s: n["identity"] for s, n in kept.items() if s != name}
    reason = f"{_said(name)} has identity {own:.2f}"
    if others:
        rival = max(others, key=lambda s: others[s])
        beats = "beats" if own > others[rival] + IDENTITY_TIE else "equals"
        reason = f"{_said(name)}'s identity {own:.2f} {beats} {rival}'s {others[rival]:.2f}"
    if base is not None and (follows := alignment_name(base)) in base:
        reason += f" and its {SAID[follows]} is {_against(stages[name][follows], base[follows])}"
    passed = [s for s in stages if s not in kept and stages[s]["identity"] > own]
    if passed:
        reason += f"; {passed[-1]} is more alike but {lost_against(stages[passed[-1]], base)}"
    return reason + "."


def lost_against(numbers: Mapping[str, float], base: Mapping[str, float] | None) -> str:
    """What a stage lost against the base, as the end of a sentence; "" when nothing."""
    if base is None:
        return ""
    follows = alignment_name(base)
    whole = base.get(follows, 0.0)  # a base that follows nothing has nothing to lose
    drop = 1 - max(0.0, numbers.get(follows, 0.0)) / whole if whole > 0 else 0.0
    if drop > CHOICE_TOLERANCE:
        return f"lost {percent(drop)} of the base's {SAID[follows]}"
    if "diversity" in numbers and numbers["diversity"] < DIVERSITY_FLOOR * base.get("diversity", 0):
        return "lost more than half of the base's variety"
    return ""


def with_bars(arm: Arm, baselines: Mapping[str, Arm]) -> Arm:
    """The arm with the design's bars filled in: retrieval 0.90, alignment ratio 0.97, nothing
    memorised, identity error at most half of prompt_only's and not above dreambooth_lora's."""
    bars: dict[str, float] = {
        "retrieval_fraction": RETRIEVAL_BAR,
        "alignment_ratio": 1 - ALIGNMENT_TOLERANCE,
        "memorised_fraction": 0.0,
    }
    errors = {n: a.metrics["identity_error"].value for n, a in baselines.items() if _has_error(a)}
    if "prompt_only" in errors:
        bars["identity_error"] = min(
            0.5 * errors["prompt_only"], errors.get("dreambooth_lora", float("inf"))
        )
    filled: dict[str, Metric] = {}
    for name, metric in arm.metrics.items():
        if name in bars:
            above = metric.value >= bars[name]
            holds = above if metric.better == "higher" else metric.value <= bars[name]
            filled[name] = _metric(metric, bars[name], holds)
        else:
            filled[name] = metric
    return Arm(name=arm.name, steps=arm.steps, metrics=filled, diagnosis=list(arm.diagnosis))


def _has_error(arm: Arm) -> bool:
    return "identity_error" in arm.metrics


def _metric(metric: Metric, bar: float, holds: bool) -> Metric:
    return Metric(
        value=metric.value, interval=metric.interval, bar=bar, holds=holds, better=metric.better
    )


def diagnose(arm: Arm, baselines: Mapping[str, Arm]) -> list[str]:
    """What is wrong with an arm and what to try, a sentence each; empty when nothing is.

    First whether the brand was learned, against prompt_only; then what `findings` sees on the
    pictures, against the base.
    """
    values = {name: metric.value for name, metric in arm.metrics.items()}
    said = []
    prompt_only = _values(baselines.get("prompt_only"))
    error, other = values.get("identity_error"), prompt_only.get("identity_error")
    if error is not None and other is not None and error > 0.5 * other:
        said.append(
            f"Identity error {error:.3f} is more than half of prompt only's {other:.3f}: the brand "
            "is only partly learned. Train longer, or add pictures of the views that are missing."
        )
    if values.get("retrieval_fraction", 1.0) < RETRIEVAL_BAR:
        said.append(_lost_trait(arm.metrics["retrieval_fraction"], _values(baselines.get("real"))))
    if values.get("alignment_ratio", 1.0) < 1 - ALIGNMENT_TOLERANCE:
        said.append(
            f"Prompts are followed at {percent(values['alignment_ratio'])} of the base's "
            "strength: lower the learning rate, or stop at an earlier stage."
        )
    spread, usual = values.get("diversity"), prompt_only.get("diversity")
    if spread is not None and usual is not None and spread < DIVERSITY_FLOOR * usual:
        said.append(
            f"Pictures of one prompt differ by {spread:.2f}, under half of prompt only's "
            f"{usual:.2f}: the model repeats itself. Lower the rank or the learning rate."
        )
    return said + [found.sentence for found in findings(values, _values(baselines.get("base")))]


def _lost_trait(found: Metric, real: Mapping[str, float]) -> str:
    """Real pictures that are mistaken for others about as often, as far as so few can tell, have
    lost nothing: the eyes fail."""
    start = f"Only {percent(found.value)} of the pictures are nearest to this brand in the line-up"
    ceiling = real.get("retrieval_fraction", 1.0)
    most = found.value if found.interval is None else found.interval[1]
    if most >= ceiling and ceiling < RETRIEVAL_BAR:
        return (
            f"{start}, of the real ones {percent(ceiling)}, which is no sure difference: the eyes "
            "mistake real ones for others, too, whatever is trained. Look at the pictures yourself."
        )
    return f"{start}: a trait is lost. Train longer, or leave fixed traits out of the captions."


def verdict(choice: Choice, stages: Mapping[str, Arm], baselines: Mapping[str, Arm]) -> Verdict:
    """One sentence for the head of the report: the choice, confirmed or vetoed by the twins.

    Vetoes: identity not better than prompt_only's, alignment under 0.9 of the base's (or of
    prompt_only's where that is less: long descriptions distract, too), or more than one picture in
    twenty memorised beyond what the base seems to have. Smaller shortfalls are said but do not
    veto.
    Raises ValueError when the chosen stage was not measured.
    """
    if choice.stage not in stages:
        raise ValueError(
            f"stage {choice.stage!r} was chosen, but only {', '.join(stages) or 'none'} measured"
        )
    arm = stages[choice.stage]
    advice = tuple(diagnose(arm, baselines))
    veto = _veto(arm, baselines)
    if veto or not choice.good:
        astray = choice.reason[0].lower() + choice.reason[1:].rstrip(".")
        why = veto or f"{astray}, on the validation prompts"
        tried = (
            "" if advice else " Train longer, or look at the captions and the held-out pictures."
        )
        return Verdict(None, f"Ship nothing yet: {why}.{tried}", False, advice)
    return Verdict(choice.stage, _sentence(choice.stage, stages, baselines), True, advice)


def _veto(arm: Arm, baselines: Mapping[str, Arm]) -> str:
    values = _values(arm)
    plain = _values(baselines.get("prompt_only")).get("identity")
    if plain is not None and values["identity"] <= plain:
        return (
            f"{arm.name}'s identity {values['identity']:.2f} is no better than the "
            f"{plain:.2f} of describing the brand in words"
        )
    ratio = values.get("alignment_ratio", 1.0)
    usual = _values(baselines.get("prompt_only")).get("alignment_ratio", 1.0)
    if ratio < 0.9 * min(1.0, usual):
        return f"{arm.name} follows prompts at only {percent(ratio)} of the base's strength"
    memorised = values.get("memorised_fraction", 0.0)
    chance = _values(baselines.get("base")).get("memorised_fraction", 0.0)  # it saw none of them
    if memorised - chance > LIMITS["evaluation"]["memorised"]:
        return f"{percent(memorised)} of {arm.name}'s pictures repeat a training picture"
    return ""


def _sentence(stage: str, stages: Mapping[str, Arm], baselines: Mapping[str, Arm]) -> str:
    """ "Ship detail: its identity 0.87 beats appearance's 0.81, alignment is within 3 % of the
    base's, and no picture is memorised." Only what is true is said."""
    values = _values(stages[stage])
    rivals = {n: a for n, a in (*stages.items(), *baselines.items()) if n not in (stage, "real")}
    below = {n: _values(a)["identity"] for n, a in rivals.items() if "identity" in a.metrics}
    head, parts = f"Ship {stage}", [f"its identity is {values['identity']:.2f}"]
    if below:
        rival = max(below, key=lambda n: below[n])
        own, other = values["identity"], below[rival]
        word = "beats" if own > other + IDENTITY_TIE else "equals"
        word = "stays under" if own < other - IDENTITY_TIE else word
        parts = [f"its identity {own:.2f} {word} {rival.replace('_', ' ')}'s {other:.2f}"]
        if word == "stays under" and rival in stages:  # what chooses never grades, nor the reverse
            parts[0] += " here"
            head += ", which the validation pictures chose"
    if "alignment_ratio" in values:
        follows = SAID[alignment_name(values)]
        parts.append(f"{follows} is {_against(values['alignment_ratio'], 1.0)}")
    memorised = values.get("memorised_fraction", 0.0)
    parts.append(
        "no picture is memorised"
        if memorised == 0
        else f"{percent(memorised)} of the pictures come close to a training picture"
    )
    return f"{head}: {', '.join(parts[:-1])}, and {parts[-1]}."


def _against(own: float, base: float) -> str:
    change = max(0.0, own) / base - 1 if base > 0 else 0.0
    if change > ALIGNMENT_TOLERANCE:
        return f"{percent(change)} above the base's"
    if change >= -ALIGNMENT_TOLERANCE:
        return "within 3 % of the base's"
    return f"{percent(-change)} below the base's"


def _said(name: str) -> str:
    return name[:1].upper() + name[1:]


def _values(arm: Arm | None) -> dict[str, float]:
    return {} if arm is None else {name: metric.value for name, metric in arm.metrics.items()}
