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
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from PIL import Image

from onbrand import pixels
from onbrand.artifacts.brand_model import StageResult
from onbrand.artifacts.dataset import Dataset
from onbrand.artifacts.origin import made_by
from onbrand.brief import Brief
from onbrand.events import Advanced, Finished, Listener, Started
from onbrand.files import fingerprint_file
from onbrand.recipe import Recipe
from onbrand.sheet import contact_sheet
from onbrand.training.cache import Examples, Store, Texts, encode, in_order
from onbrand.training.engine import Loop, Settings, generator
from onbrand.training.noise_levels import NoiseLevels
from onbrand.training.parts import Draw, Measure, Parts
from onbrand.training.precision import ExactAttention, mixed
from onbrand.training.workers import ALONE, Workers

if TYPE_CHECKING:
    from onbrand.models.diffusion import DiffusionModel
    from onbrand.models.packs import Pack

__all__ = [
    "Sampler",
    "Scorer",
    "Session",
    "StagePlan",
    "checkpoint_period",
]

CLASS_CHUNK = 8  # class pictures are sampled and kept in chunks of this size
CLASS_SEED = 90_000
PREVIEW_SEED = 50_000


class Sampler(Protocol):
    """Makes picture i from prompts[i] and seeds[i] (generation.sample fits)."""

    def __call__(
        self,
        model: DiffusionModel,
        prompts: Sequence[str],
        *,
        seeds: Sequence[int],
        num_steps: int,
        guidance: float,
    ) -> list[Image.Image]: ...


