"""The drawn set (placeholder reader until the illustrator lands)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["Drawn"]


class Drawn:
    """A packed set of drawn pictures."""

    @staticmethod
    def open(root: Path) -> Drawn | None:
        """None while there is no drawn set."""
        return None

    def crops(self, rng: np.random.Generator, num: int, crop_px: int) -> np.ndarray:
        raise NotImplementedError

    def reserved_pixels(self, num: int) -> np.ndarray:
        raise NotImplementedError
