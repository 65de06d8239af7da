"""What every stage of a run shares: the base with its adapter, the brand, caches, previews.

A stage file asks the session for its pictures, runs its own loop, and hands the session what it
made: `validate` looks at fixed prompts and seeds, `save` writes the checkpoint.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from PIL import Image
from torch import Tensor

from onbrand import pixels
from onbrand.artifacts.brand_model import StageResult
from onbrand.artifacts.dataset import Dataset
from onbrand.artifacts.origin import made_by
from onbrand.brief import Brief
from onbrand.events import Listener
from onbrand.files import fingerprint_file
from onbrand.recipe import Recipe
from onbrand.sheet import contact_sheet
from onbrand.training.cache import Examples, Store, Texts, in_order
from onbrand.training.class_pictures import base_pictures, class_examples
from onbrand.training.engine import Loop, Settings, generator
from onbrand.training.held_out import held_out_losses
from onbrand.training.noise_levels import NoiseLevels
from onbrand.training.optimisers import drop_moments
from onbrand.training.parts import Draw, Measure, Parts
from onbrand.training.precision import ExactAttention, LowWeights, mixed
from onbrand.training.seams import Every, Reviewer, Sampler, Scorer
from onbrand.training.stage_plan import StagePlan
from onbrand.training.workers import ALONE, Workers

if TYPE_CHECKING:
    from onbrand.models.diffusion import DiffusionModel
    from onbrand.models.packs import Pack

__all__ = ["PREVIEW_SEED", "Session", "checkpoint_period"]

PREVIEW_SEED = 50_000


@dataclass
class Session:
    """One run of the recipe's stages over a brand. `speak` makes a text the arm's prompt (the
    brief's); `parameters`, and `who_d`, the brand's identity where the recipe has it take part,
    are filled once LoRA is attached."""

    model: DiffusionModel
    pack: Pack
    dataset: Dataset
    brief: Brief
    recipe: Recipe
    root: Path
    store: Store
    sample: Sampler
    score: Scorer
    emit: Listener
    size_px: int
    base_fingerprint: str
    speak: Callable[[str], str]
    reviewer: Reviewer | None = None
    workers: Workers = ALONE
    parameters: dict[str, torch.nn.Parameter] = field(default_factory=dict)
    who_d: Tensor | None = None
    texts: Texts = field(init=False)
    _base_class: list[Image.Image] = field(default_factory=list)
    _low: LowWeights | None = None

    def __post_init__(self) -> None:
        self.texts = Texts(self.model, frozen=not self.recipe.lora.text_encoder)

    @property
    def device(self) -> str:
        """Where the base lies, and the eyes that losses look through."""
        return str(self.model.device)

    def attach(self, *, with_identity: bool = True) -> None:
        """Put a fresh adapter on the model and save memory as the recipe says; the baseline has no
        identity."""
        from onbrand.models.adapters import attach_lora, lora_parameters

        attach_lora(self.model, self.recipe.lora, seed=self.recipe.seed)
        self.parameters = lora_parameters(self.model)
        if with_identity and self.recipe.identity.mode != "none":
            self._attach_identity()
        if self.recipe.gradient_checkpointing:
            self.model.network.enable_gradient_checkpointing()
            self.model.vae.enable_gradient_checkpointing()

    def _attach_identity(self) -> None:
        """Let the brand's mean embedding reach the network, by the recipe's way."""
        from onbrand.models.identity import IdentityWay, load_adapter, open_way
        from onbrand.models.perception import load_identity
        from onbrand.training.lenses import brand_reference

        settings, seed = self.recipe.identity, self.recipe.seed
        eye = load_identity(self.pack, device=self.device)
        self.who_d = brand_reference(self, eye).to(self.device)
        if settings.mode == "attended" and "identity_adapter" in self.pack.roles:
            way: IdentityWay = load_adapter(self.model, self.pack)
        else:
            way = open_way(self.model, settings.mode, embedding_dim=len(self.who_d), seed=seed)
        way.show(self.who_d[None])
        way.trainable(settings.train)
        if settings.train:
            named = way.parameters().items()
            self.parameters |= {f"identity.{name}": parameter for name, parameter in named}

    # -- pictures of the class ---------------------------------------------------------------

    def class_prompts(self) -> list[str]:
        """The validation prompts and the training captions without the brand: what the base should
        go on drawing its way. Cut-outs have no scene in their captions; the prompts have."""
        captions = [asset.caption for asset in in_order(self.dataset) if asset.caption]
        texts = dict.fromkeys([*self.validation_prompts(), *captions])
        return [self.brief.class_prompt(text) for text in texts]

    def class_examples(self, prompts: Sequence[str]) -> Examples:
        """What the untouched base makes of class prompts (see class_pictures). Call it before LoRA
        is trained."""
        return class_examples(self, prompts)

    # -- looking -----------------------------------------------------------------------------

    def validation_prompts(self) -> list[str]:
        """The brief's first prompts; held-out captions stand in for a brief without prompts."""
        captions = [asset.caption for asset in self.dataset.held_out if asset.caption]
        return self.brief.validation_prompts(self.recipe.validation.num_prompts, captions)

    def preview(self, name: str) -> tuple[list[Image.Image], list[str]]:
        """The validation pictures, always from the same prompts and seeds, and their texts.

        Their contact sheet is written to previews/NAME.png: a row per prompt.
        """
        validation = self.recipe.validation
        texts = [t for t in self.validation_prompts() for _ in range(validation.num_per_prompt)]
        seeds = [PREVIEW_SEED + i % validation.num_per_prompt for i in range(len(texts))]
        with self.evaluating():
            pictures = self.sample(
                self.model,
                [self.speak(text) for text in texts],
                seeds=seeds,
                num_steps=validation.num_steps,
                guidance=validation.guidance,
                size_px=self.size_px,
            )
        path = self.root / "previews" / f"{name}.png"
        n = validation.num_per_prompt
        rows = [pictures[i : i + n] for i in range(0, len(pictures), n)]
        pixels.write_png(contact_sheet(rows, texts[::n]), path)
        return pictures, texts

    def validate(self, name: str) -> dict[str, float]:
        """Finite figures of the validation pictures, whose sheet lies in previews/NAME.png, and the
        loss on held-out ones; prior_drift, which takes more pictures, where the recipe reads it."""
        pictures, texts = self.preview(name)
        scores = dict(self.score(pictures, [self.brief.class_prompt(text) for text in texts]))
        losses = held_out_losses(self)
        scores |= {key: losses[key] for key in ("validation_loss",) if key in losses}
        if self._base_class and self.reviewer is not None and self.parameters:
            scores["prior_drift"] = self.reviewer.drift(self._draw_class(), self._base_class)
        return {key: float(value) for key, value in scores.items() if math.isfinite(value)}

    def look(self, metric: str, name: str) -> dict[str, float]:
        """Figures for an early stop: those of the held-out loss alone, if it reads that."""
        return held_out_losses(self) if metric == "validation_loss" else self.validate(name)

    def draw_base_class(self) -> None:
        """Keep what the untouched base draws for the plain class: what prior_drift compares with.
        Call it before LoRA is attached."""
        self._base_class = base_pictures(self, *self._asked_of_class())

    def _asked_of_class(self) -> tuple[list[str], list[int]]:
        """The validation texts as prompts of the plain class, and their seeds."""
        num = self.recipe.validation.num_per_prompt
        texts = [text for text in self.validation_prompts() for _ in range(num)]
        prompts = [self.brief.class_prompt(text) for text in texts]
        return prompts, [PREVIEW_SEED + i % num for i in range(len(texts))]

    def _draw_class(self) -> list[Image.Image]:
        """The same as the model draws it now, of nobody's identity."""
        validation = self.recipe.validation
        prompts, seeds = self._asked_of_class()
        with self.evaluating(), self._showing_nobody():
            return self.sample(
                self.model,
                prompts,
                seeds=seeds,
                num_steps=validation.num_steps,
                guidance=validation.guidance,
                size_px=self.size_px,
            )

    @contextlib.contextmanager
    def _showing_nobody(self) -> Iterator[None]:
        way = self.model.way
        if way is None:
            yield
            return
        who = way.who_nd
        way.show(None)
        try:
            yield
        finally:
            way.show(who)

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Inside, dropout is off, the text encoder's adapter's too; both are put back after."""
        was = self.model.network.training
        self._learning(False)
        try:
            yield
        finally:
            self._learning(was)

    def _learning(self, on: bool) -> None:
        from onbrand.models.adapters import set_dropout

        self.model.network.train(on)
        set_dropout(self.model, on)

    def previews(self, name: str) -> dict[int, Callable[[int], Mapping[str, float] | None]]:
        """The engine's `every` table: a contact sheet each `preview_every` steps (0: none)."""

        def look(step: int) -> None:
            self.preview(f"{name}-{step:05d}")

        period = self.recipe.validation.preview_every
        return {period: look} if period and self.workers.is_first else {}

    @contextlib.contextmanager
    def mixed(self) -> Iterator[None]:
        """The recipe's arithmetic, for the network's pass; formulas and looks stay float32.

        On a processor in low precision attention is exact; checkpointed activations, computed again
        outside of here, do without.
        """
        with mixed(self.model.device, self.recipe.precision), contextlib.ExitStack() as more:
            if self.model.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
                if self._low is None:
                    self._low = LowWeights(self.model.network, torch.get_autocast_dtype("cpu"))
                more.enter_context(self._low())
                if not self.recipe.gradient_checkpointing:
                    more.enter_context(ExactAttention())
            yield

    def noise_levels(self, sampling: str) -> NoiseLevels:
        """How the base's timesteps are drawn: the recipe's `timestep_sampling`."""
        every = torch.arange(self.model.num_timesteps, device=self.model.device)
        flow = self.model.prediction_type == "flow_prediction"
        return NoiseLevels.named(sampling, self.model.snr(every), flow=flow)

    def enter_step(self, seed: int, step: int, row: int = 0) -> None:
        """Make dropout a function of (seed, step, first sample of the part), so that a resumed run
        drops the same."""
        if self.recipe.lora.dropout:
            torch.manual_seed(generator(seed, step, -4 - 10_000 * row).initial_seed())

    # -- running -----------------------------------------------------------------------------

    def loop(
        self,
        plan: StagePlan,
        folder: Path,
        seed: int,
        *,
        learning_rate: float,
        schedule: Literal["cosine", "constant"],
        warmup_steps: int = 0,
        betas: tuple[float, float] = (0.9, 0.99),
        beside: Mapping[str, torch.nn.Parameter] | None = None,
    ) -> Loop:
        """The stage's loop over the adapter and what is trained `beside` it, gone on with from the
        folder's checkpoint if there is one."""
        settings = Settings(
            num_steps=plan.num_steps,
            learning_rate=learning_rate,
            seed=seed,
            warmup_steps=warmup_steps,
            schedule=schedule,
            betas=betas,
            checkpoint_every=checkpoint_period(plan.num_steps),
            optimizer=self.recipe.optimizer,
            scales_loss=self.recipe.precision == "float16",
        )
        loop = Loop(
            folder,
            {**self.parameters, **(beside or {})},
            settings,
            task=plan.name,
            emit=self.emit,
            workers=self.workers,
        )
        loop.resume()
        return loop

    def run(
        self, loop: Loop, draw: Draw, measure: Measure, plan: StagePlan, every: Every | None = None
    ) -> None:
        """Train to the stage's end, in the plan's parts, with previews or the looks of `every`.
        Raises NonFiniteLoss with the names of the samples that caused it."""
        from peft.helpers import disable_input_dtype_casting

        self._learning(True)
        parts = Parts(
            partial(self.enter_step, loop.settings.seed),
            draw,
            measure,
            list(self.parameters.values()),
            plan.batch_size,
            plan.num_prior,
            plan.num_parts,
            self.workers,
        )
        looks = self.previews(loop.folder.name) if every is None else every
        # an adapter takes its layer's input as it comes: peft would make it float32 first, and
        # autocast undo that, the same numbers at twice the cost
        with disable_input_dtype_casting(self.model.network):
            loop.run(parts, every=looks, blame=parts.blame)

    # -- keeping -----------------------------------------------------------------------------

    def finish(self, plan: StagePlan, loop: Loop, best_step: int | None = None) -> StageResult:
        """Write the adapter in diffusers and kohya form into the loop's folder, then measure the
        stage. `best_step` is the one that an early stop kept; the steps told are those that were
        made, not those planned.

        The first process alone does; in the others the result has no figures.
        """
        from onbrand.models.adapters import save_lora
        from onbrand.models.identity import save_way

        folder, made = loop.folder, replace(plan, num_steps=loop.step)
        facts = self._header(plan, best_step or made.num_steps)
        result = StageResult(
            name=plan.name,
            kind=plan.kind,
            num_steps=made.num_steps,
            num_pictures_seen=made.num_pictures_seen,
            folder=f"stages/{folder.name}",
            seconds=round(loop.seconds, 3),
            code=made_by(),
            best_step=best_step,
        )
        if not self.workers.is_first:
            return result
        drop_moments(loop.checkpoint_path)  # of a finished stage only parameters are read
        with self.evaluating():
            save_lora(self.model, folder, facts)
            if self.model.way is not None:
                save_way(self.model, folder, facts)
        files = {p.name: fingerprint_file(p) for p in sorted(folder.glob("*.safetensors"))}
        return replace(result, files=files, metrics=self.validate(folder.name))

    def _header(self, plan: StagePlan, num_steps: int) -> dict[str, str]:
        """What the exported files tell of themselves."""
        return {
            "name": f"{self.brief.name} {plan.name}",
            "description": self.brief.description,
            "trigger": self.brief.trigger,
            "licence": self.brief.licence or _of_the_base(self.pack.licence),
            "stage": plan.name,
            "num_steps": str(num_steps),
            "base": self.pack.name,
            "base_fingerprint": self.base_fingerprint,
            "base_licence": self.pack.licence,
            # in place of the base's own size
            "ss_resolution": f"({self.size_px}, {self.size_px})",
            "modelspec.resolution": f"{self.size_px}x{self.size_px}",
        }


def _of_the_base(licence: str) -> str:
    """What the header says where the brief names no licence; "unknown" where neither does."""
    return "unknown" if licence in ("", "unknown") else f"{licence} (the base's)"


def checkpoint_period(num_steps: int) -> int:
    """Steps between checkpoints, what a kill can cost: a quarter of the stage, at most 25."""
    return max(1, min(25, num_steps // 4))
