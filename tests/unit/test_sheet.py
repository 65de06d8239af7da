"""Many pictures on one page."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFont

from onbrand.sheet import _font, contact_sheet, tiles


def test_tiles_lie_edge_to_edge_in_rows() -> None:
    """Five pictures in three columns: two rows, the last place white; nothing is refused."""
    colours = [(40 * k, 0, 0) for k in range(5)]
    page = tiles([Image.new("RGB", (4, 2), colour) for colour in colours], 3)
    assert page.size == (12, 4)
    assert [page.getpixel((4 * (k % 3), 2 * (k // 3))) for k in range(5)] == colours
    assert page.getpixel((11, 3)) == (255, 255, 255)
    with pytest.raises(ValueError, match="no pictures"):
        tiles([], 3)


def test_captions_are_written_in_any_alphabet_that_the_system_has() -> None:
    """Cyrillic words are no row of equal boxes; plain ones are as they were."""
    picture = Image.new("RGB", (64, 64))
    one, other = (np.asarray(contact_sheet([[picture]], [word])) for word in ("кот", "дом"))
    try:
        ImageFont.truetype("DejaVuSans.ttf")
    except OSError:
        pytest.skip("no font of the system knows Cyrillic")
    assert not np.array_equal(one, other)
    assert _font("waving, 4 …").getname() == ImageFont.load_default(17).getname()


def test_captions_of_several_lines_are_one() -> None:
    """A line break in a prompt stops no page after all has been drawn."""
    picture = Image.new("RGB", (64, 64))
    broken = contact_sheet([[picture]], ["waving\nhappily"], ["one\ntwo"])
    whole = contact_sheet([[picture]], ["waving happily"], ["one two"])
    assert np.array_equal(broken, whole)
