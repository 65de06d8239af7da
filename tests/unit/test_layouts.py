"""How much pictures vary: what is flat shows nothing, and so varies nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from brand_folder import tiny_dataset
from PIL import Image

from onbrand.illustrator import character, illustrate, random_scene
from onbrand.judging import metrics as m
from onbrand.training.augment import Move, draw

SIZE = (128, 128)
FLAT = Image.new("RGB", SIZE, (200, 180, 160))


def drawings(num: int) -> list[Image.Image]:
    """A character in a scene, drawn by `num` seeds."""
    scene = random_scene(np.random.default_rng(0))
    return [
        Image.fromarray(illustrate(character(0), scene, 128, seed=k).pixels) for k in range(num)
    ]


def diversity(pictures: list[Image.Image]) -> float:
    return float(m.diversity(m.layouts(pictures), ["one prompt"] * len(pictures))[0][0])


def test_flat_pictures_have_no_variety_noise_or_not() -> None:
    """Equal flat pictures have none, with a little noise as good as none, and the more of them are
    flat the less a prompt's pictures vary: a stage that collapses is not rewarded."""
    rng = np.random.default_rng(0)
    noisy = [
        Image.fromarray((180 + rng.normal(size=(*SIZE, 3))).astype(np.uint8)) for _ in range(4)
    ]
    assert diversity([FLAT] * 4) == pytest.approx(0, abs=1e-9)
    assert diversity(noisy) < 0.05
    drawn = drawings(4)
    fewer = [diversity([*drawn[: 4 - flat], *[FLAT] * flat]) for flat in range(4)]
    assert all(after < before for before, after in pairwise(fewer))


def test_drawings_vary_as_their_layouts_are_apart() -> None:
    """For whole drawings variety is the layout distance, within one in a hundred."""
    rows = m.layouts(drawings(4))
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(
        m.layout_variety(rows)[off], m.layout_distance(rows, rows)[off], rtol=0.01
    )


def test_the_threshold_is_the_first_percentile_of_held_out_distances() -> None:
    """Held-out pictures at 0, 0.01, … 1 from the one training picture: the threshold is 0.01."""
    train, other = np.eye(2, m.LAYOUT_PX * m.LAYOUT_PX * 3)
    cosines = 1 - np.linspace(0, 1, 101)[:, None]
    held_out = cosines * train + np.sqrt(1 - cosines**2) * other
    assert m.memorisation_threshold(held_out, train[None]) == pytest.approx(0.01)


def test_a_flat_picture_is_no_copy_of_anything() -> None:
    """It is as far from a training picture as can be: nothing is memorised in it."""
    rows = m.layouts([*drawings(3), FLAT])
    assert m.nearest_layout(rows[3:], rows[:3])[1] == pytest.approx([1.0], abs=1e-6)
    assert m.nearest_layout(rows[:1], rows[:3])[1] == pytest.approx([0.0], abs=1e-9)


@pytest.mark.parametrize("box", [(56, 0, 200, 256), (0, 32, 256, 224)])
def test_a_copy_of_an_oblong_picture_is_memorised(
    tmp_path: Path, box: tuple[int, int, int, int]
) -> None:
    """Portrait or landscape: a model that learned one by heart draws it as training showed it."""
    who, rng = character(0), np.random.default_rng(1)
    scenes = [random_scene(rng) for _ in range(16)]
    drawn = [Image.fromarray(illustrate(who, scene, 256, seed=1).pixels) for scene in scenes]
    dataset = tiny_dataset(tmp_path, num=len(drawn) - 1)
    for asset, picture in zip(dataset.assets, drawn, strict=True):
        picture.crop(box).save(dataset.path(asset))
    assets = [replace(asset, has_alpha=False) for asset in dataset.assets]
    copies = [Image.fromarray(draw(dataset.open(a), None, Move(), 128)) for a in assets[:10]]
    real = m.layouts([dataset.open_square(a, 128) for a in assets])
    threshold = m.memorisation_threshold(real[10:], real[:10])
    assert (m.nearest_layout(m.layouts(copies), real[:10])[1] < threshold).all()


def test_diversity_is_of_different_pictures() -> None:
    """Of two pictures it is by how much they differ: none is compared with itself."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (2, 48, 48, 3), dtype=np.uint8)
    rows = m.layouts([Image.fromarray(pixels) for pixels in noise])
    assert m.diversity(rows, ["a", "a"])[0][0] == pytest.approx(m.layout_variety(rows)[0, 1])


def test_group_means_are_means() -> None:
    """By group, in order of appearance, however many values each has."""
    values, names = m.group_means(np.array([1.0, 5.0, 3.0]), ["b", "a", "b"])
    assert (values.tolist(), names) == ([2.0, 5.0], ["b", "a"])
