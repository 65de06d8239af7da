"""Any figure's joints as COCO-17's: what pose drawings and pose estimators speak."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from onbrand.illustrator.fashion.poses import COCO_17

__all__ = ["COCO_17", "coco_17"]

# a mascot's left is the viewer's, COCO's the figure's own; both its hips are the one point between
# them, and its knees bend half way from there
_OF_MASCOT = {
    "nose": ("nose",),
    **{
        f"{coco}_{joint}": tuple(name.format(mascot) for name in names)
        for coco, mascot in (("left", "right"), ("right", "left"))
        for joint, names in {
            "eye": ("{}_eye",), "ear": ("{}_ear",), "shoulder": ("{}_shoulder",),
            "elbow": ("{}_elbow",), "wrist": ("{}_hand",), "hip": ("hips",),
            "knee": ("hips", "{}_foot"), "ankle": ("{}_foot",),
        }.items()
    },
}  # fmt: skip


def coco_17(keypoints: Mapping[str, tuple[float, float, bool]]) -> NDArray[np.float32]:
    """(17, 3): x_px, y_px and 1 where the joint is known and inside the picture, else zeros."""
    mascot = "left_hand" in keypoints
    joints = np.zeros((len(COCO_17), 3), np.float32)
    for row, name in enumerate(COCO_17):
        sources = _OF_MASCOT[name] if mascot else (name,)
        if all(source in keypoints and keypoints[source][2] for source in sources):
            places = np.array([keypoints[source][:2] for source in sources])
            joints[row] = (*places.mean(axis=0), 1.0)
    return joints
