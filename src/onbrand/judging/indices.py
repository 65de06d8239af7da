"""What is wrong with a set of pictures, as indices: pure functions of pictures, joints and shares.

Every index is read against a reference, the untouched base's pictures of the same prompts and seeds
or the brand's real ones, never on a scale of its own: `onbrand.judging.diagnosis` does that.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.judging.colour import on_white, srgb_to_lab

__all__ = [
    "background_detail",
    "drift",
    "oil",
    "pose_distances",
    "pose_variety",
    "pose_vectors",
    "subject_doubt",
]

Floats = NDArray[np.float64]

FINE_PX, COARSE_PX = 1.0, 4.0  # of 128: the bands whose energies are compared
WINDOW_FRACTION = 7 / 128  # of the side: what counts as one place of a background
SEEN_DELTA = (
    2.0  # CIE76 deviation within a window that an eye notices (2.3 is one JND: Sharma 2003)
)
MARGIN_FRACTION = 4 / 128  # the subject's own edge and outline are no background
SHARES_FLOOR = 1e-9
DOUBTFUL = 90  # percentile of a subject's pixels
MIN_JOINTS = 4  # fewer tell no pose


def subject_doubt(shares_nlhw: NDArray[np.floating], background: int) -> Floats:
    """How unsure a parser is of the subject's most doubtful tenth of pixels, [n] in [0, 1].

    A pixel's doubt is the entropy of its label shares over log(labels) (predictive entropy;
    Hendrycks & Gimpel, arXiv 1610.02136, use the maximum); the value is the 90th percentile over
    the pixels that are likelier anything but background: a face that ran, a limb that is none are
    labelled half this, half that. 0 where there is no subject. shares [n, labels, h, w] sum to 1
    over the labels.
    """
    shares = np.asarray(shares_nlhw, np.float64).clip(SHARES_FLOOR, 1)
    entropy = -(shares * np.log(shares)).sum(axis=1) / np.log(shares.shape[1])
    subject = shares[:, background] < 0.5
    return np.array(
        [
            np.percentile(doubt[inside], DOUBTFUL) if inside.any() else 0.0
            for doubt, inside in zip(entropy, subject, strict=True)
        ]
    )


def pose_vectors(joints_nj3: NDArray[np.floating]) -> Floats:
    """Joints x, y, certainty [n, j, 3] as [n, j, 3] in a frame of the figure's own.

    Moved to the certainty-weighted centre and scaled to a root mean square distance of 1 from it
    (the translation and scale of Procrustes analysis, Gower 1975; a lean stays, being a pose).
    A figure with fewer than four joints' worth of certainty has certainty 0 everywhere.
    """
    joints = np.asarray(joints_nj3, np.float64)
    weight = joints[..., 2:].clip(0, 1)
    known = weight.sum((1, 2), keepdims=True)
    centre = (joints[..., :2] * weight).sum(1, keepdims=True) / np.maximum(known, 1e-9)
    moved = joints[..., :2] - centre
    size = np.sqrt((moved**2 * weight).sum((1, 2), keepdims=True) / np.maximum(known, 1e-9))
    kept = np.where(known >= MIN_JOINTS, weight, 0.0)
    return np.concatenate([moved / np.maximum(size, 1e-9), kept], axis=-1)


def pose_distances(vectors_nj3: Floats) -> Floats:
    """Root mean square distance of joints between any two figures, [n, n], in the unit of
    `pose_vectors`; mirror images are another pose. NaN where either shows no pose."""
    places, weight = vectors_nj3[..., :2], vectors_nj3[..., 2]
    both = weight[:, None] * weight[None]
    gaps = ((places[:, None] - places[None]) ** 2).sum(-1)
    total = both.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(total > 1e-6, np.sqrt((gaps * both).sum(-1) / total), np.nan))


def pose_variety(distances_nn: Floats) -> float:
    """Mean of `pose_distances` over pairs; NaN when no two pictures show a pose."""
    pairs = distances_nn[np.triu_indices(len(distances_nn), k=1)]
    return float(np.nanmean(pairs)) if np.isfinite(pairs).any() else float("nan")


def oil(picture: Image.Image) -> float:
    """How oily a picture looks, over-saturated and over-smooth: log(1 + chroma) − log(fineness).

    Chroma is the mean of √(a*² + b*²). `fineness` is √(Σ(L − G₁L)² / Σ(G₁L − G₄L)²), the energy of
    the finest band of lightness over that of the next (bands of a Laplacian pyramid, Burt &
    Adelson 1983; Gaussians of 1 and 4 px at 128): both grow alike with contrast, so it tells how
    crisp edges and textures are. Only differences mean something: +0.7 is twice the saturation,
    or half the fineness. A larger picture has finer details than a smaller one can: compare
    pictures of one size. A flat picture counts as having the fineness 0.01.
    """
    lab = srgb_to_lab(on_white(picture))
    light, unit = lab[..., 0], max(lab.shape[:2]) / 128
    fine = cv2.GaussianBlur(light, (0, 0), FINE_PX * unit)
    coarse = cv2.GaussianBlur(light, (0, 0), COARSE_PX * unit)
    below = float(((fine - coarse) ** 2).sum())
    fineness = float(np.sqrt(((light - fine) ** 2).sum() / below)) if below > 1e-9 else 0.0
    return float(np.log1p(np.hypot(lab[..., 1], lab[..., 2]).mean()) - np.log(max(fineness, 0.01)))


def background_detail(picture: Image.Image, background_hw: NDArray[np.floating]) -> float:
    """The share of the background in which anything is to be seen, in [0, 1].

    `background_hw` is how surely a pixel is background. A place counts when the deviation of
    L*a*b* within a window of 1/18 of the side exceeds 2; the subject and a margin around it are
    left out. NaN where hardly any background is left (2 % of the picture).
    """
    lab = srgb_to_lab(on_white(picture)).astype(np.float32)
    side = max(lab.shape[:2])
    window = max(3, round(WINDOW_FRACTION * side) | 1)
    mean, square = (
        cv2.boxFilter(x, -1, (window, window), borderType=cv2.BORDER_REFLECT) for x in (lab, lab**2)
    )
    deviation = np.sqrt((square - mean**2).clip(0).sum(-1))
    reach = max(1, round(MARGIN_FRACTION * side)) + window // 2
    subject = (np.asarray(background_hw) < 0.5).astype(np.uint8)
    near = cv2.dilate(subject, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    if (~near).mean() < 0.02:
        return float("nan")
    return float((deviation[~near] > SEEN_DELTA).mean())


def drift(own: Floats, base: Floats) -> float:
    """How far pictures moved from the base's, in [0, 1]: the energy distance of two sets of unit
    vectors [n, d], both, over its largest value, 1 − (E|x − x'| + E|y − y'|) / 2E|x − y|
    (Székely & Rizzo 2013, the E-coefficient of inhomogeneity). Row i of both is of one prompt and
    seed, of which two models make nearly the same: pairs of one row are left out of all three
    means, so that two draws of one distribution have about 0; below is cut to 0. Raises ValueError
    for sets of unequal size.
    """
    if len(own) != len(base):
        raise ValueError(f"{len(own)} vectors beside the base's {len(base)}: rows are to pair")
    if len(own) < 2:
        return float("nan")
    between = float(_apart(own, base)[~np.eye(len(own), len(base), dtype=bool)].mean())
    if between < 1e-9:
        return 0.0
    within = [_apart(x, x)[np.triu_indices(len(x), k=1)].mean() for x in (own, base)]
    return max(0.0, float(1 - sum(within) / (2 * between)))


def _apart(a: Floats, b: Floats) -> Floats:
    """Euclidean distances of unit vectors [n, m]."""
    return np.asarray(np.sqrt((2 - 2 * a @ b.T).clip(0)))
