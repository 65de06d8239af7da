"""Where others plug in: what training is given by the road, so that it imports no other stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from PIL import Image

if TYPE_CHECKING:
    from onbrand.models.diffusion import DiffusionModel

__all__ = ["Every", "Reviewer", "Sampler", "Scorer"]

Every = Mapping[int, Callable[[int], Mapping[str, float] | None]]
"""The engine's table: a period in steps, and what is done then."""


class Sampler(Protocol):
    """Makes picture i, `size_px` square, from prompts[i] and seeds[i] (generation.sample fits)."""

    def __call__(
        self,
        model: DiffusionModel,
        prompts: Sequence[str],
        *,
        seeds: Sequence[int],
        num_steps: int,
        guidance: float,
        size_px: int,
    ) -> list[Image.Image]: ...


class Scorer(Protocol):
    """Figures of pictures by the training-side encoders; texts[i] is trigger-free.

    Returns identity, alignments and diversity (judging.training_scorer fits).
    """

    def __call__(
        self, pictures: Sequence[Image.Image], texts: Sequence[str], /
    ) -> Mapping[str, float]: ...


class Reviewer(Protocol):
    """What is wrong with a stage, by the training side's eyes (judging.TrainingScorer fits)."""

    def drift(self, own: Sequence[Image.Image], base: Sequence[Image.Image], /) -> float:
        """How far class pictures moved from the base's, in [0, 1]."""
        ...

    def explain(self, own: Mapping[str, float], base: Mapping[str, float], /) -> Sequence[str]:
        """What is wrong, a sentence each, with the figure and what to do."""
        ...
