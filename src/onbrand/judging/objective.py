"""What the brief's objective asks of pictures beyond the figures that all brands have.

avatar   the head is fixed: identity on head crops, and of ears, eyes, marks and outfit each
scene    expression and scenery count: how backgrounds vary, and how many compositions there are

Parts come from a parser; a part is embedded as the square around it, by whichever encoder measures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.judging.looking import Embed, as_seen
from onbrand.judging.metrics import layout_variety, layouts
from onbrand.models.parts import BEHIND, PARTS

__all__ = [
    "AVATAR_PARTS",
    "PartMaps",
    "ReadParts",
    "avatar_scores",
    "background_variety",
    "composition_count",
    "real_avatar_scores",
]

Floats = NDArray[np.float64]

AVATAR_PARTS: Mapping[str, tuple[str, ...]] = {f"{p}_identity": PARTS[p] for p in PARTS}
"""Figure → the parser's labels whose box is looked at."""

SMALLEST = 0.001  # share of the picture's pixels: 4 x 4 of 128 x 128
MARGIN = 0.25  # of a box's longer side, around it
SIZES = (0.15, 0.40)  # shares of the picture that part small, middling and large subjects


@dataclass(frozen=True)
class PartMaps:
    """`maps` [n, h, w]: each pixel's most probable label, an index into `labels`."""

    labels: tuple[str, ...]
    maps: NDArray[np.int64]

    def mask(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Where any of the named parts is, [n, h, w]."""
        return np.isin(self.maps, [i for i, name in enumerate(self.labels) if name in names])


ReadParts = Callable[[Sequence[Image.Image]], PartMaps]
"""pictures → the parts in them, at the eyes' size"""


def avatar_scores(
    embed: Embed,
    parts: ReadParts,
    pictures: Sequence[Image.Image],
    real: Sequence[Image.Image],
) -> dict[str, Floats]:
    """Per part, each picture's mean cosine [n] to the parts of the real pictures that show it.

    A picture without the part has 0: it is missing. A part that fewer than half of the real
    pictures show (or fewer than two) is not the brand's, and left out.
    """
    found: dict[str, Floats] = {}
    ours, theirs = parts(pictures), parts(real)
    for figure, names in AVATAR_PARTS.items():
        _, shown = _crops(real, theirs.mask(names))
        if not _is_the_brands(len(shown), len(real)):
            continue
        there, crops = _crops(pictures, ours.mask(names))
        scores = np.zeros(len(pictures))
        if there:
            scores[there] = (embed(crops) @ embed(shown).T).mean(axis=1)
        found[figure] = scores
    return found


def real_avatar_scores(
    embed: Embed, parts: ReadParts, real: Sequence[Image.Image]
) -> dict[str, Floats]:
    """The same of each real picture against the *other* ones: the ceiling that scores are read
    against."""
    found: dict[str, Floats] = {}
    seen = parts(real)
    for figure, names in AVATAR_PARTS.items():
        there, shown = _crops(real, seen.mask(names))
        if not _is_the_brands(len(shown), len(real)):
            continue
        rows = embed(shown)
        scores = np.zeros(len(real))
        scores[there] = ((rows @ rows.T).sum(axis=1) - (rows**2).sum(axis=1)) / (len(rows) - 1)
        found[figure] = scores
    return found


def _is_the_brands(num_shown: int, num: int) -> bool:
    return num_shown >= max(2, num / 2)


def _crops(
    pictures: Sequence[Image.Image], masks_nhw: NDArray[np.bool_]
) -> tuple[list[int], list[Image.Image]]:
    """Which pictures have a mask, and the square around each, with a margin, the picture's edge
    repeated."""
    crops = [_crop(picture, mask) for picture, mask in zip(pictures, masks_nhw, strict=True)]
    there = [k for k, crop in enumerate(crops) if crop is not None]
    return there, [crop for crop in crops if crop is not None]


def _crop(picture: Image.Image, mask_hw: NDArray[np.bool_]) -> Image.Image | None:
    if mask_hw.mean() < SMALLEST:
        return None
    rgb = np.asarray(as_seen(picture, mask_hw.shape[0]))
    rows, columns = np.nonzero(mask_hw)
    centre = ((columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2)
    side = max(np.ptp(columns), np.ptp(rows)) * (1 + 2 * MARGIN) + 1
    scale = max(mask_hw.shape) / side
    move = np.array(
        [
            [scale, 0, max(mask_hw.shape) / 2 - scale * centre[0]],
            [0, scale, max(mask_hw.shape) / 2 - scale * centre[1]],
        ]
    )
    size = (max(mask_hw.shape),) * 2
    return Image.fromarray(cv2.warpAffine(rgb, move, size, borderMode=cv2.BORDER_REPLICATE))


def background_variety(
    pictures: Sequence[Image.Image], parts: PartMaps, texts: Sequence[str]
) -> float:
    """Mean layout variety (see metrics.layouts) between backgrounds of different prompts, the
    subject painted over with its background's mean colour; 0 = all the same or nothing to be seen,
    NaN with one prompt, and where the parser knows no background.
    """
    if BEHIND not in parts.labels:
        return float("nan")
    behind = parts.mask((BEHIND,))
    bare = []
    for picture, mask in zip(pictures, behind, strict=True):
        rgb = np.asarray(as_seen(picture, mask.shape[0]))
        mean = rgb[mask].mean(0) if mask.any() else rgb.mean((0, 1))
        bare.append(Image.fromarray(np.where(mask[..., None], rgb, mean).round().astype(np.uint8)))
    rows = layouts(bare)
    other = np.array([[a != b for b in texts] for a in texts])
    return float(layout_variety(rows)[other].mean()) if other.any() else float("nan")


def composition_count(parts: PartMaps) -> float:
    """How many compositions there are: different combinations of the third, across and down, in
    which the subject's centre lies, and of its size (under 15 %, under 40 %, more of the picture).
    Pictures without a subject count as one more. NaN where the parser knows no background.
    """
    if BEHIND not in parts.labels:
        return float("nan")
    found: set[tuple[int, ...]] = set()
    for subject in ~parts.mask((BEHIND,)):
        if not subject.any():
            found.add(())
            continue
        rows, columns = np.nonzero(subject)
        height, width = subject.shape
        size = int(np.searchsorted(SIZES, subject.mean(), side="right"))
        found.add((int(3 * columns.mean() / width), int(3 * rows.mean() / height), size))
    return float(len(found))
