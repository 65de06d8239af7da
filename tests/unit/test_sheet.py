"""Many pictures on one page."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from onbrand.sheet import contact_sheet, tiles


def test_tiles_lie_edge_to_edge_in_rows() -> None:
    """Five pictures in three columns: two rows, the last place white; nothing is refused."""
    colours = [(40 * k, 0, 0) for k in range(5)]
    page = tiles([Image.new("RGB", (4, 2), colour) for colour in colours], 3)
    assert page.size == (12, 4)
    assert [page.getpixel((4 * (k % 3), 2 * (k // 3))) for k in range(5)] == colours
    assert page.getpixel((11, 3)) == (255, 255, 255)
    with pytest.raises(ValueError, match="no pictures"):
        tiles([], 3)


def test_captions_of_several_lines_are_one() -> None:
    """A line break in a prompt stops no page after all has been drawn."""
    picture = Image.new("RGB", (64, 64))
    broken = contact_sheet([[picture]], ["waving\nhappily"], ["one\ntwo"])
    whole = contact_sheet([[picture]], ["waving happily"], ["one two"])
    assert np.array_equal(broken, whole)
