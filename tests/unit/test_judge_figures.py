"""What the judge makes of measured rows: means, shares, ratios, and what it leaves out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image, ImageDraw

from onbrand.judging import OWN, ArmPictures, Eyes, Gallery, Judge, References
from onbrand.judging import metrics as m


def grey(value: int) -> Image.Image:
    return Image.new("RGB", (8, 8), (value,) * 3)


def ring(number: int) -> Image.Image:
    """A layout of its own for each number."""
    picture = Image.new("RGB", (32, 32), "white")
    ImageDraw.Draw(picture).ellipse((number, number % 5, 31, 12 + number), fill="black")
    return picture


def turned(degrees: Sequence[float]) -> np.ndarray:
    """Unit vectors at these angles."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def by_grey(pictures: Sequence[Image.Image]) -> np.ndarray:
    """The vector of a flat grey of value v lies at v degrees."""
    return turned([picture.getpixel((0, 0))[0] for picture in pictures])


def at_nought(
    pictures: Sequence[Image.Image], texts: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Every text lies at 0 degrees: a picture fits it by the cosine of its value."""
    return by_grey(pictures), turned([0] * len(texts))


EYES = Eyes(by_grey, at_nought)


def references(**changes: object) -> References:
    gallery = Gallery((OWN, "other"), ((grey(0),), (grey(90),)))
    real = [grey(0), grey(2)]
    settings: dict[str, object] = {"train": real, "held_out": real, "gallery": gallery}
    return References(**(settings | changes))


def test_more_real_pictures_set_the_threshold_of_memory() -> None:
    """Where there are some for memory alone, the few that are held out do not set it."""
    train, held_out, more = ([ring(n) for n in ns] for ns in ((1, 2), (5, 6), (3, 4, 9)))
    judge = Judge(EYES, references(train=train, held_out=held_out, held_out_for_memory=more))
    seen, few = m.layouts(train), m.layouts(held_out)
    assert judge.memory_threshold == m.memorisation_threshold(m.layouts(more), seen)
    assert judge.memory_threshold != m.memorisation_threshold(few, seen)


def test_as_far_as_real_pictures_are_is_not_memorised() -> None:
    """Flat pictures have nothing in common with any: where real ones are flat, no copy is seen."""
    judge = Judge(EYES, references())
    (score,) = judge.measure(ArmPictures("detail", [grey(1)], ["a"])).pictures
    assert score.nearest_distance == judge.memory_threshold
    assert not score.memorised


def test_the_ratio_is_of_means() -> None:
    """A text that the base hardly follows does not weigh more for it."""
    base = ArmPictures("base", [grey(0), grey(60)], ["a", "b"])
    arm = ArmPictures("detail", [grey(60), grey(0)], ["a", "b"])
    found = Judge(EYES, references(), base=base).measure(arm).arm.metrics
    assert found["alignment_ratio"].value == pytest.approx(1)


def test_what_all_pictures_share_has_a_bound_and_a_direction() -> None:
    """All of four texts found tells of no more than four; errors and copies are better lower."""
    arm = ArmPictures("detail", [grey(0)] * 4, list("abcd"))
    found = Judge(EYES, references()).measure(arm).arm.metrics
    low, high = found["retrieval_fraction"].interval
    assert high == 1
    assert low == pytest.approx(0.025**0.25)
    lower = {name for name, metric in found.items() if metric.better == "lower"}
    assert lower == {"identity_error", "memorised_fraction"}


def test_intervals_are_of_the_judges_seed() -> None:
    """The same seed gives the same interval, another one another."""
    arm = ArmPictures("detail", [grey(v) for v in (0, 20, 35, 60, 75)], list("abcde"))
    one, again, other = (
        Judge(EYES, references(), seed=seed).measure(arm).arm.metrics["identity"].interval
        for seed in (1, 1, 2)
    )
    assert one == again
    assert one != other


def reading(seen: Sequence[dict[str, str]]) -> Eyes:
    """Eyes that read these attributes off the pictures, in their order."""
    return Eyes(by_grey, at_nought, lambda pictures: list(seen))


def test_an_attribute_stands_alone_where_every_prompt_names_it() -> None:
    """All name a pose, and one of two has it; an expression is named by one of them only."""
    wanted = [{"pose": "waving", "expression": "sad"}, {"pose": "sitting"}]
    arm = ArmPictures("detail", [grey(0), grey(1)], ["a", "b"], expected=wanted)
    seen = [{"pose": "waving", "expression": "happy"}, {"pose": "waving", "expression": "sad"}]
    found = Judge(reading(seen), references()).measure(arm).arm.metrics
    assert found["attributes_fraction"].value == 0.25
    assert found["pose_fraction"].value == 0.5
    assert "expression_fraction" not in found


def test_no_share_of_attributes_where_a_prompt_names_none() -> None:
    """Such a picture has no share, and the others' would be of other pictures."""
    arm = ArmPictures("x", [grey(0), grey(1)], ["a", "b"], expected=[{"pose": "waving"}, {}])
    judge = Judge(reading([{"pose": "waving"}] * 2), references())
    assert "attributes_fraction" not in judge.measure(arm).arm.metrics


def test_a_base_that_follows_nothing_is_no_measure() -> None:
    """Its pictures stand straight across their texts: nothing can be a share of that."""

    def across(
        pictures: Sequence[Image.Image], texts: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        return np.eye(2)[[0] * len(pictures)], np.eye(2)[[1] * len(texts)]

    arm = ArmPictures("base", [grey(0), grey(1)], ["a", "b"])
    found = Judge(Eyes(by_grey, across), references(), base=arm).measure(arm).arm.metrics
    assert found["alignment"].value == 0
    assert "alignment_ratio" not in found
