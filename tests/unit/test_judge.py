"""The judge, with encoders whose vectors are chosen: who is compared with whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from onbrand.judging import OWN, ArmPictures, Eyes, Gallery, Judge, References
from onbrand.judging import metrics as m
from onbrand.judging.indices import drift
from onbrand.judging.sight import Sight


def numbers(pictures: Sequence[Image.Image]) -> list[int]:
    return [picture.getpixel((0, 0))[0] for picture in pictures]


def references(pictures: Sequence[Image.Image], **changes: object) -> References:
    gallery = Gallery(("one", "other"), ((pictures[-1],), (pictures[-2],)))
    settings: dict[str, object] = {"train": pictures[:1], "held_out": pictures, "gallery": gallery}
    return References(**(settings | changes))


def by_index(rows: np.ndarray) -> Eyes:
    """Encoders for tests: picture i, a flat grey of value i, has the vector rows[i]."""
    return Eyes(
        lambda pictures: rows[numbers(pictures)],
        lambda pictures, texts: (rows[numbers(pictures)],) * 2,
    )


def test_drift_pairs_the_pictures_of_one_seed() -> None:
    """The base drew every text with two seeds, the stage the plain class with the first one: row
    i of both is of one prompt and seed."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(32, 8)) + 2 * np.eye(8)[0]
    rows[24:] = rows[0:16:2] + 0.2 * rng.normal(size=(8, 8))  # the class as the stage draws it
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    pictures = [Image.new("RGB", (8, 8), (k,) * 3) for k in range(32)]
    flat_rows = by_index(rows)

    def see(shown: Sequence[Image.Image]) -> Sight:
        num = len(shown)
        some = np.linspace(0.1, 0.2, num)
        poses = rng.normal(size=(num, 17, 3))
        return Sight(some, poses, some, some, flat_rows.embed(shown), m.layouts(shown))

    refs = references(pictures, train=pictures[16:20], held_out=pictures[20:24])
    texts = [text for text in "abcdefgh" for _ in range(2)]
    base = ArmPictures("base", pictures[:16], texts)
    judge = Judge(replace(flat_rows, see=see), refs, base=base)
    arm = ArmPictures("detail", pictures[:16], texts, class_pictures=pictures[24:])
    told = judge.measure(arm).arm.metrics["prior_drift"].value
    assert told == pytest.approx(drift(rows[24:], rows[0:16:2]))
    assert told != pytest.approx(drift(rows[24:], rows[:8]))


def test_a_real_picture_is_no_part_of_what_it_is_compared_with() -> None:
    """Where nothing is alike, few of a folder's own held-out pictures are found its own: chance, as
    of pictures that the brand's mean does not hold. A line-up's own pictures stay as they
    are."""
    rows = np.random.default_rng(0).normal(size=(128, 64))
    eyes = by_index(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    pictures = [Image.new("RGB", (8, 8), (k,) * 3) for k in range(128)]
    others = Gallery(
        tuple(f"other {k}" for k in range(15)),
        tuple(tuple(pictures[8 * k : 8 * k + 8]) for k in range(1, 16)),
    )
    refs = references(pictures, held_out=pictures[:8], gallery=others)
    assert Judge(eyes, refs).measure_real().metrics["retrieval_fraction"].value < 0.2
    with_own = Gallery((OWN, *others.names), (tuple(pictures[:8]), *others.pictures))
    refs = references(pictures, held_out=pictures[:8], gallery=with_own)
    assert Judge(eyes, refs).measure_real().metrics["retrieval_fraction"].value > 0.8
