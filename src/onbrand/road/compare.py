"""compare: all stages and baselines draw the same prompts with the same seeds, and are measured.

The report shows one brand's comparison; the consistency bench runs it over many characters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from onbrand.artifacts import Arm, BrandModel, Dataset, Judgement, Pictures
from onbrand.brief import Brief, Objective
from onbrand.errors import DatasetError
from onbrand.events import Listener, Noted, silent
from onbrand.road.learn import choice_of, train_baseline
from onbrand.road.picture import Request, draw, parents_of, warn_of_unseen_words, with_lora
from onbrand.road.places import Places, open_brand

if TYPE_CHECKING:
    from PIL.Image import Image

    from onbrand.judging import Eyes, Gallery, Measured, References, Verdict
    from onbrand.models.diffusion import DiffusionModel
    from onbrand.models.packs import Pack

__all__ = ["BASE", "BASELINE", "PROMPT_ONLY", "Comparison", "compare"]

BASE, PROMPT_ONLY, BASELINE = "base", "prompt_only", "dreambooth_lora"
Artist = Callable[[Path | None], "DiffusionModel"]


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


@dataclass(frozen=True)
class _Arm:
    name: str
    prompts: tuple[str, ...]
    checkpoint: Path | None
    num_steps: int


def compare(
    brand: str | Path = ".",
    *,
    baselines: bool = False,
    prompts: Sequence[str] | None = None,
    num_prompts: int = 8,
    num_per_prompt: int = 2,
    seed: int = 1007,
    num_steps: int = 20,
    guidance: float = 4.0,
    gallery: Gallery | None = None,
    expected: Sequence[Mapping[str, str]] | None = None,
    eyes: Eyes | None = None,
    held_out_for_memory: Sequence[Image] = (),
    objectives: Sequence[Objective] | None = None,
    emit: Listener = silent,
) -> Comparison:
    """Draws and measures all arms of a trained brand; finished pictures are kept in judged/.

    `prompts` default to those that validation never used. `seed` must not be a validation seed.
    `expected[p]` are the attributes that prompt p names, where they are known. `gallery` is the
    line-up for retrieval (default: lookalikes/ beside reserved characters); `eyes` the evaluation
    encoders (default: the pack's twins); `held_out_for_memory` more never-trained pictures, for
    the memorisation threshold alone; `objectives` whose figures are measured, the
    brief's if None. With `baselines` dreambooth_lora is trained if missing.
    """
    from onbrand import judging
    from onbrand.models import open_pack

    places = open_brand(brand)
    model = places.trained()
    dataset = Dataset.load(places.dataset)
    if not dataset.held_out:
        raise DatasetError(
            f"{places.dataset} holds out no picture, so nothing can be measured: "
            "add pictures, or name some under held_out in brief.toml"
        )
    brief = places.brief()
    texts = tuple(prompts) if prompts else _prompts(brief, model, num_prompts)
    seeds = tuple(range(seed, seed + num_per_prompt))
    pack = open_pack(model.base)
    with places.alone():
        baseline = train_baseline(brand, emit=emit) if baselines else _old_baseline(places, emit)
        arms = _arms(brief, model, baseline, texts)
        warn_of_unseen_words(pack, arms[-1].prompts, brief, emit)
        artist = _artist(pack)
        pictures = _draw_all(places, artist, model, arms, seeds, num_steps, guidance, emit)
        class_pictures = _draw_class(places, artist, model, arms, seeds, num_steps, guidance, emit)

    references = _references(
        places, dataset, brief, gallery, held_out_for_memory, objectives or (brief.objective,)
    )
    subject_texts = [brief.class_prompt(text) for text in texts for _ in seeds]
    wanted = [e for e in expected for _ in seeds] if expected else None
    shown = {
        arm.name: judging.ArmPictures(
            name=arm.name,
            pictures=[pictures[arm.name].open(i) for i in range(len(subject_texts))],
            texts=subject_texts,
            steps=arm.num_steps,
            expected=wanted,
            class_pictures=_opened(class_pictures.get(arm.name)),
        )
        for arm in arms
    }
    judge = judging.Judge(eyes or judging.open_eyes(pack), references, base=shown[BASE], seed=seed)
    measured = {name: judge.measure(arm) for name, arm in shown.items()}
    verdict, judgement = _judge(model, measured, judge.measure_real())
    return Comparison(
        prompts=texts,
        seeds=seeds,
        measured=measured,
        pictures=pictures,
        class_pictures=class_pictures,
        judgement=judgement,
        verdict=verdict,
        references=references,
        model=model,
        dataset=dataset,
    )


def _prompts(brief: Brief, model: BrandModel, num: int) -> tuple[str, ...]:
    from onbrand import judging

    used = model.recipe.validation.num_prompts
    return tuple(judging.evaluation_prompts(brief.prompts, num_validation=used, num=num))


def _old_baseline(places: Places, emit: Listener) -> BrandModel | None:
    """A baseline that an earlier report trained, when it belongs to the model as it is now."""
    if not (places.baseline / "manifest.json").is_file():
        return None
    baseline, ours = BrandModel.load(places.baseline), places.trained()
    if (baseline.base, baseline.recipe, baseline.parents) != (ours.base, ours.recipe, ours.parents):
        emit(Noted("the dreambooth_lora baseline is of an older model: --baselines trains it anew"))
        return None
    return baseline


def _arms(
    brief: Brief, model: BrandModel, baseline: BrandModel | None, texts: Sequence[str]
) -> list[_Arm]:
    named = tuple(brief.prompt(text) for text in texts)
    arms = [
        _Arm(BASE, tuple(brief.class_prompt(text) for text in texts), None, 0),
        _Arm(PROMPT_ONLY, tuple(brief.description_prompt(text) for text in texts), None, 0),
    ]
    if baseline is not None:
        num_steps = sum(stage.num_steps for stage in baseline.stages)
        told = tuple(brief.trigger_prompt(text) for text in texts)
        arms.append(_Arm(BASELINE, told, baseline.checkpoint(None), num_steps))
    done = 0
    for stage in model.stages:
        done += stage.num_steps
        arms.append(_Arm(stage.name, named, model.checkpoint(stage.name), done))
    return arms


def _draw_all(
    places: Places,
    artist: Artist,
    model: BrandModel,
    arms: Sequence[_Arm],
    seeds: Sequence[int],
    num_steps: int,
    guidance: float,
    emit: Listener,
) -> dict[str, Pictures]:
    """One model in memory, each arm puts its LoRA on it; loaded only if pictures are missing."""
    pictures = {}
    for arm in arms:
        request = Request(
            prompts=tuple(prompt for prompt in arm.prompts for _ in seeds),
            seeds=tuple(seed for _ in arm.prompts for seed in seeds),
            num_steps=num_steps,
            guidance=guidance,
            parents=parents_of(model, arm.checkpoint),
        )
        pictures[arm.name] = draw(
            partial(artist, arm.checkpoint),
            request,
            places.judged / arm.name,
            task=f"drawing {arm.name}",
            emit=emit,
        )
    return pictures


def _artist(pack: Pack) -> Artist:
    """The one model, with a checkpoint's LoRA on it; loaded when first asked for."""
    from onbrand.models.diffusion import load_diffusion

    opened: list[DiffusionModel] = []

    def artist(checkpoint: Path | None) -> DiffusionModel:
        if not opened:
            opened.append(load_diffusion(pack))
        return with_lora(opened[0], checkpoint)

    return artist


def _draw_class(
    places: Places,
    artist: Artist,
    model: BrandModel,
    arms: Sequence[_Arm],
    seeds: Sequence[int],
    num_steps: int,
    guidance: float,
    emit: Listener,
) -> dict[str, Pictures]:
    """What each trained arm makes of the base's own prompts: has the plain subject changed?"""
    base = next(arm for arm in arms if arm.name == BASE)
    return {
        arm.name: draw(
            partial(artist, arm.checkpoint),
            Request(
                prompts=base.prompts,
                seeds=(seeds[0],) * len(base.prompts),
                num_steps=num_steps,
                guidance=guidance,
                parents=parents_of(model, arm.checkpoint),
            ),
            places.judged / f"{arm.name}-class",
            task=f"drawing the plain class, {arm.name}",
            emit=emit,
        )
        for arm in arms
        if arm.checkpoint is not None
    }


def _opened(shots: Pictures | None) -> list[Image]:
    return [shots.open(i) for i in range(len(shots.items))] if shots else []


def _references(
    places: Places,
    dataset: Dataset,
    brief: Brief,
    gallery: Gallery | None,
    held_out_for_memory: Sequence[Image],
    objectives: Sequence[Objective],
) -> References:
    from onbrand import curation, judging

    if gallery is None:
        gallery = judging.folder_gallery(curation.lookalike_pictures(places.lookalikes))
    return judging.References(
        train=[dataset.open(asset) for asset in dataset.train],
        held_out=[dataset.open(asset) for asset in dataset.held_out],
        gallery=gallery,
        palette=brief.palette,
        held_out_for_memory=held_out_for_memory,
        objectives=objectives,
    )


def _judge(
    model: BrandModel, measured: Mapping[str, Measured], real: Arm
) -> tuple[Verdict, Judgement]:
    from onbrand import judging

    baselines = {
        name: measured[name].arm for name in (BASE, PROMPT_ONLY, BASELINE) if name in measured
    }
    stages = {
        stage.name: judging.with_bars(measured[stage.name].arm, baselines) for stage in model.stages
    }
    choice = choice_of(model)
    verdict = judging.verdict(choice, stages, baselines)
    judgement = Judgement(
        stages=[
            replace(arm, diagnosis=judging.diagnose(arm, baselines)) for arm in stages.values()
        ],
        baselines={**baselines, real.name: real},
        ship={"stage": verdict.stage, "chosen": choice.stage, "reason": verdict.sentence},
    )
    return verdict, judgement
