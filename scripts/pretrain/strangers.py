"""Subjects from outside the drawn world: emoji, so that an identity encoder learns to compare
whatever it is shown, not only what its heads can name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pictures import Pixels
from torch import Generator, Tensor
from views import Pictures, between, laid, some, to_views, turned_hue

from onbrand.bench.emoji import HELD_OUT_EVERY

__all__ = ["Strangers"]

LEAST_CHROMA = 20  # mean of max - min over the channels: greyer things cannot change their hue
SCALE = (0.6, 1.1)


class Strangers:
    """Triples of emoji as the drawn set has them: two scenes of one thing, and a look-alike."""

    def __init__(self, emoji: Pixels, things: list[dict[str, Any]], device: str = "cpu") -> None:
        self.pictures = Pictures(emoji, device)
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

    def pick(self, rng: np.random.Generator, num: int, other_style: float = 0.3) -> Tensor:
        """[num, 2] rows of the emoji: of each anchor and of its positive, at times in another
        style."""
        pairs = []
        for row in rng.choice(self.rows, num, replace=False):
            kin = self.kin[int(row)]
            first = kin[int(rng.integers(len(kin)))] if rng.random() < other_style else int(row)
            pairs.append((first, int(row)))
        return torch.tensor(pairs, dtype=torch.int64).reshape(num, 2)

    def triples(self, pairs_n2: Tensor, g: Generator, warp: float) -> Tensor:
        """Views [3 n, 3, h, w]: anchors, their positives, and look-alikes of another hue in the
        positives' scenes."""
        num = len(pairs_n2)
        anchor, same = (self.pictures(rows).float() for rows in pairs_n2.T)
        # by 40 to 180 degrees either way
        turn = between(g, num, 1 / 9, 1 / 2) * torch.where(some(g, num, 0.5), 1.0, -1.0)
        double = torch.cat([turned_hue(same[:, :3], turn), same[:, 3:]], 1)
        others = torch.cat([same, double])
        scenes = [laid(anchor, SCALE, g)[0], laid(others, SCALE, g, share=2)[0]]
        return to_views(torch.cat(scenes), None, g, warp=warp)
