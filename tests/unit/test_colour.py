"""Colour where the eye is least sure: dark greys, half-transparent edges, flat pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from onbrand.judging.colour import hex_to_lab, on_white, palette_distance, subject_mask


def test_greys_lie_where_the_eye_sees_them() -> None:
    """The curve of sRGB is linear near black alone: tabled lightness of four greys."""
    lightness = hex_to_lab(["#050505", "#202020", "#404040", "#808080"])[:, 0]
    np.testing.assert_allclose(lightness, [1.37, 12.25, 27.09, 53.59], atol=0.01)


def test_what_is_transparent_is_white() -> None:
    """Half a black pixel on white is a middle grey, and none of it is white."""
    picture = Image.new("RGBA", (3, 1), (0, 0, 0, 255))
    picture.putpixel((1, 0), (0, 0, 0, 51))
    picture.putpixel((2, 0), (0, 0, 0, 0))
    assert on_white(picture)[0, :, 0].tolist() == pytest.approx([0, 0.8, 1])


def test_a_shadow_is_no_part_of_a_cut_out() -> None:
    """What one sees through more than half is not the subject's."""
    picture = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    ImageDraw.Draw(picture).rectangle((5, 5, 14, 18), fill=(0, 0, 0, 100))
    ImageDraw.Draw(picture).rectangle((5, 5, 14, 14), fill=(10, 200, 30, 255))
    assert subject_mask(picture).sum() == 100


def test_nothing_to_see_is_off_every_palette() -> None:
    """A picture without a subject wears none of the brand's colours."""
    assert palette_distance(Image.new("RGBA", (20, 20), (0, 0, 0, 0)), ["#000000"]) == 100
