"""Palettes from pictures: what is worn seldom, seen through, or hardly there."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from onbrand.curation.palette import propose_palette, subject_pixels

ORANGE, GREEN, BLUE = (235, 120, 40), (40, 160, 60), (40, 60, 220)
Colour = tuple[int, ...]


def cut_out(*fills: Colour) -> Image.Image:
    """As many bars side by side, nothing around them."""
    picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    step = 48 // len(fills)
    for n, fill in enumerate(fills):
        box = (8 + n * step, 8, 7 + (n + 1) * step, 55)
        ImageDraw.Draw(picture).rectangle(box, fill=fill if len(fill) == 4 else (*fill, 255))
    return picture


def apart(colour: str, other: Colour) -> int:
    """The largest difference in a channel."""
    return int(max(abs(int(colour[i : i + 2], 16) - c) for i, c in zip((1, 3, 5), other,
                                                                      strict=True)))  # fmt: skip


@pytest.mark.parametrize(("num_hats", "worn"), [(5, False), (6, True)])
def test_a_colour_of_most_pictures_is_the_brands(num_hats: int, worn: bool) -> None:
    """A hat in half of ten pictures is no brand colour, one in six of them is."""
    images = [cut_out(ORANGE, GREEN if n < num_hats else ORANGE) for n in range(10)]
    first, *rest = propose_palette(images)
    assert apart(first, ORANGE) < 4
    assert any(apart(colour, GREEN) < 4 for colour in rest) is worn


def test_a_shadow_that_is_seen_through_is_no_colour() -> None:
    """What a cut-out lets through is the ground's, not the subject's."""
    (only,) = propose_palette([cut_out(ORANGE, (*BLUE, 120))] * 3)
    assert apart(only, ORANGE) < 4


def test_shades_of_one_colour_are_one() -> None:
    """Of oranges that an eye takes for one comes what most of it is; another colour stays."""
    near = (225, 126, 52)
    first, *rest = propose_palette([cut_out(ORANGE, ORANGE, near, BLUE)] * 4)
    assert apart(first, ORANGE) < 4
    assert [apart(colour, BLUE) < 4 for colour in rest] == [True]


def test_a_speck_is_no_subject() -> None:
    """Where next to nothing stands out of the ground, the whole picture counts."""
    picture = Image.new("RGB", (64, 64), "white")
    picture.paste(ORANGE, (30, 30, 33, 33))
    assert len(subject_pixels(picture)) == 64 * 64
    picture.paste(ORANGE, (30, 30, 34, 34))
    np.testing.assert_array_equal(subject_pixels(picture), [ORANGE] * 16)
