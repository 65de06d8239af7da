"""What the eyes tell of a set of pictures, as far as diagnoses ask: one pass over each picture.

The training side (`training_side.open_sight`) and the evaluation side (`eyes.open_twin_sight`) look
through models of their own. Parts are parsed by the one parser there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.errors import PackError
from onbrand.judging.indices import background_detail, oil, pose_vectors, subject_doubt
from onbrand.judging.looking import as_seen, to_pixels
from onbrand.judging.metrics import layouts
from onbrand.models.parts import BEHIND

if TYPE_CHECKING:
    from torch import Tensor

    from onbrand.models.perception import Parsing

__all__ = ["SHAPE_FAULTS", "See", "Sight", "sight_through"]

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


def sight_through(
    parser: Parsing,
    joints: Callable[[Tensor], Tensor],
    embed: Callable[[Tensor], Tensor],
    shape_faults: Callable[[Tensor], Floats] | None,
    size_px: int,
    batch_size: int,
) -> See:
    """What models that are loaded see. Doubt of shapes is what `shape_faults` gives for pixels, the
    probability [n] of one, else the parser's (`subject_doubt`). Raises PackError for a parser that
    knows no background."""
    if BEHIND not in parser.labels:
        raise PackError(
            f"the parser knows no '{BEHIND}', so that nothing tells a subject from what is behind "
            f"it: it knows {', '.join(parser.labels)}. Name that label so in id2label of its "
            "config.json."
        )
    behind = parser.labels.index(BEHIND)

    def see(pictures: Sequence[Image.Image]) -> Sight:
        import torch

        rows: list[tuple[Floats, ...]] = []
        with torch.inference_mode():
            for start in range(0, len(pictures), batch_size):
                part = pictures[start : start + batch_size]
                pixels = to_pixels(part, size_px)
                shares = parser.shares(pixels).float().cpu().numpy()
                known = shape_faults(pixels) if shape_faults else subject_doubt(shares, behind)
                detail = [
                    background_detail(as_seen(picture, size_px), share[behind])
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
