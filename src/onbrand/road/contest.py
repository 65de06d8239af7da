"""What all arms of a comparison share: prompts, seeds, one model in memory, the judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from onbrand.artifacts import BrandModel, Dataset, Pictures
from onbrand.brief import Brief, Objective
from onbrand.errors import DatasetError, counted
from onbrand.events import Listener, silent, warning_once
from onbrand.road.picture import draw, parents_of, refuse_below_one, with_lora
from onbrand.road.places import open_brand
from onbrand.road.request import Request

if TYPE_CHECKING:
    from PIL.Image import Image

    from onbrand.judging import ArmPictures, Eyes, Gallery, Judge, Measured, References
    from onbrand.models.diffusion import DiffusionModel
    from onbrand.models.packs import Pack

__all__ = ["Contest", "Drawn", "Entry", "open_contest"]


@dataclass(frozen=True)
class Entry:
    """An arm as it takes part: the prompts that it is told, the checkpoint it draws by (None: the
    untouched base), and the training steps behind it."""

    name: str
    prompts: tuple[str, ...]
    checkpoint: Path | None
    num_steps: int
    parents: Mapping[str, str]

    @classmethod
    def of(
        cls,
        name: str,
        prompts: Sequence[str],
        model: BrandModel,
        checkpoint: Path | None,
        steps: int,
    ) -> Entry:
        """The entry with its lineage, the base's and the adapter's."""
        return cls(name, tuple(prompts), checkpoint, steps, parents_of(model, checkpoint))


@dataclass(frozen=True)
class Drawn:
    """An entry's pictures, prompt by prompt; and what a trained one makes of the plain class's
    prompts with the first seed (None for an untouched base)."""

    entry: Entry
    pictures: Pictures
    of_class: Pictures | None


@dataclass
class Contest:
    """All entries draw `texts` with `seeds` and are measured by one judge.

    `size_px` is the pictures' side (None: the base's own), the same for all.
    `expected[t]` are the attributes that text t names, where they are known; `eyes` are the pack's
    evaluation twins if None. The untouched base's pictures must be drawn before any is measured.
    """

    brief: Brief
    pack: Pack
    texts: tuple[str, ...]
    seeds: tuple[int, ...]
    num_steps: int
    guidance: float
    references: References
    expected: Sequence[Mapping[str, str]] | None
    eyes: Eyes | None
    emit: Listener
    size_px: int | None = None
    base: ArmPictures | None = None

    @property
    def class_texts(self) -> list[str]:
        """The trigger-free text of every picture, in order."""
        return [self.brief.class_prompt(text) for text in self.texts for _ in self.seeds]

    def draw(self, entry: Entry, judged: Path) -> Drawn:
        """The entry's pictures in the folder `judged`; those that lie there are kept."""
        seeds = self.seeds
        shots = self._draw(entry, entry.prompts, seeds, judged / entry.name)
        if entry.checkpoint is None:
            return Drawn(entry, shots, None)
        plain = [self.brief.class_prompt(text) for text in self.texts]
        named = judged / f"{entry.name}-class"
        return Drawn(entry, shots, self._draw(entry, plain, seeds[:1], named, of_class=True))

    def shown(self, drawn: Drawn) -> ArmPictures:
        """What the judge is given of an entry."""
        from onbrand import judging

        seeds, entry = self.seeds, drawn.entry
        return judging.ArmPictures(
            name=entry.name,
            pictures=_opened(drawn.pictures),
            texts=self.class_texts,
            steps=entry.num_steps,
            expected=[e for e in self.expected for _ in seeds] if self.expected else None,
            class_pictures=_opened(drawn.of_class) if drawn.of_class else (),
        )

    @cached_property
    def judge(self) -> Judge:
        """The judge, who has looked at the references and at `base`."""
        from onbrand import judging

        eyes = self.eyes or judging.open_eyes(self.pack)
        return judging.Judge(eyes, self.references, base=self.base, seed=self.seeds[0])

    @cached_property
    def diffusion(self) -> DiffusionModel:
        """The one model in memory, with whatever adapter it wore last."""
        from onbrand.models.diffusion import load_diffusion

        return load_diffusion(self.pack)

    def measure(self, drawn: Drawn) -> Measured:
        """All figures of an entry."""
        return self.judge.measure(self.shown(drawn))

    def _draw(
        self,
        entry: Entry,
        prompts: Sequence[str],
        seeds: Sequence[int],
        folder: Path,
        *,
        of_class: bool = False,
    ) -> Pictures:
        request = Request(
            prompts=tuple(prompt for prompt in prompts for _ in seeds),
            seeds=tuple(seed for _ in prompts for seed in seeds),
            num_steps=self.num_steps,
            guidance=self.guidance,
            parents=entry.parents,
            size_px=self.size_px,
        )
        artist: Callable[[], DiffusionModel] = partial(self._artist, entry.checkpoint, of_class)
        what = "the plain class, " if of_class else ""
        task = f"drawing {what}{entry.name}"
        return draw(artist, request, folder, task=task, emit=self.emit)

    def _artist(self, checkpoint: Path | None, of_class: bool) -> DiffusionModel:
        """The one model with the entry's adapter on it; the plain class is nobody's identity."""
        model = with_lora(self.diffusion, checkpoint)
        if of_class and model.way is not None:
            model.way.show(None)
        return model


