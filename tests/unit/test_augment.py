"""Moves and backdrops to the pixel: which way, how far, over what, how bright."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from onbrand.recipe import Augment
from onbrand.training.augment import BACKGROUNDS, Backdrop, Move, draw, moves

ALL = Augment(
    flip=True, rotate_degrees=5, scale_fraction=0.1, shift_fraction=0.1, brightness_fraction=0.1,
    saturation_fraction=0.1,
)  # fmt: skip
BLUE = Backdrop("blue", (0, 0, 255), (0, 0, 255))


def dot(x: int, y: int) -> Image.Image:
    """A red square of 8 px about that place on 40 × 40 px of green."""
    picture = Image.new("RGB", (40, 40), (0, 160, 0))
    picture.paste((250, 20, 20), (x - 4, y - 4, x + 4, y + 4))
    return picture


def place(drawn: np.ndarray) -> tuple[float, float]:
    """Where the red is: x, y."""
    rows, columns = np.nonzero(drawn[..., 0] > 128)
    return float(columns.mean()) + 0.5, float(rows.mean()) + 0.5


@pytest.mark.parametrize(
    ("move", "to"),
    [
        (Move(flip=True), (26, 26)),
        (Move(shift_x=0.25, shift_y=-0.2), (24, 18)),
        (Move(scale=1.5), (11, 29)),
        (Move(turn_degrees=90), (26, 26)),
    ],
)
def test_a_move_goes_where_it_says(move: Move, to: tuple[float, float]) -> None:
    """Mirrored left to right, shifted right and up, larger and turned about the middle."""
    assert place(draw(dot(14, 26), None, move, 40)) == pytest.approx(to, abs=0.3)


def test_nothing_moves_where_nothing_is_asked() -> None:
    """Turned by nothing, a picture stays in its middle: no half pixel's shift."""
    drawn = draw(dot(20, 20), None, Move(scale=0.75), 40)
    np.testing.assert_array_equal(drawn, drawn[:, ::-1])
    np.testing.assert_array_equal(drawn, drawn[::-1])


def test_what_a_cut_out_uncovers_is_its_backdrop() -> None:
    """Shifted away from a side that it touched, it leaves the backdrop there, and keeps its
    colour."""
    picture, alpha = Image.new("RGB", (40, 40), (250, 20, 20)), np.ones((40, 40), np.float32)
    drawn = draw(picture, alpha, Move(shift_x=0.25, backdrop=BLUE), 40)
    np.testing.assert_array_equal(drawn[:, :8], np.broadcast_to(BLUE.top_rgb, (40, 8, 3)))
    np.testing.assert_array_equal(drawn[:, 12:], np.broadcast_to((250, 20, 20), (40, 28, 3)))
    white = draw(picture, alpha, Move(shift_x=0.25), 40)
    np.testing.assert_array_equal(white[:, :8], np.full((40, 8, 3), 255))


def test_light_is_rounded() -> None:
    """1.1 times 108 is 119."""
    drawn = draw(Image.new("RGB", (40, 40), (108, 108, 250)), None, Move(brightness=1.1), 40)
    assert drawn[20, 20].tolist() == [119, 119, 255]


def test_moves_go_both_ways_and_each_its_own() -> None:
    """Half are mirrored; turns, sizes, shifts and lights are spread about nothing, apart from each
    other, within what was asked."""
    made = moves("aa", ALL, 401, seed=1, backdrops=None)[1:]
    assert np.mean([move.flip for move in made]) == pytest.approx(0.5, abs=0.1)
    table = np.array(
        [
            (m.turn_degrees / 50, m.scale - 1, m.shift_x, m.shift_y, m.brightness - 1,
             m.saturation - 1)
            for m in made
        ]
    )  # fmt: skip
    np.testing.assert_allclose(table.mean(0), 0, atol=0.01)
    np.testing.assert_allclose(table.min(0), -0.1, atol=0.005)
    np.testing.assert_allclose(table.max(0), 0.1, atol=0.005)
    alike = np.corrcoef(table.T) - np.eye(6)
    assert np.abs(alike).max() < 0.2


def test_pictures_move_apart_and_stand_on_every_backdrop_alike_often() -> None:
    """Another key is another row of moves; the first variant stands on the first backdrop."""
    one, other = (moves(key, ALL, 25, seed=1, backdrops=BACKGROUNDS) for key in ("aa", "bb"))
    assert one[1] != other[1]
    assert one[0].backdrop == BACKGROUNDS[0]
    times = Counter(move.backdrop for move in one[1:])
    assert set(times.values()) == {2}
    assert len(times) == len(BACKGROUNDS)
