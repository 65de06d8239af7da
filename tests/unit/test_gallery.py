"""Line-ups: how characters are drawn in them, and who a folder's look-alikes are."""

from __future__ import annotations

import numpy as np
from PIL import Image

from onbrand.illustrator import character, illustrate, random_scene
from onbrand.judging import character_gallery, folder_gallery
from onbrand.judging.gallery import draw


def test_every_scene_is_drawn_with_noise_of_its_own() -> None:
    """The n-th picture is the illustrator's of seed and n: one character, one scene, two seeds."""
    who, scene = character(2), random_scene(np.random.default_rng(0))
    drawn = draw(who, (scene, scene), 32, 2)
    for number, picture in enumerate(drawn):
        expected = illustrate(who, scene, size_px=32, seed=2000 + number).pixels
        np.testing.assert_array_equal(picture, expected)


def test_a_folders_line_up_is_drawn_from_its_seed() -> None:
    """Beside the look-alikes stand the characters of that seed's scenes; another has others."""
    few = {"num_others": 1, "num_pictures": 1, "size_px": 32}
    one, other = (folder_gallery([], seed=seed, **few) for seed in (1, 2))
    assert one.pictures == character_gallery(None, seed=1, **few).pictures
    assert one.names == other.names
    assert one.pictures != other.pictures


def test_a_number_alone_is_a_name() -> None:
    """Whatever stands before it: "_1" and "_2" are two identities, and neither is nameless."""
    likes = [(name, Image.new("RGB", (16, 16))) for name in ("_1", "_2", "red _1", "red-2")]
    gallery = folder_gallery(likes, num_others=1, num_pictures=1, size_px=16)
    assert gallery.names[:3] == ("look-alike _1", "look-alike _2", "look-alike red")
