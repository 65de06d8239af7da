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
    measured = judge.measure(arm)
    told = measured.arm.metrics["prior_drift"].value
    assert told == pytest.approx(drift(rows[24:], rows[0:16:2]))
    assert told != pytest.approx(drift(rows[24:], rows[:8]))
    gaps = np.linalg.norm(rows[24:, None] - rows[None, :16], axis=-1)
    order = np.argsort(-gaps.min(axis=1)).tolist()
    assert list(measured.worst["drift"]) == order, "the farthest from all of the base's first"


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


def test_retrieval_counts_an_identity_once_however_many_pictures_it_has() -> None:
    """Who is nearer is found; of two that are equally likely neither the one with more pictures nor
    the one with fewer is found oftener."""
    own, crowd = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 1.0]] * 50)
    query = np.array([[0.9, 0.1], [0.1, 0.9]])
    assert m.retrieve(query, m.line_up([own, crowd])).tolist() == [0, 1]
    rng = np.random.default_rng(0)
    for few in (1, 2):
        found = []
        for _ in range(400):
            rows = np.eye(8)[0] + 0.5 * rng.normal(size=(20, 8))
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            rows_of_each = m.line_up([rows[:8], rows[8 : 8 + few], rows[11:19]])[:2]
            found.append(int(m.retrieve(rows[19:], rows_of_each)[0]))
        assert 0.4 < np.mean(found) < 0.6


def test_an_identity_in_many_scenes_is_not_farther_for_them() -> None:
    """Its pictures have less in common than those of one that always stands alike, a look-alike of
    it; the new picture is of the first."""
    rng = np.random.default_rng(1)

    def shown(who: np.ndarray, scenes: float, num: int) -> np.ndarray:
        rows = np.concatenate([np.tile(who, (num, 1)), scenes * rng.normal(size=(num, 24))], axis=1)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))

    own, other = np.array([1.0, 0.0, 0.0]), np.array([0.8, 0.6, 0.0])
    rows = m.line_up([shown(own, 0.2, 20), shown(other, 0.05, 6)])
    assert np.mean(m.retrieve(shown(own, 0.2, 200), rows) == 0) > 0.9


def test_a_line_up_is_the_mean_over_the_root_of_its_coherence() -> None:
    """Two pictures whose cosine is .6: their mean over √.6; one alone has the others' coherence."""
    two, one = np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([[0.0, 1.0]])
    np.testing.assert_allclose(m.line_up([two, one]) * 0.6**0.5, [[0.8, 0.4], [0.0, 1.0]])
