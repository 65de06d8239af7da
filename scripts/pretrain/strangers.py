"""Subjects from outside the drawn world: emoji, so that an identity encoder learns to compare
whatever it is shown, not only what its heads can name.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from eyes import augment
from numpy.typing import NDArray
from pictures import Pixels, composite

from onbrand.bench.emoji import HELD_OUT_EVERY

__all__ = ["Strangers", "recolour"]

LEAST_CHROMA = 20  # mean of max - min over the channels: greyer things cannot change their hue
SCALE = (0.6, 1.1)


class Strangers:
    """Triples of emoji as the drawn set has them: two scenes of one thing, and a look-alike."""

    def __init__(self, emoji: Pixels, things: list[dict[str, Any]]) -> None:
        self.emoji = emoji
        few = emoji[:, ::8, ::8]
        alpha = few[..., 3] > 127
        chroma = (np.ptp(few[..., :3], axis=-1) * alpha).sum((1, 2)) / alpha.sum((1, 2)).clip(1)
        coloured = chroma >= LEAST_CHROMA
        trained = np.arange(len(emoji)) % HELD_OUT_EVERY > 0
        self.rows = np.flatnonzero(coloured & trained)
        named: dict[str, list[int]] = {}
        for row in self.rows:
            named.setdefault(things[row]["text"], []).append(int(row))
        self.kin = {row: rows for rows in named.values() for row in rows}

    def triples(
        self, rng: np.random.Generator, num: int, warp: float, other_style: float = 0.3
    ) -> list[Pixels]:
        """`num` anchors, their positives, and look-alikes of another hue in the positives' scenes.

        At times the anchor is the same emoji in another style.
        """
        anchors: list[Pixels] = []
        positives: list[Pixels] = []
        doubles: list[Pixels] = []
        for row in rng.choice(self.rows, num, replace=False):
            kin = self.kin[int(row)]
            first = kin[int(rng.integers(len(kin)))] if rng.random() < other_style else row
            scene = int(rng.integers(2**31))
            rgba = self.emoji[row]
            for out, what, seed in (
                (anchors, self.emoji[first], scene + 1),
                (positives, rgba, scene),
                (doubles, recolour(rgba, rng), scene),
            ):
                laid = composite(what, np.random.default_rng(seed), rgba.shape[0], SCALE)
                out.append(augment(laid, None, rng, 0.0, warp))
        return [*anchors, *positives, *doubles]


def recolour(rgba: Pixels, rng: np.random.Generator) -> Pixels:
    """The picture [h, w, 4] with its hue turned by 40 to 180 degrees either way."""
    hsv = cv2.cvtColor(np.ascontiguousarray(rgba[..., :3]), cv2.COLOR_RGB2HSV)
    turn = int(rng.integers(20, 91)) * (1 if rng.random() < 0.5 else -1)  # OpenCV's unit is 2°
    hue: NDArray[np.int64] = (hsv[..., 0].astype(np.int64) + turn) % 180
    hsv[..., 0] = hue.astype(np.uint8)
    return np.dstack([cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), rgba[..., 3]]).astype(np.uint8)
