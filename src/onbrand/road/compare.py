"""compare: all stages and baselines draw the same prompts with the same seeds, and are measured.

The report shows one brand's comparison; the consistency bench runs it over many characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from onbrand.artifacts import Arm, BrandModel, Dataset, Judgement, Pictures
from onbrand.events import Listener, Noted, silent
from onbrand.road.contest import Contest, Entry, open_contest
from onbrand.road.learn import choice_of, train_baseline
from onbrand.road.places import Places, open_brand
from onbrand.road.words import refuse_words, warn_of_unseen_words

if TYPE_CHECKING:
    from onbrand.judging import Measured, References, Verdict

__all__ = [
    "BASE", "BASELINE", "PROMPT_ONLY", "Comparison", "compare", "entry_of", "untouched",
]  # fmt: skip

BASE, PROMPT_ONLY, BASELINE = "base", "prompt_only", "dreambooth_lora"


@dataclass(frozen=True)
class Comparison:
    """What every arm drew and how it measured. Arms by name: base, prompt_only, maybe
    dreambooth_lora, then the stages in order. `pictures[arm].items[p * len(seeds) + s]` is prompt
    p with seed s, for every arm the same. `class_pictures` are what the trained arms draw for the
    plain class's prompts with the first seed."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    measured: Mapping[str, Measured]
    pictures: Mapping[str, Pictures]
    class_pictures: Mapping[str, Pictures]
    judgement: Judgement
    verdict: Verdict
    references: References
    model: BrandModel
    dataset: Dataset


def compare(
    brand: str | Path = ".",
    contest: Contest | None = None,
    *,
    baselines: bool = False,
    emit: Listener = silent,
) -> Comparison:
    """Draws and measures all arms of a trained brand; finished pictures are kept in judged/.

    `contest` says on what prompts and by which judge (default: `open_contest(brand)`). With
    `baselines` dreambooth_lora is trained if missing. Raises `PromptError` for refused words,
    before anything is drawn.
    """
    places = open_brand(brand)
    model = places.trained()
    contest = contest or open_contest(brand, emit=emit)
    for entry in _entries(contest, model, None):
        refuse_words(contest.pack, entry.prompts)
    with places.alone():
        baseline = train_baseline(brand, emit=emit) if baselines else _old_baseline(places, emit)
        entries = _entries(contest, model, baseline)
        warn_of_unseen_words(contest.pack, entries[-1].prompts, contest.brief, emit)
        drawn = {entry.name: contest.draw(entry, places.judged) for entry in entries}
    contest.base = contest.shown(drawn[BASE])
    measured = {name: contest.measure(one) for name, one in drawn.items()}
    verdict, judgement = _judge(model, measured, contest.judge.measure_real())
    return Comparison(
        prompts=contest.texts,
        seeds=contest.seeds,
        measured=measured,
        pictures={name: one.pictures for name, one in drawn.items()},
        class_pictures={name: one.of_class for name, one in drawn.items() if one.of_class},
        judgement=judgement,
        verdict=verdict,
        references=contest.references,
        model=model,
        dataset=places.trained_on(model),
    )


def _old_baseline(places: Places, emit: Listener) -> BrandModel | None:
    """A baseline that an earlier report trained, when it belongs to the model as it is now."""
    if not (places.baseline / "manifest.json").is_file():
        return None
    baseline, ours = BrandModel.load(places.baseline), places.trained()
    if _came_from(baseline) != _came_from(ours):
        emit(Noted("the dreambooth_lora baseline is of an older model: --baselines trains it anew"))
        return None
    return baseline


def _came_from(model: BrandModel) -> tuple[object, ...]:
    """What a model was trained from: base, recipe, the brief's words and the pictures."""
    words = model.brief.prompt(""), model.brief.class_prompt("")
    return model.base, model.recipe, words, model.parents.get("base"), model.parents.get("dataset")


def untouched(contest: Contest, model: BrandModel) -> list[Entry]:
    """The base told of the plain class, and of the brand in words alone."""
    brief, texts = contest.brief, contest.texts
    return [
        Entry.of(BASE, [brief.class_prompt(text) for text in texts], model, None, 0),
        Entry.of(PROMPT_ONLY, [brief.description_prompt(text) for text in texts], model, None, 0),
    ]


def entry_of(contest: Contest, model: BrandModel, stage: str) -> Entry:
    """A stage of a brand model, with all training steps up to its end."""
    names = [one.name for one in model.stages]
    num_steps = sum(one.num_steps for one in model.stages[: names.index(stage) + 1])
    told = [contest.brief.prompt(text) for text in contest.texts]
    return Entry.of(stage, told, model, model.checkpoint(stage), num_steps)


def _entries(contest: Contest, model: BrandModel, baseline: BrandModel | None) -> list[Entry]:
    entries = untouched(contest, model)
    if baseline is not None:
        num_steps = sum(stage.num_steps for stage in baseline.stages)
        told = [contest.brief.trigger_prompt(text) for text in contest.texts]
        entries.append(Entry.of(BASELINE, told, model, baseline.checkpoint(None), num_steps))
    return entries + [entry_of(contest, model, stage.name) for stage in model.stages]


def _judge(
    model: BrandModel, measured: Mapping[str, Measured], real: Arm
) -> tuple[Verdict, Judgement]:
    from onbrand import judging

    baselines = {
        name: measured[name].arm for name in (BASE, PROMPT_ONLY, BASELINE) if name in measured
    } | {real.name: real}
    stages = {
        stage.name: judging.with_bars(measured[stage.name].arm, baselines) for stage in model.stages
    }
    choice = choice_of(model)
    verdict = judging.verdict(choice, stages, baselines)
    judgement = Judgement(
        stages=[
            replace(arm, diagnosis=judging.diagnose(arm, baselines)) for arm in stages.values()
        ],
        baselines=baselines,
        ship={"stage": verdict.stage, "chosen": choice.stage, "reason": verdict.sentence},
    )
    return verdict, judgement
