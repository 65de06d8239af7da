"""Indices at their edges: joints that just suffice, pictures of another size, nothing to see."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from onbrand.judging.indices import oil, pose_vectors


@pytest.mark.parametrize(("num_seen", "known"), [(3, False), (4, True)])
def test_four_joints_tell_a_pose_and_three_do_not(num_seen: int, known: bool) -> None:
    """Fewer than four joints' worth of certainty is none."""
    joints = np.random.default_rng(0).normal(size=(1, 17, 3))
    joints[..., 2] = np.arange(17) < num_seen
    assert bool(pose_vectors(joints)[..., 2].any()) is known


def test_a_picture_enlarged_is_as_oily_as_before() -> None:
    """The bands are shares of the side: only details that a larger picture adds make it finer."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8))
    large, larger = (small.resize((px, px), Image.Resampling.NEAREST) for px in (256, 512))
    assert oil(larger) == pytest.approx(oil(large), abs=0.05)


def test_a_flat_picture_is_as_oily_as_can_be() -> None:
    """Grey has no chroma, and what has no edges the fineness 0.01."""
    assert oil(Image.new("RGB", (64, 64), (120, 120, 120))) == pytest.approx(
        math.log(100), abs=0.01
    )
