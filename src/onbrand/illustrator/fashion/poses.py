"""Poses of people as joints in figure space: between the feet is the origin, y down, 1 high.

Joints carry COCO-17's names; `left` is the person's left, the viewer's right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["COCO_17", "FASHION_POSES", "Joints", "joints"]

XY = tuple[float, float]

COCO_17 = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
    "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
SHOULDER_Y, HIP_Y, UPPER_ARM, FOREARM, THIGH, SHIN = -0.79, -0.485, 0.155, 0.15, 0.225, 0.225


@dataclass(frozen=True, slots=True)
class FashionPose:
    """Directions of limbs in radians: 0 hangs down, positive turns outwards, away from the body.
    `lean` shifts the shoulders against the hips, `sway` the hips against the feet."""

    left_arm: tuple[float, float] = (0.14, 0.05)  # upper arm, forearm
    right_arm: tuple[float, float] = (0.14, 0.05)
    left_leg: tuple[float, float] = (0.05, 0.0)  # thigh, shin
    right_leg: tuple[float, float] = (0.05, 0.0)
    lean: float = 0.0
    sway: float = 0.0
    tilt: float = 0.0


FASHION_POSES: dict[str, FashionPose] = {
    "standing": FashionPose(),
    "walking": FashionPose((0.32, 0.55), (0.30, -0.10), (0.20, 0.10), (0.16, -0.30), 0.004, 0.008),
    "with a hand on the hip": FashionPose(
        (0.75, -0.95), (0.16, 0.06), (0.16, 0.02), (0.02, 0.0), -0.012, 0.02
    ),
    "with both hands on the hips": FashionPose(
        (0.72, -0.92), (0.72, -0.92), (0.13, 0.03), (0.13, 0.03)
    ),
    "waving": FashionPose((0.16, 0.05), (1.15, 2.75), (0.06, 0), (0.08, 0), 0.0, 0.0, 0.06),
    "with open arms": FashionPose((0.95, 1.30), (0.95, 1.30), (0.10, 0.02), (0.10, 0.02)),
    "turning": FashionPose(
        (0.40, -0.35), (0.45, 0.75), (0.02, 0.10), (0.22, -0.10), 0.018, -0.012, -0.07
    ),
    "with crossed legs": FashionPose(
        (0.20, -0.10), (0.18, 0.0), (-0.10, 0.06), (0.14, -0.10), 0.0, 0.008, 0.04
    ),
    "with an arm up": FashionPose(
        (2.75, 3.0), (0.22, 0.10), (0.10, 0.0), (0.06, 0.02), 0.008, 0.012, 0.05
    ),
}


@dataclass(frozen=True, slots=True)
class Joints:
    """Points by COCO-17's names (without the face's), and the head's centre and tilt."""

    at: dict[str, XY]
    head: XY
    tilt: float


def joints(pose: FashionPose, shoulder_half: float, hip_half: float, mirrored: bool) -> Joints:
    """Where everything is. `shoulder_half`, `hip_half`: half the widths between the joints."""
    at: dict[str, XY] = {}
    arms = {"left": pose.left_arm, "right": pose.right_arm}
    legs = {"left": pose.left_leg, "right": pose.right_leg}
    for side, s in (("left", 1.0), ("right", -1.0)):
        x, y = pose.sway + pose.lean + s * shoulder_half, SHOULDER_Y + s * pose.tilt * 0.12
        at[f"{side}_shoulder"] = (x, y)
        for joint, angle, length in zip(
            ("elbow", "wrist"), arms[side], (UPPER_ARM, FOREARM), strict=True
        ):
            x, y = x + s * length * np.sin(angle), y + length * np.cos(angle)
            at[f"{side}_{joint}"] = (float(x), float(y))
        x, y = pose.sway + s * hip_half, HIP_Y
        at[f"{side}_hip"] = (x, y)
        for joint, angle, length in zip(("knee", "ankle"), legs[side], (THIGH, SHIN), strict=True):
            x, y = x + s * length * np.sin(angle), y + length * np.cos(angle)
            at[f"{side}_{joint}"] = (float(x), float(y))
    head = (pose.sway + pose.lean + 0.06 * np.sin(pose.tilt), SHOULDER_Y - 0.125)
    if mirrored:
        swap = {"left": "right", "right": "left"}
        at = {
            f"{swap[name.split('_')[0]]}_{name.split('_')[1]}": (-x, y)
            for name, (x, y) in at.items()
        }
        return Joints(at, (-head[0], head[1]), -pose.tilt)
    return Joints(at, head, pose.tilt)
