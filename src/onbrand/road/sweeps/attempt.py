"""One combination of a sweep: trained (unless it was), drawn, measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from onbrand.artifacts import Arm, BrandModel, Dataset, Metric, Pictures
from onbrand.brief import Brief
from onbrand.errors import ModelError, OnbrandError, PromptError, TrainingError, counted
from onbrand.events import Listener, Noted
from onbrand.files import write_json_atomic
from onbrand.models import Pack
from onbrand.recipe import GATE_METRICS, GATE_ROLES, Recipe
from onbrand.road.learn import train_into
from onbrand.road.picture import draw, negative_of, parents_of, with_lora, write_sheet
from onbrand.road.request import Request
from onbrand.road.sweeps.grid import Combination
from onbrand.road.sweeps.outcome import State, Trial
from onbrand.road.sweeps.plan import DONE_NAME, Plan, model_folder, to_see
from onbrand.road.sweeps.settings import Drawing
from onbrand.road.words import refuse_words, warn_of_unseen_words

if TYPE_CHECKING:
    from onbrand.judging import TrainingScorer
    from onbrand.models.diffusion import DiffusionModel

__all__ = ["Attempts"]


@dataclass
class Attempts:
    """What all combinations share: pictures, words, seeds, the eyes, one model in memory."""

    plan: Plan
    pack: Pack
    dataset: Dataset
    brief: Brief
    scorer: TrainingScorer
    emit: Listener
    texts: list[str] = field(init=False)
    seeds: list[int] = field(init=False)
    timed: bool = False

    def __post_init__(self) -> None:
        from onbrand.training.session import PREVIEW_SEED

        validation = self.plan.recipe.validation
        captions = [asset.caption for asset in self.dataset.held_out if asset.caption]
        self.texts = self.brief.validation_prompts(validation.num_prompts, captions)
        self.seeds = [PREVIEW_SEED + k for k in range(validation.num_per_prompt)]
        refuse_words(self.pack, self._prompts(self.plan.drawing))
        full = [prompt for one in self.plan.combinations for prompt in self._prompts(one.drawing)]
        warn_of_unseen_words(self.pack, list(dict.fromkeys(full)), self.brief, self.emit)

    def _prompts(self, drawing: Drawing) -> list[str]:
        """What each text becomes with the drawing's words."""
        return [self.brief.prompt(drawing.words(text)) for text in self.texts]

    @cached_property
    def diffusion(self) -> DiffusionModel:
        """The one model in memory, with whatever adapter it wore last."""
        from onbrand.models.diffusion import load_diffusion

        return load_diffusion(self.pack)

    # -- one combination -----------------------------------------------------------------------

    def attempt(self, combination: Combination) -> Trial:
        """Train, draw, measure; a failure of this one alone becomes its state and reason."""
        if combination.refused:
            return Trial(combination, "refused", combination.refused)
        try:
            refuse_words(self.pack, self._prompts(combination.drawing))
        except PromptError as fault:
            return Trial(combination, "refused", str(fault))
        trial = Trial(combination, "done")
        if self.plan.trains:
            trial = self._trained(combination)
            if trial.model is None:
                return trial
            model = BrandModel.load(trial.model)
        else:
            model = self.plan.places.trained()
        checkpoint = model.checkpoint(None)
        try:
            shots = self.draw(
                checkpoint,
                combination.drawing,
                parents_of(model, checkpoint),
                model.recipe.resolution_px,
            )
        except (ModelError, PromptError) as fault:
            return replace(trial, state="broken", reason=f"{fault}", model=None)
        num_steps = sum(stage.num_steps for stage in model.stages)
        per_prompt, arm = self.measure(shots, trial.name, num_steps)
        return replace(
            trial, per_prompt=per_prompt, arm=arm, pictures=shots, stage=model.ship["stage"]
        )

    def _trained(self, combination: Combination) -> Trial:
        """The combination's training, kept or made now; without `model` when it broke."""
        places, recipe = self.plan.places, combination.recipe
        folder = model_folder(places, recipe, self.brief, self.dataset, self.pack)
        record = _read_record(folder, self._looks(recipe))
        if record is None:
            record = self._train(combination, folder)
        state: State = "broken" if record["broken"] else "done"
        state = "gate failed" if record["failed_gate"] else state
        return Trial(
            combination,
            state,
            str(record["broken"] or record["failed_gate"]),
            model=None if record["broken"] else folder,
            num_pictures_seen=int(record["num_pictures_seen"]),
            seconds=float(record["seconds"]),
        )

    def _train(self, combination: Combination, folder: Path) -> dict[str, str | float]:
        """Trains it and writes down how that ended; a stop before that leaves a checkpoint. After
        another gate or validation setting only what that touches is done again."""
        from onbrand import training

        fresh, begun, broken, failed = not folder.exists(), monotonic(), "", ""
        seen, took = 0, 0.0
        self.emit(Noted(f"combination {combination.number}: {combination.label}"))
        try:
            model = train_into(
                self.plan.places, folder, combination.recipe, self.dataset, emit=self.emit
            )
            failed = training.failed_gate(model) or ""
            seen = sum(stage.num_pictures_seen for stage in model.stages)
            took = sum(stage.seconds for stage in model.stages)
        except (TrainingError, ModelError) as fault:
            broken = f"{fault} (remove {folder} to try it again)"
        record: dict[str, str | float] = {
            "broken": broken,
            "failed_gate": failed,
            "num_pictures_seen": seen,
            "seconds": took,
            "looks": self._looks(combination.recipe),
        }
        write_json_atomic(folder / DONE_NAME, record)
        if fresh and seen and not self.timed:
            self.timed = True
            self._tell_time((monotonic() - begun) / seen)
        return record

    def _looks(self, recipe: Recipe) -> str:
        """What says how a training ended, beside the training: its gates and what they look at."""
        told = recipe.model_dump_json(include={"gate", "validation"})
        eyes = self.pack.role_fingerprints(GATE_ROLES)
        return told + json.dumps([self.texts, list(GATE_METRICS), eyes])

    def _tell_time(self, seconds_per_picture: float) -> None:
        """After the first training: how long the others will take."""
        left: dict[Path, int] = {}
        for one in self.plan.combinations:
            folder = model_folder(self.plan.places, one.recipe, self.brief, self.dataset, self.pack)
            if not one.refused and not (folder / DONE_NAME).is_file():
                left[folder] = to_see(self.dataset, one.recipe)
        if left:
            minutes = seconds_per_picture * sum(left.values()) / 60
            self.emit(
                Noted(
                    f"a picture seen took {seconds_per_picture:.2f} s: about {minutes:.0f} min for "
                    f"{counted(len(left), 'more training')}"
                )
            )

    # -- pictures and figures --------------------------------------------------------------------

    def draw(
        self,
        checkpoint: Path | None,
        drawing: Drawing,
        parents: Mapping[str, str],
        size_px: int | None,
    ) -> Pictures:
        """The validation pictures of an adapter (None: the base), as large as those it learned
        from, kept by all that they depend on.
        Drawn as `onbrand generate` draws: with the brief's `never` in the negative prompt."""
        words = self._prompts(drawing)
        request = Request(
            prompts=tuple(prompt for prompt in words for _ in self.seeds),
            seeds=tuple(seed for _ in words for seed in self.seeds),
            num_steps=drawing.num_steps,
            guidance=drawing.guidance,
            negative_prompt=negative_of(self.brief, drawing.negative),
            sampler=drawing.sampler,
            parents=parents,
            size_px=size_px,
        )
        root = self.plan.places.sweep / "runs" / request.fingerprint()
        shots = draw(
            lambda: with_lora(self.diffusion, checkpoint),
            request,
            root,
            task="drawing",
            emit=self.emit,
        )
        if not (root / "sheet.png").is_file():
            write_sheet(shots, self.texts, len(self.seeds))
        return shots

    def measure(
        self, shots: Pictures, name: str, num_steps: int = 0
    ) -> tuple[dict[str, tuple[float, ...]], Arm]:
        """Figures for each prompt, and their means with intervals over the prompts. Alignment is to
        the brief's own text, whatever words a combination adds, so that all answer one question."""
        from onbrand.judging import bootstrap

        asked = [self.brief.class_prompt(text) for text in self.texts for _ in self.seeds]
        pictures = [shots.open(index) for index in range(len(asked))]
        found = self.scorer.per_prompt(pictures, asked)
        per_prompt = {figure: tuple(row.tolist()) for figure, row in found.items()}
        metrics = {
            figure: Metric(sum(values) / len(values), bootstrap(values))
            for figure, values in per_prompt.items()
        }
        return per_prompt, Arm(name, num_steps, metrics)


def _read_record(folder: Path, looks: str) -> dict[str, str | float] | None:
    """How a finished training ended; None when there is none, when its adapter is gone, or when
    its gates are others now."""
    from onbrand.models.lora_files import DIFFUSERS_FILE

    try:
        record = json.loads((folder / DONE_NAME).read_text("utf-8"))
        if record["looks"] != looks:
            return None
        if not record["broken"]:
            (BrandModel.load(folder).checkpoint(None) / DIFFUSERS_FILE).stat()
    except (OSError, ValueError, KeyError, OnbrandError):
        return None
    return dict(record)