def _opened(shots: Pictures) -> list[Image]:
    return [shots.open(index) for index in range(len(shots.items))]


def open_contest(
    brand: str | Path,
    *,
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
    objectives: Sequence[Objective] = (),
    emit: Listener = silent,
) -> Contest:
    """What all arms of a trained brand are drawn and measured with.

    `prompts` default to those that validation never used. `seed` must not be a validation seed.
    `expected[p]` are the attributes that prompt p names, where they are known. `gallery` is the
    line-up for retrieval (default: lookalikes/ beside reserved characters); `eyes` the evaluation
    encoders (default: the pack's twins); `held_out_for_memory` more never-trained pictures, for
    the memorisation threshold alone; `objectives` whose figures are measured, the brief's if none.
    Raises InputError for an untrained brand and for a number below 1, DatasetError for fewer than
    two held-out pictures or ones that have changed since training.
    """
    from onbrand import curation, judging
    from onbrand.models import open_pack

    places = open_brand(brand)
    refuse_below_one(num_prompts=num_prompts, num_per_prompt=num_per_prompt, num_steps=num_steps)
    model = places.trained()
    dataset, brief = places.trained_on(model), places.brief_of(model)
    if len(dataset.held_out) < 2:
        raise DatasetError(
            f"{counted(len(dataset.held_out), 'picture')} held out in {places.dataset}: two are "
            "the fewest to say how alike real ones are. Add pictures, or name some under held_out "
            "in brief.toml, and train again"
        )
    pack = open_pack(model.base)
    side_px = model.recipe.resolution_px or pack.num_px  # of what they are compared with
    if gallery is None:  # what fills a square up must not tell the brand's own from the others
        likes = curation.lookalike_pictures(places.lookalikes, square_px=side_px)
        gallery = judging.folder_gallery(likes)
    return Contest(
        brief=brief,
        pack=pack,
        texts=tuple(prompts) if prompts else _prompts(brief, model, dataset, num_prompts),
        seeds=tuple(range(seed, seed + num_per_prompt)),
        num_steps=num_steps,
        guidance=guidance,
        references=judging.References(
            train=[dataset.open_square(asset, side_px) for asset in dataset.train],
            held_out=[dataset.open_square(asset, side_px) for asset in dataset.held_out],
            gallery=gallery,
            palette=brief.palette,
            held_out_for_memory=held_out_for_memory,
            objectives=objectives or (brief.objective,),
            held_out_texts=[
                brief.class_prompt(asset.caption) if asset.caption else ""
                for asset in dataset.held_out
            ],
        ),
        expected=expected,
        eyes=eyes,
        emit=warning_once(emit),  # every arm draws the same texts
        size_px=model.recipe.resolution_px,
    )


def _prompts(brief: Brief, model: BrandModel, dataset: Dataset, num: int) -> tuple[str, ...]:
    """Today's prompts without those that chose the checkpoint, whatever brief.toml says now."""
    from onbrand import judging

    captions = [asset.caption for asset in dataset.held_out if asset.caption]
    used = model.brief.validation_prompts(model.recipe.validation.num_prompts, captions)
    return tuple(judging.evaluation_prompts(brief.prompts, validation=used, num=num))
