"""The fashion world: worn as its words say, with joints and masks where they belong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onbrand.illustrator import (
    PARTS,
    RESERVED_IDS,
    FashionScene,
    Garment,
    Person,
    describe_garment,
    describe_person,
    fashion_caption,
    garment,
    illustrate_fashion,
    person,
    pretraining_garment,
    pretraining_person,
    random_fashion_scene,
)
from onbrand.illustrator.fashion import COCO_17, FASHION_POSES, GARMENT_TRAITS, PERSON_TRAITS

WHO = Person(3, skin="brown", hair="long", hair_colour="black")
DRESS = Garment(0, "dress", "red", "white", "dotted", "short", "long")


def test_the_same_seed_draws_the_same_picture() -> None:
    """A picture is a function of person, garment, scene, size and seed; another seed is another."""
    scene = FashionScene("city", style="sketch")
    one, same, other = (illustrate_fashion(WHO, DRESS, scene, 64, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.pixels, same.pixels)
    assert one.caption == same.caption
    assert not np.array_equal(one.pixels, other.pixels)


def test_reserved_people_and_garments_never_enter_pretraining() -> None:
    """Nothing that models may learn from looks like a reserved person or garment."""
    faces = {person(i).look for i in RESERVED_IDS if not person(i).is_mannequin}
    assert faces.isdisjoint(pretraining_person(n).look for n in range(3000))
    sold = {garment(i).look for i in RESERVED_IDS}
    assert sold.isdisjoint(pretraining_garment(n).look for n in range(3000))
    assert {garment(i).kind for i in RESERVED_IDS} == set(GARMENT_TRAITS["kind"])


@pytest.mark.parametrize("kind", GARMENT_TRAITS["kind"])
@pytest.mark.parametrize("who", ["woman", "man", "mannequin"])
def test_every_garment_is_worn_by_everyone(kind: str, who: str) -> None:
    """Its mask is a fair share of the picture, between the neck and the feet."""
    wearer = Person(0, who, hair="short", build="curvy")
    made = Garment(0, kind, "red", "blue", sleeves="long", length="knee-length")
    if kind == "trousers":
        made = replace(made, length="long")
    picture = illustrate_fashion(wearer, made, FashionScene(), 96, 0)
    worn = picture.parts == PARTS.index(kind)
    assert 0.02 < worn.mean() < 0.3
    rows = np.nonzero(worn)[0] / 96
    assert rows.min() > 0.15
    assert rows.max() < 0.95


@pytest.mark.parametrize("pose", FASHION_POSES)
def test_joints_lie_on_the_body(pose: str) -> None:
    """All of COCO-17's, on labelled parts, in whichever pose; mirrored, left and right change."""
    for mirrored in (False, True):
        scene = FashionScene(pose=pose, mirrored=mirrored)
        picture = illustrate_fashion(WHO, DRESS, scene, 256, 0)
        assert set(picture.keypoints) == set(COCO_17)
        for name, (x, y, inside) in picture.keypoints.items():
            if inside:
                around = picture.parts[max(0, int(y) - 3) : int(y) + 4, int(x) - 3 : int(x) + 4]
                assert (around > 0).any(), name
        assert picture.keypoints["left_hip"][0] > picture.keypoints["right_hip"][0]


def test_a_mannequin_has_no_face_and_no_skin() -> None:
    """Its face's keypoints are missing, and no pixel is called skin, face or hair."""
    picture = illustrate_fashion(person(5), DRESS, FashionScene(), 128, 0)
    assert person(5).is_mannequin
    assert set(picture.keypoints) == set(COCO_17[5:])
    seen = {PARTS[k] for k in np.unique(picture.parts)}
    assert seen == {"background", "mannequin", "dress"} | (seen & {"shoes"})


@pytest.mark.parametrize("trait", sorted(set(GARMENT_TRAITS) - {"kind"}))
def test_every_trait_of_a_garment_changes_the_picture(trait: str) -> None:
    """Two dresses that differ in a word look different."""
    drawn = {
        illustrate_fashion(
            WHO, replace(DRESS, **{trait: word}), FashionScene(), 96, 0
        ).pixels.tobytes()
        for word in GARMENT_TRAITS[trait]
    }
    assert len(drawn) == len(GARMENT_TRAITS[trait])


@pytest.mark.parametrize("trait", sorted(set(PERSON_TRAITS) - {"kind"}))
def test_every_trait_of_a_person_can_be_drawn(trait: str) -> None:
    """Two people who differ in a word look different."""
    close = FashionScene(framing="upper body")
    drawn = {
        illustrate_fashion(replace(WHO, **{trait: word}), DRESS, close, 128, 0).pixels.tobytes()
        for word in PERSON_TRAITS[trait]
    }
    assert len(drawn) == len(PERSON_TRAITS[trait])


def test_the_words_say_what_is_worn() -> None:
    """Person, garment, pose, place and hour."""
    assert describe_person(WHO) == "a young woman with brown skin and long black hair"
    assert describe_garment(DRESS) == "a long red dress with white dots and short sleeves"
    sheer = Garment(0, "skirt", "orange", "teal", length="short", sheer="yes")
    assert describe_garment(sheer) == "a short orange skirt with a sheer hem"
    scene = FashionScene("beach", "night", pose="walking")
    words = fashion_caption(WHO, DRESS, scene, np.random.default_rng(0))
    for phrase in ("long red dress with white dots", "walking", "on a beach at night"):
        assert phrase in words


def test_random_scenes_are_drawn_with_parts_and_words() -> None:
    """Whatever comes, there is a garment, and a caption without loose ends."""
    rng = np.random.default_rng(4)
    for k in range(40):
        picture = illustrate_fashion(person(k), garment(k), random_fashion_scene(rng), 64, seed=k)
        assert (picture.parts == PARTS.index(picture.garment.kind)).any()
        assert "  " not in picture.caption
        assert ", ," not in picture.caption


def test_sizes_and_wrong_words_are_checked() -> None:
    """A scene refuses words it does not know; a picture is never smaller than 16 px."""
    with pytest.raises(ValueError, match="pose is one of"):
        FashionScene(pose="flying")
    with pytest.raises(ValueError, match="16 or more"):
        illustrate_fashion(WHO, DRESS, FashionScene(), 8)
