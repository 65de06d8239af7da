"""Colour as people see it: CIEDE2000, the subject's mask, its main colours, the palette distance.

Everything is numpy and OpenCV; colours are sRGB in [0, 1] or CIE L*a*b* (D65, 2° observer).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = [
    "ciede2000",
    "dominant_colours",
    "hex_to_lab",
    "on_white",
    "palette_distance",
    "srgb_to_lab",
    "subject_mask",
]

Floats = NDArray[np.float64]

# IEC 61966-2-1 primaries to CIE XYZ, divided by the D65 white point.
_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])


def srgb_to_lab(rgb: NDArray[np.floating] | NDArray[np.integer]) -> Floats:
    """Turn sRGB in [0, 1], shape [..., 3], into CIE L*a*b* (D65), same shape."""
    values = np.asarray(rgb, dtype=np.float64)
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1
    )


def on_white(picture: Image.Image) -> Floats:
    """sRGB in [0, 1], [h, w, 3], not rounded; transparent pixels count as white."""
    rgba = np.asarray(picture.convert("RGBA"), np.float64) / 255.0
    return np.asarray(rgba[..., :3] * rgba[..., 3:] + 1.0 - rgba[..., 3:])


def hex_to_lab(colours: Sequence[str]) -> Floats:
    """Turn ["#rrggbb", …] into L*a*b*, shape [n, 3]."""
    rgb = [[int(c.lstrip("#")[i : i + 2], 16) / 255 for i in (0, 2, 4)] for c in colours]
    return srgb_to_lab(np.array(rgb, dtype=np.float64).reshape(-1, 3))


def ciede2000(lab1: NDArray[np.floating], lab2: NDArray[np.floating]) -> Floats:
    """CIEDE2000 colour difference of L*a*b* colours that broadcast, [..., 3] → [...].

    Sharma, Wu, Dalal, "The CIEDE2000 Color-Difference Formula: Implementation Notes,
    Supplementary Test Data, and Mathematical Observations", 2005; kL = kC = kH = 1.
    """
    l1, a1, b1 = np.moveaxis(np.asarray(lab1, np.float64), -1, 0)
    l2, a2, b2 = np.moveaxis(np.asarray(lab2, np.float64), -1, 0)
    c_mean7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    g = 0.5 * (1 - np.sqrt(c_mean7 / (c_mean7 + 25.0**7)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1 = np.degrees(np.arctan2(b1, a1)) % 360
    h2 = np.degrees(np.arctan2(b2, a2)) % 360
    coloured = c1 * c2 > 0

    dh = h2 - h1
    dh = np.where(dh > 180, dh - 360, np.where(dh < -180, dh + 360, dh))
    delta_l, delta_c = l2 - l1, c2 - c1
    delta_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(np.where(coloured, dh, 0.0)) / 2)

    total = h1 + h2
    turned = np.where(total < 360, total + 360, total - 360)
    h_mean = np.where(np.abs(h1 - h2) > 180, turned, total) / 2
    h_mean = np.where(coloured, h_mean, total)
    l_mean, c_mean = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * np.cos(np.radians(h_mean - 30))
        + 0.24 * np.cos(np.radians(2 * h_mean))
        + 0.32 * np.cos(np.radians(3 * h_mean + 6))
        - 0.20 * np.cos(np.radians(4 * h_mean - 63))
    )
    s_l = 1 + 0.015 * (l_mean - 50) ** 2 / np.sqrt(20 + (l_mean - 50) ** 2)
    s_c = 1 + 0.045 * c_mean
    s_h = 1 + 0.015 * c_mean * t
    rotation = -np.sin(np.radians(60 * np.exp(-(((h_mean - 275) / 25) ** 2)))) * (
        2 * np.sqrt(c_mean**7 / (c_mean**7 + 25.0**7))
    )
    dl, dc, dhh = delta_l / s_l, delta_c / s_c, delta_h / s_h
    return np.asarray(np.sqrt(dl**2 + dc**2 + dhh**2 + rotation * dc * dhh))


def subject_mask(picture: Image.Image) -> NDArray[np.bool_]:
    """Estimate where the subject is, shape [h, w]: the picture's alpha when it has one, else
    what differs from the background that touches the border.

    The background starts as every region of similar colour that reaches the border; GrabCut
    (Rother et al. 2004) then sharpens the boundary. When that leaves almost nothing or almost
    everything, the central ellipse (80 % of each side) stands in. The mask is an estimate: read
    palette distances as differences between arms, not as absolute truth.
    """
    if "A" in picture.getbands():
        alpha = np.asarray(picture.getchannel("A"))
        if (alpha < 128).any():
            return np.asarray(alpha >= 128)
    rgb = np.ascontiguousarray(np.asarray(picture.convert("RGB")))
    height, width = rgb.shape[:2]
    ellipse = np.zeros((height, width), np.uint8)
    centre, axes = (width // 2, height // 2), (int(width * 0.4), int(height * 0.4))
    cv2.ellipse(ellipse, centre, axes, 0, 0, 360, 1, -1)
    background = _border_connected(rgb)
    subject = _largest(~background)
    if not 0.03 < subject.mean() < 0.85:
        return ellipse.astype(bool)
    refined = _grab_cut(rgb, subject)
    return refined if 0.03 < refined.mean() < 0.85 else subject


def _border_connected(rgb: NDArray[np.uint8], tolerance: int = 7) -> NDArray[np.bool_]:
    """Flood from every border pixel, itself included, over small colour steps (at most `tolerance`
    of 255)."""
    smooth = cv2.bilateralFilter(rgb, 5, 20, 3)
    height, width = smooth.shape[:2]
    flooded = np.zeros((height + 2, width + 2), np.uint8)
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | (255 << 8)
    border = [(x, y) for x in range(width) for y in (0, height - 1)]
    border += [(x, y) for y in range(height) for x in (0, width - 1)]
    for x, y in border:
        if not flooded[y + 1, x + 1]:
            step = (tolerance,) * 3
            cv2.floodFill(smooth, flooded, (x, y), 0, step, step, flags)
    return np.asarray(flooded[1:-1, 1:-1] > 0)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected piece, its holes filled."""
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    if count < 2:
        return np.zeros_like(mask)
    piece = (labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    outlines, _ = cv2.findContours(piece, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(piece, outlines, -1, 1, -1) > 0)


def _grab_cut(rgb: NDArray[np.uint8], subject: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Sharpen `subject` with two rounds of GrabCut; deterministic (OpenCV's seed is set)."""
    core = cv2.erode(subject.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    near = cv2.dilate(subject.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    labels = np.full(subject.shape, cv2.GC_BGD, np.uint8)
    labels[near] = cv2.GC_PR_BGD
    labels[subject] = cv2.GC_PR_FGD
    if not core.any() or near.all():
        return subject
    labels[core] = cv2.GC_FGD if core.mean() < 0.5 else cv2.GC_PR_FGD
    cv2.setRNGSeed(0)
    back, front = np.zeros((1, 65)), np.zeros((1, 65))
    whole = (0, 0, rgb.shape[1], rgb.shape[0])
    cv2.grabCut(rgb, labels, whole, back, front, 2, cv2.GC_INIT_WITH_MASK)
    return _largest((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))


def dominant_colours(
    picture: Image.Image, mask: NDArray[np.bool_], *, num_colours: int = 5, seed: int = 0
) -> tuple[Floats, Floats]:
    """The subject's main colours: (L*a*b* [k, 3], share of the subject [k]), largest first.

    k-means in L*a*b*; clusters under 5 % of the subject (outlines, eye highlights) are dropped.
    """
    lab = srgb_to_lab(np.asarray(picture.convert("RGB")) / 255.0)[mask]
    if len(lab) == 0:
        return np.zeros((0, 3)), np.zeros(0)
    count = min(num_colours, len(np.unique(lab.round(3), axis=0)))
    cv2.setRNGSeed(seed)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 20, 0.1)
    points = lab.astype(np.float32)
    _, assigned, centres = cv2.kmeans(
        points, count, np.zeros((len(points), 1), np.int32), criteria, 3, cv2.KMEANS_PP_CENTERS
    )
    share = np.bincount(assigned.ravel(), minlength=count) / len(points)
    kept = np.argsort(-share)[: max(1, int((share >= 0.05).sum()))]
    return centres[kept].astype(np.float64), share[kept] / share[kept].sum()


def palette_distance(picture: Image.Image, palette: Sequence[str]) -> float:
    """Mean CIEDE2000 from the subject's dominant colours to the nearest colour of the palette.

    Weighted by each colour's share of the subject; 0 = every main colour is a brand colour,
    about 2 = just noticeable, 10 = plainly another colour. `palette` is ["#rrggbb", …], not empty.
    """
    colours, share = dominant_colours(picture, subject_mask(picture))
    if len(colours) == 0:
        return 100.0
    nearest = ciede2000(colours[:, None], hex_to_lab(palette)[None]).min(axis=1)
    return float((nearest * share).sum())
