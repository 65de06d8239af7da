"""Planted faults: seen where they were planted, worse when severe, named, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from onbrand.illustrator import (
    FAULTS,
    PARTS,
    FashionPicture,
    FashionScene,
    Fault,
    Illustration,
    ProductPicture,
    Scene,
    Shot,
    character,
    fashion_faults,
    garment,
    illustrate,
    illustrate_fashion,
    illustrate_product,
    mascot_faults,
    person,
    product,
    product_faults,
)
from onbrand.illustrator.faults import FACE, GOODS

Picture = Illustration | ProductPicture | FashionPicture

SCENE = Scene(place="meadow", style="outlined", prop="cup")
SHOT = Shot("room", style="flat", stand="wooden table")
LOOK = FashionScene("city", style="shaded")


def mascot(k: int, *faults: Fault) -> Picture:
    return illustrate(character(k), SCENE, 128, seed=k, faults=faults)


def goods(k: int, *faults: Fault) -> Picture:
    return illustrate_product(product(k), SHOT, 128, seed=k, faults=faults)


def worn(k: int, *faults: Fault) -> Picture:
    return illustrate_fashion(person(k), garment(k), LOOK, 128, seed=k, faults=faults)


WORLDS = {
    "mascots": (mascot, mascot_faults(character(0), SCENE)),
    "products": (goods, product_faults(SHOT)),
    "fashion": (worn, fashion_faults(person(0), LOOK)),
}
EVERY = [(world, tag) for world, (_, tags) in WORLDS.items() for tag in tags]


def changed(faulty: Picture, clean: Picture) -> np.ndarray:
    """(size, size) where the two differ enough to be seen."""
    gap = np.abs(faulty.pixels.astype(int) - clean.pixels.astype(int)).max(axis=2)
    return np.asarray(gap > 12)


def test_the_standards_nine_tags_are_there() -> None:
    """As in the judging standard; each world knows those that can happen to it."""
    nine = {"fusion", "hand", "face", "body", "product", "contact", "scale", "shadow", "text"}
    assert set(FAULTS) == nine
    assert set(WORLDS["mascots"][1]) == set(WORLDS["fashion"][1]) == nine
    assert set(WORLDS["products"][1]) == nine - {"hand", "face", "body"}


@pytest.mark.parametrize(("world", "tag"), EVERY)
def test_a_fault_is_seen_named_and_worse_when_severe(world: str, tag: str) -> None:
    """On eight pictures: something changes at every severity, more so from slight to severe."""
    draw, _ = WORLDS[world]
    subjects = [k for k in range(9) if k % 7 != 5]  # person 5 is a mannequin: no face
    sizes = []
    for severity in (1, 2, 3):
        gaps = []
        for k in subjects:
            clean, faulty = draw(k), draw(k, Fault(tag, severity))
            assert faulty.caption == f"{clean.caption}, {FAULTS[tag].words}"
            assert faulty.pixels.shape == clean.pixels.shape
            assert faulty.parts.max() < len(PARTS)
            gaps.append(changed(faulty, clean).mean())
        assert min(gaps) > 0, (severity, gaps)
        sizes.append(float(np.mean(gaps)))
    assert sizes[0] < sizes[2] or tag == "scale", sizes  # a giant covers more than a dwarf leaves
    assert sizes[2] > 0.004, "a severe fault can be seen"


@pytest.mark.parametrize("tag", ["face", "product"])
def test_what_melts_is_what_is_named(tag: str) -> None:
    """Far from a face (or from the goods) nothing moves."""
    wanted: Sequence[str] = FACE if tag == "face" else GOODS
    for k in range(6):
        clean, faulty = mascot(k), mascot(k, Fault(tag, 3))
        ys, xs = np.nonzero(np.isin(clean.parts, [PARTS.index(p) for p in wanted]))
        gap_ys, gap_xs = np.nonzero(changed(faulty, clean))
        assert gap_ys.min() > ys.min() - 16
        assert gap_xs.min() > xs.min() - 16
        assert gap_xs.max() < xs.max() + 16


def test_a_floating_subject_leaves_its_shadow() -> None:
    """Contact: the product is higher, the darkness below stays."""
    clean, faulty = goods(3), goods(3, Fault("contact", 3))
    assert isinstance(clean, ProductPicture)
    assert isinstance(faulty, ProductPicture)
    lowest = [int(np.nonzero(p.subject)[0].max()) for p in (clean, faulty)]
    assert 12 <= lowest[0] - lowest[1] <= 16  # 0.11 of 128 px


def test_keypoints_follow_the_fault() -> None:
    """A dwarf's joints are the dwarf's."""
    clean, dwarf = (
        illustrate(character(2), SCENE, 128, faults=f) for f in ((), [Fault("scale", 3)])
    )
    height = [p.keypoints["left_foot"][1] - p.keypoints["head_top"][1] for p in (clean, dwarf)]
    assert height[1] == pytest.approx(0.34 * height[0], rel=1e-6)


def test_two_faults_at_once() -> None:
    """Both are planted and named; one tag is not planted twice."""
    both = mascot(1, Fault("hand", 2), Fault("fusion", 2))
    assert both.caption.endswith(f"{FAULTS['hand'].words}, {FAULTS['fusion'].words}")
    assert changed(both, mascot(1, Fault("hand", 2))).any()
    assert changed(both, mascot(1, Fault("fusion", 2))).any()
    with pytest.raises(ValueError, match="once in a picture, got text, text"):
        mascot(1, Fault("text", 1), Fault("text", 3))


def test_impossible_faults_are_refused() -> None:
    """Nobody floats in a close-up; a sticker is pasted by design; names are checked."""
    near = Scene(framing="close-up")
    assert "contact" not in mascot_faults(character(0), near)
    with pytest.raises(ValueError, match="no 'contact' fault can be seen"):
        illustrate(character(0), near, 64, faults=[Fault("contact")])
    assert "fusion" not in product_faults(Shot(style="sticker"))
    assert "face" not in fashion_faults(person(5), LOOK)
    with pytest.raises(ValueError, match="a fault is one of"):
        Fault("blur")
    with pytest.raises(ValueError, match="severity"):
        Fault("hand", 4)
