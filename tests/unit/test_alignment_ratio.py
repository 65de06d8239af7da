"""How prompts are followed over the base's own: left out where that may be none at all."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from onbrand.judging import ArmPictures, Eyes, Gallery, Judge, References

TEXTS = ["waving", "sitting", "sleeping"]
COLOURS = [Image.new("RGB", (32, 32), colour) for colour in ("#e03020", "#d03028", "#e83818")]


def eyes(follows: list[float]) -> Eyes:
    """Eyes by which the directions of picture i and text i have this cosine."""

    def embed(pictures: list[Image.Image]) -> np.ndarray:
        return np.tile([1.0, 0.0], (len(pictures), 1))

    def align(pictures: list[Image.Image], texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        around = np.array([0, 2, 4]) * np.pi / 3  # their mean is the origin: directions as they are
        turned = around + np.arccos(follows)
        return (
            np.stack([np.cos(turned), np.sin(turned)], axis=1)[: len(pictures)],
            np.stack([np.cos(around), np.sin(around)], axis=1)[: len(texts)],
        )

    return Eyes(embed, align)


@pytest.mark.parametrize(
    ("base", "told"), [([0.6, 0.6, 0.6], True), ([0.9, 0.1, -0.4], False), ([-0.5] * 3, False)]
)
def test_a_base_that_may_follow_nothing_is_no_measure(base: list[float], told: bool) -> None:
    """One whose interval holds 0 would give any percentage; a sound one gives a ratio."""
    refs = References(COLOURS[:1], COLOURS[1:], Gallery(("blue",), ((COLOURS[0],),)))
    arm = ArmPictures("base", COLOURS, TEXTS)
    found = Judge(eyes(base), refs, base=arm).measure(arm).arm.metrics
    assert ("alignment_ratio" in found) is told