class Scorer(Protocol):
    """Figures of pictures by the training-side encoders; texts[i] is trigger-free.

    Returns identity, alignment and diversity (judging.training_scorer fits).
    """

    def __call__(
        self, pictures: Sequence[Image.Image], texts: Sequence[str], /
    ) -> Mapping[str, float]: ...


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What a stage will see: `num_prior` class pictures beside `batch_size` of the brand a step,
    in `num_parts` micro-batches."""

    name: str
    kind: str
    num_steps: int
    batch_size: int
    num_prior: int
    num_parts: int = 1

    @property
    def num_pictures_seen(self) -> int:
        """Pictures that pass through the model in the stage, prior pictures counted."""
        return self.num_steps * (self.batch_size + self.num_prior)


@dataclass
class Session:
    """One run of the recipe's stages over a brand. `speak` makes a text the arm's prompt (the
    brief's); `parameters` is filled once LoRA is attached."""

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
    workers: Workers = ALONE
    parameters: dict[str, torch.nn.Parameter] = field(default_factory=dict)
    texts: Texts = field(init=False)

    def __post_init__(self) -> None:
        self.texts = Texts(self.model, frozen=not self.recipe.lora.text_encoder)

    def attach(self) -> None:
        """Put a fresh adapter on the model and save memory as the recipe says."""
        from onbrand.models.adapters import attach_lora, lora_parameters

        attach_lora(self.model, self.recipe.lora, seed=self.recipe.seed)
        self.parameters = lora_parameters(self.model)
        if self.recipe.gradient_checkpointing:
            self.model.unet.enable_gradient_checkpointing()
            self.model.vae.enable_gradient_checkpointing()

    # -- pictures of the class ---------------------------------------------------------------

    def class_prompts(self) -> list[str]:
        """The validation prompts and the training captions without the brand: what the base should
        go on drawing its way. Cut-outs have no scene in their captions; the prompts have."""
        captions = [asset.caption for asset in in_order(self.dataset) if asset.caption]
        texts = dict.fromkeys([*self.validation_prompts(), *captions])
        return [self.brief.class_prompt(text) for text in texts]

    def class_examples(self, prompts: Sequence[str]) -> Examples:
        """`recipe.prior.num_pictures` pictures that the untouched base makes for class prompts.

        Made once (call before LoRA is trained), kept as PNG files in the cache, a chunk at a time.
        """
        num = self.recipe.prior.num_pictures
        validation = self.recipe.validation
        asked = [prompts[i % len(prompts)] for i in range(num)]
        settings = [validation.num_steps, validation.guidance, self.size_px]
        chunks: list[tuple[list[str], list[int], list[Path]]] = []
        for first in range(0, num, CLASS_CHUNK):
            chunk = asked[first : first + CLASS_CHUNK]
            seeds = [CLASS_SEED + first + i for i in range(len(chunk))]
            facts: dict[str, object] = {
                "base": self.base_fingerprint,
                "prompts": chunk,
                "seeds": seeds,
                "settings": settings,
            }
            paths = [
                self.store.path("class_pictures", {**facts, "picture": i}, ".png")
                for i in range(len(chunk))
            ]
            chunks.append((chunk, seeds, paths))
        self._make_class_pictures([c for c in chunks if not all(p.exists() for p in c[2])], num)
        pictures = [pixels.read(p).convert("RGB") for _, _, paths in chunks for p in paths]
        facts = {
            "base": self.base_fingerprint,
            "prompts": asked,
            "settings": settings,
        }
        latents = self.store.tensors(
            "class_latents", facts, lambda: {"latents": encode(self.model, pictures)}
        )["latents"]
        return Examples(
            tuple(f"class picture {i}" for i in range(num)),
            tuple(latents[i : i + 1] for i in range(num)),
            tuple((prompt,) for prompt in asked),
        )

    def _make_class_pictures(
        self, missing: Sequence[tuple[list[str], list[int], list[Path]]], num: int
    ) -> None:
        """Sample the chunks (prompts, seeds, files) that are not in the cache yet."""
        if not missing:
            return
        task, done = "class pictures", num - sum(len(paths) for _, _, paths in missing)
        validation = self.recipe.validation
        self.emit(Started(task, num, "pictures"))
        for prompts, seeds, paths in missing:
            made = self.sample(
                self.model,
                prompts,
                seeds=seeds,
                num_steps=validation.num_steps,
                guidance=validation.guidance,
            )
            for path, picture in zip(paths, made, strict=True):
                pixels.write_png(pixels.fit(picture, self.size_px, (255, 255, 255)), path)
            done += len(paths)
            self.emit(Advanced(task, done))
        self.emit(Finished(task, {"pictures": num}))

    # -- looking -----------------------------------------------------------------------------

    def validation_prompts(self) -> list[str]:
        """The brief's first prompts; held-out captions stand in for a brief without prompts."""
        num = self.recipe.validation.num_prompts
        texts = self.brief.prompts or [a.caption for a in self.dataset.held_out if a.caption]
        return list(texts[:num]) or ["on a plain background"]

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
            )
        path = self.root / "previews" / f"{name}.png"
        n = validation.num_per_prompt
        rows = [pictures[i : i + n] for i in range(0, len(pictures), n)]
        pixels.write_png(contact_sheet(rows, texts[::n]), path)
        return pictures, texts

    def validate(self, name: str) -> dict[str, float]:
        """Finite figures of the validation pictures; their sheet lies in previews/NAME.png."""
        pictures, texts = self.preview(name)
        scores = self.score(pictures, [self.brief.class_prompt(text) for text in texts])
        return {key: float(value) for key, value in scores.items() if math.isfinite(value)}

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Inside, dropout is off; the mode of the U-Net is put back after."""
        was = self.model.unet.training
        self.model.unet.eval()
        try:
            yield
        finally:
            self.model.unet.train(was)

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
        with mixed(self.model.device, self.recipe.precision):
            low = self.model.device.type == "cpu" and torch.is_autocast_enabled("cpu")
            exact = low and not self.recipe.gradient_checkpointing
            with ExactAttention() if exact else contextlib.nullcontext():
                yield

    def noise_levels(self, sampling: str) -> NoiseLevels:
        """How the base's timesteps are drawn: the recipe's `timestep_sampling`."""
        every = torch.arange(self.model.num_timesteps, device=self.model.device)
        return NoiseLevels.named(sampling, self.model.snr(every))

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
    ) -> Loop:
        """The stage's loop over the adapter, gone on with from the folder's checkpoint if any."""
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
            self.parameters,
            settings,
            task=plan.name,
            emit=self.emit,
            workers=self.workers,
        )
        loop.resume()
        return loop

    def run(self, loop: Loop, draw: Draw, measure: Measure, plan: StagePlan) -> None:
        """Train to the stage's end, in the plan's parts, with previews. Raises NonFiniteLoss with
        the names of the samples that caused it."""
        from peft.helpers import disable_input_dtype_casting

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
        every = self.previews(loop.folder.name)
        # an adapter takes its layer's input as it comes: peft would make it float32 first, and
        # autocast undo that, the same numbers at twice the cost
        with disable_input_dtype_casting(self.model.unet):
            loop.run(parts, every=every, blame=parts.blame)

    # -- keeping -----------------------------------------------------------------------------

    def finish(self, plan: StagePlan, folder: Path, seconds: float) -> StageResult:
        """Write the adapter in diffusers and kohya form into `folder`, then measure the stage.

        The first process alone does; in the others the result has no figures.
        """
        from onbrand.models.adapters import save_lora

        facts = {
            "trigger": self.brief.trigger,
            "stage": plan.name,
            "num_steps": str(plan.num_steps),
            "base": self.pack.name,
            "base_fingerprint": self.base_fingerprint,
        }
        result = StageResult(
            name=plan.name,
            kind=plan.kind,
            num_steps=plan.num_steps,
            num_pictures_seen=plan.num_pictures_seen,
            folder=f"stages/{folder.name}",
            seconds=round(seconds, 1),
            code=made_by(),
        )
        if not self.workers.is_first:
            return result
        with self.evaluating():
            save_lora(self.model, folder, facts)
        files = {p.name: fingerprint_file(p) for p in sorted(folder.glob("*.safetensors"))}
        return replace(result, files=files, metrics=self.validate(folder.name))


def checkpoint_period(num_steps: int) -> int:
    """Steps between checkpoints, what a kill can cost: a quarter of the stage, at most 25."""
    return max(1, min(25, num_steps // 4))
