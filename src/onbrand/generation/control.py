"""Drawings that a ControlNet follows: Canny edges and OpenPose figures, drawn the usual way."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["edge_drawing", "pose_drawing"]

# OpenPose-18: nose, neck, right arm, left arm, right leg, left leg, eyes, ears. COCO-17's rows:
_FROM_COCO = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_LIMBS = (
    (2, 3), (2, 6), (3, 4), (4, 5), (6, 7), (7, 8), (2, 9), (9, 10), (10, 11), (2, 12), (12, 13),
    (13, 14), (2, 1), (1, 15), (15, 17), (1, 16), (16, 18),
)  # fmt: skip
_HUES = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
_DRAWN_PX = 512  # the size that its widths are meant for


def edge_drawing(picture: Image.Image, low: int = 100, high: int = 200) -> Image.Image:
    """White Canny edges on black, RGB, as large as the picture.

    `low` and `high` are the hysteresis thresholds on the 8-bit gradient (Canny 1986).
    """
    grey = np.asarray(picture.convert("L"))
    return Image.fromarray(cv2.Canny(grey, low, high)).convert("RGB")


def pose_drawing(joints_n3: NDArray[np.floating], size_px: int) -> Image.Image:
    """An OpenPose drawing, RGB, `size_px` square, of one figure's COCO-17 joints.

    `joints_n3` (17, 3): x_px, y_px, and whether the joint is seen (above 0). Limbs are ellipses of
    half-width 4 at 0.6 of their hue, joints dots of radius 4, at 512 px; then scaled. The neck
    is half way between the shoulders.

    Raises:
        ValueError: for another shape.
    """
    if joints_n3.shape != (17, 3):
        raise ValueError(f"COCO-17 joints are (17, 3), got {joints_n3.shape}")
    neck = joints_n3[[5, 6]].mean(axis=0)
    neck[2] = joints_n3[[5, 6], 2].min()
    points = np.stack([neck if k < 0 else joints_n3[k] for k in _FROM_COCO])
    points[:, :2] *= _DRAWN_PX / size_px
    canvas = np.zeros((_DRAWN_PX, _DRAWN_PX, 3), np.uint8)
    for (a, b), hue in zip(_LIMBS, _HUES, strict=False):
        one, two = points[a - 1], points[b - 1]
        if min(one[2], two[2]) <= 0:
            continue
        middle, reach = (one + two)[:2] / 2, (two - one)[:2]
        axes = (max(1, round(float(np.hypot(*reach)) / 2)), 4)
        angle = round(float(np.degrees(np.arctan2(reach[1], reach[0]))))
        centre = (round(float(middle[0])), round(float(middle[1])))
        outline = np.array(cv2.ellipse2Poly(centre, axes, angle, 0, 360, 1))
        cv2.fillConvexPoly(canvas, outline, hue)
    canvas = (canvas * 0.6).astype(np.uint8)
    for (x, y, seen), hue in zip(points, _HUES, strict=True):
        if seen > 0:
            cv2.circle(canvas, (round(float(x)), round(float(y))), 4, hue, -1)
    small = cv2.resize(canvas, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return Image.fromarray(np.asarray(small, np.uint8))
