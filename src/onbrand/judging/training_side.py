"""The training side's encoders, which gates and the choice of a checkpoint may consult.

What selects never grades: nothing here, nor what it imports, reaches an evaluation twin (an
import-linter contract in pyproject.toml).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.judging.diagnosis import Diagnoser, findings
from onbrand.judging.indices import drift
from onbrand.judging.looking import Align, Embed, aligning, batched
from onbrand.judging.metrics import (
    alignment,
    directional_alignment,
    diversity,
    group_means,
    identity_scores,
    layouts,
)
from onbrand.judging.sight import See, sight_through

if TYPE_CHECKING:
    from onbrand.models.packs import Pack

__all__ = ["Score", "TrainingScorer", "open_sight", "scorer", "training_scorer"]

Score = Callable[[Sequence[Image.Image], Sequence[str]], dict[str, NDArray[np.float64]]]
"""pictures and their trigger-free texts → {"identity", "alignment", …}, a value for each text that
is another, in order (see `TrainingScorer`)"""


def open_sight(pack: Pack, *, batch_size: int = 16) -> See:
    """Eyes for `Diagnoser`. Doubt is the parser's (`subject_doubt`).

    Raises PackError when the pack and its fallback lack a parser, a pose or an identity role.
    """
    from onbrand.models.perception import load_identity, load_parsing, load_pose

    parser, joints, embed = load_parsing(pack), load_pose(pack).joints, load_identity(pack).embed
    return sight_through(parser, joints, embed, None, pack.num_px, batch_size)


class TrainingScorer:
    """The training side's figures for previews, gates and the choice of a stage; never a twin's.

    Called with pictures and their trigger-free texts it returns "identity" (mean cosine to the
    held-out real pictures), "alignment" (mean cosine to the texts), where there are two texts or
    more "directional_alignment", where some text comes twice "diversity" (see metrics), and, where
    there are training pictures to compare with and the pack has a parser and a pose estimator, the
    figures of `onbrand.judging.diagnosis`.
    """

    def __init__(self, score: Score, embed: Embed, diagnoser: Diagnoser | None = None) -> None:
        self._score, self._embed, self._diagnoser = score, embed, diagnoser

    def __call__(
        self, pictures: Sequence[Image.Image], texts: Sequence[str], /
    ) -> dict[str, float]:
        """The figures, each the mean over the texts."""
        found = {name: float(row.mean()) for name, row in self._score(pictures, texts).items()}
        if self._diagnoser is not None:
            found |= self._diagnoser.figures(self._diagnoser.see(pictures))
        return found

    def per_prompt(
        self, pictures: Sequence[Image.Image], texts: Sequence[str], /
    ) -> dict[str, NDArray[np.float64]]:
        """The same without the diagnoser's, a value for each text."""
        return self._score(pictures, texts)

    def drift(self, own: Sequence[Image.Image], base: Sequence[Image.Image], /) -> float:
        """prior_drift: how far pictures for the plain class's prompts moved from the base's."""
        return drift(self._embed(own), self._embed(base))

    def explain(self, own: Mapping[str, float], base: Mapping[str, float], /) -> list[str]:
        """What is wrong with a stage of these figures, against the base's, a sentence each."""
        return [found.sentence for found in findings(own, base, eyes="training")]


def training_scorer(
    pack: Pack,
    held_out: Sequence[Image.Image],
    *,
    train: Sequence[Image.Image] = (),
    batch_size: int = 16,
) -> TrainingScorer:
    """The pack's `TrainingScorer`; diagnoses compare with the training pictures, too."""
    from onbrand.errors import PackError
    from onbrand.models.perception import load_alignment, load_identity

    embed = batched(load_identity(pack).embed, pack.num_px, batch_size)
    align = aligning(load_alignment(pack), pack.num_px, batch_size)
    diagnoser = None
    if train and held_out:
        with contextlib.suppress(PackError):  # no parser, no pose: fewer figures
            diagnoser = Diagnoser(open_sight(pack), train=train, held_out=held_out)
    return TrainingScorer(scorer(embed, align, held_out), embed, diagnoser)


def scorer(embed: Embed, align: Align, held_out: Sequence[Image.Image]) -> Score:
    """Identity, both alignments and diversity by any encoders: the seam that tests use."""
    real = embed(held_out)

    def score(
        pictures: Sequence[Image.Image], texts: Sequence[str]
    ) -> dict[str, NDArray[np.float64]]:
        spread, _ = diversity(layouts(pictures), list(texts))
        seen, told = align(pictures, texts)
        rows = {
            "identity": identity_scores(embed(pictures), real),
            "alignment": alignment(seen, told),
            "directional_alignment": directional_alignment(seen, told),
        }
        found = {
            name: group_means(row, texts)[0] for name, row in rows.items() if np.isfinite(row).all()
        }
        return found | ({"diversity": spread} if len(spread) else {})

    return score
