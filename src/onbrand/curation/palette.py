"""Proposes a brand's palette from its pictures: the colours that its subject always wears.

The subject's pixels are those inside the alpha; of an opaque picture, those unlike its border. They
are clustered in CIELAB, and a colour is kept when it shows in most pictures: scenery changes from
picture to picture, a mascot's fur does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["propose_palette", "subject_pixels"]

THUMBNAIL_PX = 64
PIXELS_PER_PICTURE = 240
NUM_CLUSTERS = 16
BORDER_DIFFERENCE = 14.0  # ΔE (CIE76) from the border's colour at which the subject begins
SAME_COLOUR = 12.0  # ΔE below which two clusters are one colour
LEAST_SHARE = 0.02  # of a picture's subject pixels for a colour to show in it
SEEN_IN = 0.6  # of the pictures

Floats = NDArray[np.float32]


def propose_palette(images: Sequence[Image.Image], *, num: int = 5, seed: int = 7) -> list[str]:
    """Up to `num` colours as "#rrggbb", the largest first; [] without pictures. Deterministic."""
    from scipy.cluster.vq import kmeans2

    rng = np.random.default_rng(seed)
    samples = [_thinned(_lab(subject_pixels(image)), rng) for image in images]
    samples = [sample for sample in samples if len(sample)]
    if not samples:
        return []
    pool = np.concatenate(samples)
    num_clusters = min(NUM_CLUSTERS, len(np.unique(pool.round(), axis=0)))
    centres, _ = kmeans2(pool.astype(np.float64), num_clusters, minit="++", seed=seed)
    merged = _merged(np.asarray(centres, np.float32), pool)
    counts = [np.bincount(_nearest(s, merged), minlength=len(merged)) for s in samples]
    shares = np.stack([count / count.sum() for count in counts])
    seen = (shares >= LEAST_SHARE).mean(axis=0)
    order = sorted(range(len(merged)), key=lambda i: -float(shares[:, i].mean()))
    kept = [i for i in order if seen[i] >= SEEN_IN][:num] or order[:1]
    return [_typical(pool[_nearest(pool, merged) == i]) for i in kept]


def subject_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """The subject's pixels of a small copy, [n, 3] sRGB; all of them when no subject stands out."""
    small = image.copy()
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
    rgb = np.asarray(small.convert("RGB"), np.uint8)
    if image.mode == "RGBA":
        inside = np.asarray(small.getchannel("A")) > 250
    else:
        edge = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
        ground = np.median(_lab(edge), axis=0)
        inside = np.linalg.norm(_lab(rgb.reshape(-1, 3)) - ground, axis=1) > BORDER_DIFFERENCE
        inside = np.asarray(inside).reshape(rgb.shape[:2])
    subject = rgb[inside]
    return subject if len(subject) >= 16 else rgb.reshape(-1, 3)


def _lab(rgb: NDArray[np.uint8]) -> Floats:
    """[n, 3] sRGB bytes as CIELAB under D65."""
    import cv2

    row = rgb.reshape(1, -1, 3).astype(np.float32) / np.float32(255)
    return np.asarray(cv2.cvtColor(row, cv2.COLOR_RGB2Lab), np.float32).reshape(-1, 3)


def _thinned(sample: Floats, rng: np.random.Generator) -> Floats:
    if len(sample) <= PIXELS_PER_PICTURE:
        return sample
    chosen = rng.permutation(len(sample))[:PIXELS_PER_PICTURE]
    return np.asarray(sample[chosen], np.float32)


def _nearest(points: Floats, centres: Floats) -> NDArray[np.intp]:
    squared = (centres**2).sum(1)[None] - 2 * points @ centres.T
    nearest: NDArray[np.intp] = squared.argmin(axis=1)
    return nearest


def _merged(centres: Floats, pool: Floats) -> Floats:
    """The centres with those that are one colour to the eye joined, weighted by their pixels."""
    weights = np.bincount(_nearest(pool, centres), minlength=len(centres)).astype(np.float64)
    left = [(weight, centre) for weight, centre in zip(weights, centres, strict=True) if weight]
    left.sort(key=lambda pair: -pair[0])
    joined: list[tuple[float, Floats]] = []
    for weight, centre in left:
        for i, (other_weight, other) in enumerate(joined):
            if np.linalg.norm(centre - other) < SAME_COLOUR:
                total = weight + other_weight
                mean = (centre * weight + other * other_weight) / total
                joined[i] = (total, np.asarray(mean, np.float32))
                break
        else:
            joined.append((float(weight), centre))
    return np.stack([centre for _, centre in joined])


def _typical(sample: Floats) -> str:
    """The median of CIELAB pixels as "#rrggbb": flat fills win over the blends at their edges."""
    import cv2

    middle = np.median(sample, axis=0).astype(np.float32).reshape(1, 1, 3)
    rgb = cv2.cvtColor(middle, cv2.COLOR_Lab2RGB)[0, 0]
    red, green, blue = (int(v) for v in np.clip(np.rint(rgb * 255), 0, 255))
    return f"#{red:02x}{green:02x}{blue:02x}"
