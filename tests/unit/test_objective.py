"""What an avatar's or a scene's brief asks beyond the common figures: drawings and their truth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from PIL import Image

from onbrand.illustrator import (
    PARTS,
    Character,
    Illustration,
    Scene,
    character,
    illustrate,
    lookalikes,
)
from onbrand.judging import Eyes, Gallery, Judge, References
from onbrand.judging.looking import as_seen
from onbrand.judging.objective import (
    PartMaps,
    avatar_scores,
    background_variety,
    composition_count,
    real_avatar_scores,
)

PLACES = ("forest", "city", "beach", "snow")
TRUTH: dict[bytes, np.ndarray] = {}


def drawn(who: Character, **scene: object) -> Image.Image:
    """A drawing whose parts `truth` knows."""
    made: Illustration = illustrate(who, Scene(**scene), seed=1)
    picture = Image.fromarray(made.pixels)
    TRUTH[picture.tobytes()] = made.parts.astype(np.int64)
    return picture


def truth(pictures: Sequence[Image.Image]) -> PartMaps:
    """A parser that is never wrong."""
    return PartMaps(PARTS, np.stack([TRUTH[picture.tobytes()] for picture in pictures]))


def colours(pictures: Sequence[Image.Image]) -> np.ndarray:
    """Unit vectors of 4 x 4 mean colours, about their mean: an encoder without weights."""
    rows = [cv2.resize(np.asarray(p, np.float32), (4, 4), interpolation=cv2.INTER_AREA).ravel()
            for p in pictures]  # fmt: skip
    centred = np.stack(rows) - 128
    return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True), np.float64)


def test_a_changed_part_shows_in_its_own_figure() -> None:
    """Another outfit colour lowers the outfit's likeness, and leaves the eyes' as it is."""
    who = character(0)
    outfits = [c for c in lookalikes(who, 12) if c.changed_trait == "outfit_colour"]
    assert who.outfit != "none", "the test needs a dressed one"
    real = [drawn(who, place=place) for place in PLACES]
    same = avatar_scores(colours, truth, [drawn(who, place="room")], real)
    other = avatar_scores(colours, truth, [drawn(outfits[0], place="room")], real)
    assert {"head_identity", "eyes_identity", "outfit_identity"} <= set(same)
    assert same["outfit_identity"][0] > other["outfit_identity"][0] + 0.1
    assert same["eyes_identity"][0] == pytest.approx(other["eyes_identity"][0], abs=0.02)


def test_a_missing_part_counts_as_nothing_and_a_strange_one_is_not_asked_for() -> None:
    """A picture without a subject has 0 everywhere; what real pictures lack has no figure."""
    who = character(0)
    real = [drawn(who, place=place) for place in PLACES]
    empty = Image.new("RGB", (128, 128), "white")
    TRUTH[empty.tobytes()] = np.zeros((128, 128), np.int64)
    scores = avatar_scores(colours, truth, [empty], real)
    assert scores
    assert all(row[0] == 0 for row in scores.values())
    assert avatar_scores(colours, truth, real, [empty, empty]) == {}


def test_real_pictures_are_scored_against_the_others() -> None:
    """As if each were a generated picture and the rest the real ones; a missing part is 0."""
    who = character(0)
    real = [drawn(who, place=place) for place in PLACES]
    told = real_avatar_scores(colours, truth, real)
    for k, picture in enumerate(real):
        alone = avatar_scores(colours, truth, [picture], real[:k] + real[k + 1 :])
        assert alone.keys() == told.keys()
        assert [row[0] for row in alone.values()] == pytest.approx(
            [row[k] for row in told.values()]
        )
    empty = Image.new("RGB", (128, 128), "white")
    TRUTH[empty.tobytes()] = np.zeros((128, 128), np.int64)
    assert real_avatar_scores(colours, truth, [*real, empty])["head_identity"][-1] == 0
    eyes = Eyes(colours, lambda pictures, texts: (colours(pictures), colours(pictures)), None,
                None, truth)  # fmt: skip
    gallery = Gallery(("another",), ((real[0],),))
    judge = Judge(eyes, References(real, real, gallery, objectives=("avatar",)))
    figures = judge.measure_real().metrics
    assert figures["head_identity"].value == pytest.approx(told["head_identity"].mean())
    assert figures["head_identity"].value <= 1
    assert figures["head_identity"].interval is not None, "each picture is a group of its own"


@pytest.mark.parametrize("size", [(256, 128), (128, 256)])
def test_parts_of_an_oblong_picture_are_cut_where_the_parser_saw_them(
    size: tuple[int, int],
) -> None:
    """It and the square that the parser was shown of it have the same figures."""
    who = character(0)
    real = [drawn(who, place=place) for place in PLACES]
    oblong = Image.new("RGB", size, "white")
    oblong.paste(drawn(who, place="room"), (64, 0) if size[0] > size[1] else (0, 64))
    square = as_seen(oblong, 128)
    parts = np.zeros((128, 128), np.int64)
    parts[32:96, 32:96] = truth([drawn(who, place="room")]).maps[0, ::2, ::2]
    TRUTH[oblong.tobytes()] = TRUTH[square.tobytes()] = parts
    one, other = (avatar_scores(colours, truth, [picture], real) for picture in (oblong, square))
    assert one
    assert {name: row[0] for name, row in one.items()} == {n: row[0] for n, row in other.items()}


def test_backgrounds_vary_when_places_do() -> None:
    """Four places vary more than one, and one more than none; the subject's own change does not
    count."""
    who = character(0)
    texts = list(PLACES)
    four = [drawn(who, place=place) for place in PLACES]
    one = [drawn(who, place="forest", expression=e) for e in ("happy", "sad", "angry", "calm")]
    assert background_variety(four, truth(four), texts) > 0.5
    assert background_variety(one, truth(one), texts) < 0.2
    assert math.isnan(background_variety(one, truth(one), ["same"] * 4))
    parts = truth(four)
    behind = parts.mask(("background",))[..., None]
    bare = [Image.fromarray(np.where(b, 255, p).astype(np.uint8))
            for p, b in zip(four, behind, strict=True)]  # fmt: skip
    assert background_variety(bare, parts, texts) == pytest.approx(0, abs=1e-6)


def test_compositions_are_counted_by_place_and_size() -> None:
    """Close-ups and full figures are two compositions, however many pictures there are."""
    full = [drawn(character(n), framing="full body") for n in (0, 1, 2)]
    near = [drawn(character(n), framing="close-up") for n in (0, 1)]
    assert composition_count(truth(full)) == 1
    assert composition_count(truth(full + near)) >= 2


def boxes(*wanted: tuple[slice, slice] | None) -> PartMaps:
    """What a parser says that saw the eyes in these places (None: nowhere)."""
    maps = np.zeros((len(wanted), 128, 128), np.int64)
    for own, place in zip(maps, wanted, strict=True):
        if place is not None:
            own[place] = 1
    return PartMaps(("background", "eyes"), maps)


@pytest.mark.parametrize("long", ["wide", "high"])
def test_a_part_is_shown_whole_in_a_square_with_a_margin(long: str) -> None:
    """A quarter of its longer side is left around it; it keeps its shape, in the middle."""
    place = (slice(50, 60), slice(40, 80)) if long == "wide" else (slice(40, 80), slice(50, 60))
    pixels = np.zeros((128, 128, 3), np.uint8)
    pixels[place] = 255
    shown: list[np.ndarray] = []

    def embed(crops: Sequence[Image.Image]) -> np.ndarray:
        shown.extend(np.asarray(crop) for crop in crops)
        return np.ones((len(crops), 1))

    picture = Image.fromarray(pixels)
    real_avatar_scores(embed, lambda pictures: boxes(place, place), [picture, picture])
    rows, columns = (np.flatnonzero((shown[0][..., 0] > 127).any(axis=k)) for k in (1, 0))
    zoom = 128 / (39 * 1.5 + 1)
    sizes = (10 * zoom, 40 * zoom) if long == "wide" else (40 * zoom, 10 * zoom)
    assert (len(rows), len(columns)) == pytest.approx(sizes, abs=2)
    assert (rows.mean(), columns.mean()) == pytest.approx((63.5, 63.5), abs=2)


@pytest.mark.parametrize(("num_shown", "kept"), [(1, False), (2, True)])
def test_a_part_is_the_brands_that_half_of_its_pictures_show(num_shown: int, kept: bool) -> None:
    """Two of four do, one of four does not."""
    place = (slice(40, 80), slice(40, 80))
    wanted = [place if k < num_shown else None for k in range(4)]
    white = [Image.new("RGB", (128, 128), "white")] * 4
    told = real_avatar_scores(colours, lambda pictures: boxes(*wanted), white)
    assert ("eyes_identity" in told) is kept


def test_sizes_part_at_their_limits() -> None:
    """Under 15 % of the picture is small, and 15 % no longer; so at 40 %."""
    for rows in (15, 40):
        maps = np.zeros((2, 100, 100), np.int64)
        maps[:, 40 : 40 + rows] = 1
        maps[1, 45, 50] = 0  # a pixel less
        assert composition_count(PartMaps(("background", "eyes"), maps)) == 2
