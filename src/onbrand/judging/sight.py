"""What the eyes tell of a set of pictures, as far as diagnoses ask: one pass over each picture.

`open_sight` looks through the training side's roles, which gates may; `twins=True` through the
evaluation twins, which a report must. Parts are parsed by the one parser there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.judging.eyes import to_pixels
from onbrand.judging.indices import background_detail, oil, pose_vectors, subject_doubt
from onbrand.judging.metrics import layouts

if TYPE_CHECKING:
    from torch import Tensor

    from onbrand.models.packs import Pack
    from onbrand.models.perception import Parsing
    from onbrand.models.twins import AttributeReader

__all__ = ["SHAPE_FAULTS", "See", "Sight", "open_sight", "sight_through"]

Floats = NDArray[np.float64]

SHAPE_FAULTS = ("body", "face", "hand", "product")
"""The faults that a reader of faults may name and that are errors of shape."""


@dataclass(frozen=True)
class Sight:
    """Of n pictures: `doubt` [n] of their shapes, `poses` [n, 17, 3] in figures' own frames, `oil`
    [n], `detail` [n] of their backgrounds (NaN where there is none), `identity` [n, d] unit
    vectors, `layouts` [n, k]. See `onbrand.judging.indices` for units."""

    doubt: Floats
    poses: Floats
    oil: Floats
    detail: Floats
    identity: Floats
    layouts: Floats


See = Callable[[Sequence[Image.Image]], Sight]
"""pictures → what is seen on them"""


def open_sight(pack: Pack, *, twins: bool = False, batch_size: int = 16) -> See:
    """Eyes for `Diagnoser`. Doubt is the parser's (`subject_doubt`); a twin that reads faults,
    where the pack has one, tells the probability of a fault of shape instead.

    Raises PackError when the pack and its fallback lack a parser, a pose or an identity role.
    """
    from onbrand.models.perception import load_identity, load_parsing, load_pose

    parser = load_parsing(pack)
    if not twins:
        joints, embed = load_pose(pack).joints, load_identity(pack).embed
        return sight_through(parser, joints, embed, None, pack.num_px, batch_size)
    from onbrand.models.twins import AttributeReader, IdentityTwin, PoseTwin

    joints, embed = PoseTwin(pack).joints, IdentityTwin(pack).embed
    reader = AttributeReader(pack) if "attributes" in pack.roles else None
    return sight_through(parser, joints, embed, reader, pack.num_px, batch_size)


def sight_through(
    parser: Parsing,
    joints: Callable[[Tensor], Tensor],
    embed: Callable[[Tensor], Tensor],
    reader: AttributeReader | None,
    size_px: int,
    batch_size: int,
) -> See:
    """`open_sight` of models that are loaded; a `reader` that knows no faults is not asked."""
    behind = parser.labels.index("background")
    if reader is not None and "fault" not in reader.attributes:
        reader = None

    def see(pictures: Sequence[Image.Image]) -> Sight:
        import torch

        rows: list[tuple[Floats, ...]] = []
        with torch.inference_mode():
            for start in range(0, len(pictures), batch_size):
                part = pictures[start : start + batch_size]
                pixels = to_pixels(part, size_px)
                shares = parser.shares(pixels).float().cpu().numpy()
                known = subject_doubt(shares, behind) if reader is None else _faults(reader, pixels)
                detail = [
                    background_detail(_fitted(picture, size_px), share[behind])
                    for picture, share in zip(part, shares, strict=True)
                ]
                poses = pose_vectors(joints(pixels).float().cpu().numpy())
                vectors = embed(pixels).double().cpu().numpy()
                rows.append((known, poses, np.array(detail), vectors))
        columns = [np.concatenate(column) for column in zip(*rows, strict=True)]
        return Sight(
            doubt=columns[0],
            poses=columns[1],
            oil=np.array([oil(picture) for picture in pictures]),
            detail=columns[2],
            identity=columns[3],
            layouts=layouts(pictures),
        )

    return see


def _fitted(picture: Image.Image, size_px: int) -> Image.Image:
    """The picture as the eyes saw it: flat, square, of their size."""
    from onbrand.pixels import fit, flatten

    return fit(flatten(picture), size_px)


def _faults(reader: AttributeReader, pixels_bchw: Tensor) -> Floats:
    """The probability of any fault of shape, [n]."""
    tables = reader.probabilities(pixels_bchw)
    return np.array([sum(t["fault"].get(tag, 0.0) for tag in SHAPE_FAULTS) for t in tables])
