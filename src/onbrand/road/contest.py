"""What all arms of a comparison share: prompts, seeds, one model in memory, the judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from onbrand.artifacts import BrandModel, Dataset, Pictures
from onbrand.brief import Brief, Objective
from onbrand.events import Listener
from onbrand.road.picture import Request, draw, parents_of, with_lora

if TYPE_CHECKING:
    from PIL.Image import Image

    from onbrand.judging import ArmPictures, Eyes, Gallery, Judge, Measured, References
    from onbrand.models.diffusion import DiffusionModel
    from onbrand.models.packs import Pack

__all__ = ["Contest", "Drawn", "Entry", "references_of"]


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
    base: ArmPictures | None = None
    opened: list[DiffusionModel] = field(default_factory=list)

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
        )
        artist: Callable[[], DiffusionModel] = partial(self._artist, entry.checkpoint, of_class)
        what = "the plain class, " if of_class else ""
        task = f"drawing {what}{entry.name}"
        return draw(artist, request, folder, task=task, emit=self.emit)

    def _artist(self, checkpoint: Path | None, of_class: bool) -> DiffusionModel:
        """The one model, loaded when first asked for, with the entry's adapter on it; the plain
        class is nobody's identity."""
        from onbrand.models.diffusion import load_diffusion

        if not self.opened:
            self.opened.append(load_diffusion(self.pack))
        model = with_lora(self.opened[0], checkpoint)
        if of_class and model.way is not None:
            model.way.show(None)
        return model


def _opened(shots: Pictures) -> list[Image]:
    return [shots.open(index) for index in range(len(shots.items))]


def references_of(
    dataset: Dataset,
    brief: Brief,
    *,
    gallery: Gallery,
    held_out_for_memory: Sequence[Image] = (),
    objectives: Sequence[Objective] = (),
) -> References:
    """The brand's real pictures as the judge wants them; the brief's objective if none is named."""
    from onbrand import judging

    return judging.References(
        train=[dataset.open(asset) for asset in dataset.train],
        held_out=[dataset.open(asset) for asset in dataset.held_out],
        gallery=gallery,
        palette=brief.palette,
        held_out_for_memory=held_out_for_memory,
        objectives=objectives or (brief.objective,),
    )
