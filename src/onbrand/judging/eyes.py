"""The encoders that look, behind plain callables: pictures in, numpy out.

Two sets that never mix: `open_eyes` gives the evaluation twins, which grade; `training_scorer`
gives the training-side encoders, which gates and the choice of a checkpoint may consult.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.judging.indices import drift
from onbrand.judging.metrics import (
    alignment,
    directional_alignment,
    diversity,
    group_means,
    identity_scores,
    layouts,
)

if TYPE_CHECKING:
    import torch

    from onbrand.judging.diagnosis import Diagnoser
    from onbrand.judging.objective import ReadParts
    from onbrand.judging.sight import See
    from onbrand.models.packs import Pack
    from onbrand.models.perception import Alignment, Parsing
    from onbrand.models.twins import AttributeReader, ExpressionTwin

__all__ = [
    "Align",
    "Embed",
    "Eyes",
    "ReadAttributes",
    "Score",
    "TrainingScorer",
    "borrowed_judges",
    "open_eyes",
    "open_features",
    "open_joints",
    "scorer",
    "to_pixels",
    "training_scorer",
]

Embed = Callable[[Sequence[Image.Image]], NDArray[np.float64]]
"""pictures → [n, d], each row of length 1"""

Align = Callable[
    [Sequence[Image.Image], Sequence[str]], tuple[NDArray[np.float64], NDArray[np.float64]]
]
"""pictures and a text for each → [n, d] and [n, d] of one space, each row of length 1"""

ReadAttributes = Callable[[Sequence[Image.Image]], list[dict[str, str]]]
"""pictures → what is seen on each: {"pose": "waving", …}"""

Score = Callable[[Sequence[Image.Image], Sequence[str]], dict[str, NDArray[np.float64]]]
"""pictures and their trigger-free texts → {"identity", "alignment", …}, a value for each text that
is another, in order (see `TrainingScorer`)"""


@dataclass(frozen=True)
class Eyes:
    """What `Judge` looks through. `read_attributes` is None when the pack has no such role, `see`,
    which diagnoses ask, and `read_parts`, which the brief's objective does, when nobody wants to
    know."""

    embed: Embed
    align: Align
    read_attributes: ReadAttributes | None = None
    see: See | None = None
    read_parts: ReadParts | None = None


def to_pixels(pictures: Sequence[Image.Image], size_px: int) -> torch.Tensor:
    """Flatten on white, letterbox to a square, scale to [-1, 1]: [n, 3, size_px, size_px]."""
    import torch

    from onbrand.pixels import fit, flatten

    arrays = [
        np.asarray(fit(flatten(picture), size_px).convert("RGB"), np.float32)
        for picture in pictures
    ]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 127.5 - 1.0


def _batched(
    look: Callable[[torch.Tensor], torch.Tensor], size_px: int, batch_size: int
) -> Callable[[Sequence[Image.Image]], NDArray[np.float64]]:
    """Wrap a torch function of pixels as a function of pictures, in bounded memory."""

    def run(pictures: Sequence[Image.Image]) -> NDArray[np.float64]:
        import torch

        rows = []
        with torch.inference_mode():
            for start in range(0, len(pictures), batch_size):
                pixels = to_pixels(pictures[start : start + batch_size], size_px)
                rows.append(look(pixels).float().cpu().numpy().astype(np.float64))
        return np.concatenate(rows) if rows else np.zeros((0, 1))

    return run


def _aligning(scorer: Alignment, size_px: int, batch_size: int) -> Align:
    look = _batched(scorer.embed_pixels, size_px, batch_size)

    def align(
        pictures: Sequence[Image.Image], texts: Sequence[str]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        import torch

        once = list(dict.fromkeys(texts))
        with torch.inference_mode():
            told = scorer.embed_texts(once).float().cpu().numpy().astype(np.float64)
        return look(pictures), told[[once.index(text) for text in texts]]

    return align


def borrowed_judges(pack: Pack) -> list[str]:
    """Roles of what `open_eyes` looks through that the pack's fallback fills, as ["identity", …].
    Faces tell expressions only where the pack has no reader of its own (`_face_reader`)."""
    roles = ["twin_identity", "twin_alignment", "twin_pose", "attributes", "parsing"]
    roles += [] if "attributes" in pack.roles else ["twin_expression"]
    return [role.removeprefix("twin_") for role in pack.borrowed(roles)]


def open_eyes(pack: Pack, *, batch_size: int = 16) -> Eyes:
    """The evaluation side: IdentityTwin, AlignmentTwin and, where there is one, AttributeReader.

    Raises PackError (from `onbrand.models`) when a needed role can be found nowhere.
    """
    from onbrand.judging.sight import sight_through
    from onbrand.models.perception import load_parsing
    from onbrand.models.twins import AlignmentTwin, IdentityTwin, PoseTwin

    identity, parser = IdentityTwin(pack), load_parsing(pack)
    reader, face_reader = _reader(pack), _face_reader(pack)

    def read(pictures: Sequence[Image.Image]) -> list[dict[str, str]]:
        import torch

        seen: list[dict[str, str]] = []
        with torch.inference_mode():
            for start in range(0, len(pictures), batch_size):
                pixels = to_pixels(pictures[start : start + batch_size], pack.num_px)
                columns = [reader.read(pixels)] if reader else []
                if face_reader:
                    columns.append([_told(shares) for shares in face_reader.read(pixels)])
                seen.extend(
                    {name: value for table in row for name, value in table.items()}
                    for row in zip(*columns, strict=True)
                )
        return seen

    own = reader if "attributes" in pack.roles else None  # faults are the pack's own to tell
    return Eyes(
        embed=_batched(identity.embed, pack.num_px, batch_size),
        align=_aligning(AlignmentTwin(pack), pack.num_px, batch_size),
        read_attributes=read if reader else None,
        see=sight_through(
            parser, PoseTwin(pack).joints, identity.embed, own, pack.num_px, batch_size
        ),
        read_parts=_read_parts(parser, pack.num_px, batch_size),
    )


def _read_parts(parser: Parsing, size_px: int, batch_size: int) -> ReadParts:
    """The most probable label of each pixel, by the parser."""
    from onbrand.judging.objective import PartMaps

    def read(pictures: Sequence[Image.Image]) -> PartMaps:
        import torch

        maps = []
        with torch.inference_mode():
            for start in range(0, len(pictures), batch_size):
                pixels = to_pixels(pictures[start : start + batch_size], size_px)
                maps.append(parser.shares(pixels).argmax(1).cpu().numpy())
        return PartMaps(parser.labels, np.concatenate(maps))

    return read


def _reader(pack: Pack) -> AttributeReader | None:
    """The pack's attribute reader, else its fallback's; None where neither has one."""
    from onbrand.errors import PackError
    from onbrand.models.twins import AttributeReader

    try:
        return AttributeReader(pack)
    except PackError:
        if "attributes" in pack.roles:  # it is there, and broken
            raise
        return None


def _face_reader(pack: Pack) -> ExpressionTwin | None:
    """Reads expressions from faces, which is surer than from whole pictures; None where a pack with
    readers of its own has none."""
    from onbrand.errors import PackError
    from onbrand.models.twins import ExpressionTwin

    if "attributes" in pack.roles and "twin_expression" not in pack.roles:
        return None
    try:
        return ExpressionTwin(pack)
    except PackError:
        return None


def _told(shares: Mapping[str, float]) -> dict[str, str]:
    return {"expression": max(shares, key=shares.__getitem__)} if shares else {}


def open_features(pack: Pack, *, batch_size: int = 16) -> Embed:
    """The logits [n, labels], not normalised, of the attribute reader: what a Fréchet distance
    compares. Raises PackError when the pack has none."""
    from onbrand.models.twins import AttributeReader

    return _batched(AttributeReader(pack).logits, pack.num_px, batch_size)


def open_joints(pack: Pack, *, batch_size: int = 16) -> Embed:
    """COCO-17's joints of pictures of the pack's size: [n, 17, 3], x_px, y_px and how sure.

    Raises PackError when the pack has no pose estimator.
    """
    from onbrand.models.twins import PoseTwin

    return _batched(PoseTwin(pack).joints, pack.num_px, batch_size)


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
        from onbrand.judging.diagnosis import findings

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
    from onbrand.judging.diagnosis import Diagnoser
    from onbrand.judging.sight import open_sight
    from onbrand.models.perception import load_alignment, load_identity

    embed = _batched(load_identity(pack).embed, pack.num_px, batch_size)
    align = _aligning(load_alignment(pack), pack.num_px, batch_size)
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
