"""What the report measures, as pure functions on numpy arrays.

Embeddings are float arrays [n, d], every row of length 1, so that a dot product is a cosine.
Which encoder made them is the caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.errors import DatasetError
from onbrand.judging.colour import on_white, srgb_to_lab

__all__ = [
    "alignment",
    "directional_alignment",
    "diversity",
    "edge_f1",
    "frechet_distance",
    "group_means",
    "identity_error",
    "identity_scores",
    "layout_distance",
    "layout_variety",
    "layouts",
    "line_up",
    "mean_direction",
    "memorisation_threshold",
    "nearest_layout",
    "retrieve",
    "self_similarity",
]

Floats = NDArray[np.float64]

LAYOUT_PX, FINE_PX, COARSE_PX = 48, 1.5, 8.0
LEAST_COHERENCE = 0.1  # of pictures that have next to nothing in common
FAINT = 30.0
"""Length of a band in which as good as nothing is to be seen: noise of 1/255 has 3, of 4/255 13; a
drawn character has 370 and more."""


def identity_scores(generated: Floats, real: Floats) -> Floats:
    """Per generated picture, its mean cosine to the real held-out ones: [n, d], [m, d] → [n]."""
    return np.asarray((generated @ real.T).mean(axis=1))


def self_similarity(real: Floats) -> float:
    """Mean cosine between two *different* real held-out pictures, over all pairs.

    Raises DatasetError when fewer than two are given: a ceiling needs a pair.
    """
    if len(real) < 2:
        raise DatasetError(
            f"{len(real)} held-out picture(s) given, but identity is judged against the likeness "
            "of two real ones: hold out at least 2 pictures (held_out in brief.toml)."
        )
    cosines = real @ real.T
    return float(cosines[np.triu_indices(len(real), k=1)].mean())


def identity_error(scores: Floats, ceiling: float) -> float:
    """max(0, mean cos(real, other real) − mean cos(generated, real)): DESIGN's definition.

    `scores` come from `identity_scores`, `ceiling` from `self_similarity`. 0 = as like the real
    pictures as they are like each other.
    """
    return max(0.0, ceiling - float(np.mean(scores)))


def line_up(sets: Sequence[Floats]) -> Floats:
    """A vector for each identity's pictures [n_i, d], unit vectors: [k, d], for `retrieve`.

    It is their mean over the root of their coherence, the mean cosine of different ones: the mean
    direction, so that an identity in many scenes is not farther for them, and without what a mere
    normalisation gives to many pictures, whose mean is shorter. One picture alone has the coherence
    that the others have on the mean.
    """
    known = [self_similarity(rows) for rows in sets if len(rows) > 1]
    usual = float(np.mean(known)) if known else 1.0
    return np.stack([mean_direction(x, self_similarity(x) if len(x) > 1 else usual) for x in sets])


def mean_direction(embeddings: Floats, coherence: float) -> Floats:
    """The mean of [n, d] unit vectors over the root of their coherence: [d]."""
    return np.asarray(embeddings.mean(axis=0) / max(coherence, LEAST_COHERENCE) ** 0.5)


def retrieve(generated: Floats, rows: Floats) -> NDArray[np.int64]:
    """Per generated picture, the identity of a `line_up` that it is nearest to: [n] indices.

    Nearest to what its pictures have in common rather than to one of them, so that an identity with
    more pictures has no more chances. Ties go to the earlier identity.
    """
    return np.asarray(np.argmax(generated @ rows.T, axis=1))


def alignment(pictures: Floats, texts: Floats) -> Floats:
    """Cosine of picture i and text i, as CLIP-T: [n, d], [n, d] → [n].

    What all pictures show and no text names (a brand's traits) counts as error here.
    """
    return np.asarray((pictures * texts).sum(axis=1))


def directional_alignment(pictures: Floats, texts: Floats) -> Floats:
    """Cosine of what picture i differs by from the set's mean picture and what text i differs by
    from its mean text: [n, d], [n, d] → [n]; NaN where all texts are one.

    The cosine of directions of StyleGAN-NADA (Gal et al. 2021, eq. 5), from the mean instead of a
    source picture. What all pictures share drops out, a brand's traits with it: true drawings of a
    character keep .98 of what its plain kind has, and one wrong attribute costs .30, where of
    `alignment` they lose .08 and it costs .17 (the twin's, `onbrand bench eyes`).
    """
    seen, told = pictures - pictures.mean(axis=0), texts - texts.mean(axis=0)
    lengths = np.linalg.norm(seen, axis=1) * np.linalg.norm(told, axis=1)
    if np.allclose(told, 0, atol=1e-6):
        return np.full(len(pictures), np.nan)
    return np.asarray((seen * told).sum(axis=1) / np.maximum(lengths, 1e-12))


def layouts(pictures: Sequence[Image.Image]) -> Floats:
    """What a picture shows where, as vectors [n, 48·48·3] whose length says how much it shows:
    nearly 1 for any drawing, 0 for a blank picture.

    A 48-px thumbnail in CIE L*a*b*, band-passed (Gaussian σ 1.5 px minus σ 8 px), over
    √(length² + FAINT²): flat backgrounds and overall tints drop out, shapes, poses and props stay.
    Memory and diversity look at these rather than at an identity embedding, which is trained to
    call two poses of one character the same. On drawn characters a training picture moved, turned,
    blurred and tinted a little is told from a new scene almost always (docs/log.md); a plain
    thumbnail mixes them up whenever backgrounds are plain. Transparent pixels count as white.
    """
    rows = []
    for picture in pictures:
        small = cv2.resize(on_white(picture), (LAYOUT_PX, LAYOUT_PX), interpolation=cv2.INTER_AREA)
        lab = srgb_to_lab(small.clip(0, 1))
        band = cv2.GaussianBlur(lab, (0, 0), FINE_PX) - cv2.GaussianBlur(lab, (0, 0), COARSE_PX)
        rows.append(band.ravel() / np.hypot(np.linalg.norm(band), FAINT))
    return np.stack(rows) if rows else np.zeros((0, LAYOUT_PX * LAYOUT_PX * 3))


def layout_distance(a: Floats, b: Floats) -> Floats:
    """1 − cosine between layouts: [n, k], [m, k] → [n, m]; 0 = same, 1 = nothing in common, as a
    blank picture has with any."""
    return np.asarray(1.0 - (a / _lengths(a)) @ (b / _lengths(b)).T)


def layout_variety(layout: Floats) -> Floats:
    """By how much the pictures of a set differ: [n, k] → [n, n], their layout distance times both
    lengths. What a picture does not show it cannot vary: a blank one differs from none."""
    lengths = _lengths(layout)
    return np.asarray(lengths * lengths.T - layout @ layout.T)


def _lengths(layout: Floats) -> Floats:
    """[n, k] → [n, 1], what rounding leaves of a blank picture's made harmless."""
    return np.asarray(np.linalg.norm(layout, axis=1, keepdims=True).clip(1e-7))


def _mirrored(layout: Floats) -> Floats:
    """The layouts of the pictures' mirror images."""
    grid = layout.reshape(len(layout), LAYOUT_PX, LAYOUT_PX, 3)
    return grid[:, :, ::-1].reshape(len(layout), -1)


def nearest_layout(pictures: Floats, train: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Nearest training picture by layout, mirror images included: (index [n], distance [n])."""
    distances = np.minimum(
        layout_distance(pictures, train), layout_distance(pictures, _mirrored(train))
    )
    nearest = np.argmin(distances, axis=1)
    return nearest, distances[np.arange(len(pictures)), nearest]


def memorisation_threshold(held_out: Floats, train: Floats) -> float:
    """The distance under which a picture counts as memorised.

    Take each held-out real picture's distance to its nearest training picture; the threshold is
    their 1st percentile (linear between order statistics). A generated picture nearer than this
    sits closer to a training picture than real pictures of the same brand ever do. With few
    held-out pictures the percentile is close to their minimum: a dozen is coarse, a hundred good.
    """
    return float(np.percentile(nearest_layout(held_out, train)[1], 1))


def diversity(layout: Floats, groups: Sequence[str]) -> tuple[Floats, list[str]]:
    """Mean pairwise layout variety among same-group (same-prompt) pictures, per group.

    Returns (values [g], group names [g]), 0 = all the same, in order of first appearance; groups
    with a single picture have no pair and are left out.
    """
    values, names = [], []
    for name in dict.fromkeys(groups):
        rows = layout[[i for i, group in enumerate(groups) if group == name]]
        if len(rows) < 2:
            continue
        values.append(float(layout_variety(rows)[np.triu_indices(len(rows), k=1)].mean()))
        names.append(name)
    return np.array(values), names


def group_means(values: Floats, groups: Sequence[str]) -> tuple[Floats, list[str]]:
    """The mean of each group's values, [n] → ([g], group names [g]), in order of appearance."""
    names = list(dict.fromkeys(groups))
    rows = [[i for i, group in enumerate(groups) if group == name] for name in names]
    return np.array([values[row].mean() for row in rows]), names


def edge_f1(drawn: Image.Image, wanted: Image.Image, tolerance_px: int = 2) -> float:
    """F1 of two edge drawings (white on black, one size): an edge pixel is right when the other
    drawing has one within `tolerance_px` (Martin et al. 2004, matched by distance alone).

    1 when both are empty, 0 when one of them is.

    Raises:
        ValueError: for unequal sizes.
    """
    if drawn.size != wanted.size:
        raise ValueError(f"edge drawings of {drawn.size} and {wanted.size} px cannot be compared")
    ours, theirs = (np.asarray(d.convert("L")) > 127 for d in (drawn, wanted))
    if not ours.any() or not theirs.any():
        return float(ours.any() == theirs.any())
    precision = float((_distance(theirs)[ours] <= tolerance_px).mean())
    recall = float((_distance(ours)[theirs] <= tolerance_px).mean())
    return 2 * precision * recall / max(precision + recall, 1e-12)


def frechet_distance(ours: Floats, theirs: Floats) -> float:
    """Fréchet distance of two sets of features, [n, d] and [m, d], as if both were Gaussian:
    |μa − μb|² + tr(A + B − 2·(A·B)^½) with their covariances A, B (Heusel et al. 2017, eq. 6).

    It falls with the number of pictures: compare equal numbers only.

    Raises:
        ValueError: for fewer than two rows, or unequal widths.
    """
    if min(len(ours), len(theirs)) < 2 or ours.shape[1] != theirs.shape[1]:
        raise ValueError(f"features of {ours.shape} and {theirs.shape} cannot be compared")
    a, b = np.cov(ours, rowvar=False), np.cov(theirs, rowvar=False)
    # A·B is similar to a positive semi-definite matrix: its eigenvalues are real, none below zero
    roots = np.sqrt(np.linalg.eigvals(np.atleast_2d(a) @ np.atleast_2d(b)).real.clip(0))
    apart = ((ours.mean(axis=0) - theirs.mean(axis=0)) ** 2).sum()
    return max(
        0.0,
        float(apart + np.trace(np.atleast_2d(a)) + np.trace(np.atleast_2d(b)) - 2 * roots.sum()),
    )


def _distance(edges: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance of every pixel to the nearest edge pixel, in pixels."""
    away = cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(away, np.float32)
