"""The products' world: drawn as its words say, reproducible, and kept apart from evaluation."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from onbrand.illustrator import (
    PARTS,
    PRODUCT_TRAITS,
    RESERVED_IDS,
    Product,
    Shot,
    describe_product,
    illustrate_product,
    pretraining_product,
    product,
    product_caption,
    random_shot,
)


def test_the_same_seed_draws_the_same_picture() -> None:
    """A picture is a function of product, shot, size and seed; another seed is another one."""
    shot = Shot(stand="wooden table", place="forest", style="sketch")
    one, same, other = (illustrate_product(product(5), shot, 64, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.pixels, same.pixels)
    assert one.caption == same.caption
    assert not np.array_equal(one.pixels, other.pixels)


def test_reserved_products_never_enter_pretraining() -> None:
    """Nothing that models may learn from has the kind, colours and print of a reserved product."""
    reserved = {product(identity).look for identity in RESERVED_IDS}
    assert reserved.isdisjoint(pretraining_product(n).look for n in range(4000))
    assert {product(identity).kind for identity in RESERVED_IDS} == set(PRODUCT_TRAITS["kind"])


@pytest.mark.parametrize("kind", PRODUCT_TRAITS["kind"])
def test_every_kind_stands_whole_in_the_picture(kind: str) -> None:
    """It covers a fair share of the picture, and does not reach its edge."""
    subject = illustrate_product(Product(0, kind, "red", "blue", "plain"), Shot(), 96, 0).subject
    assert 0.04 < subject.mean() < 0.5
    edge = np.concatenate([subject[0], subject[-1], subject[:, 0], subject[:, -1]])
    assert not edge.any()


@pytest.mark.parametrize("trait", ["colour", "accent", "pattern", "kind"])
def test_every_trait_changes_the_picture(trait: str) -> None:
    """Two products that differ in a trait's word look different."""
    plain = Product(0, "mug", "red", "blue", "striped")
    drawn = {
        illustrate_product(replace(plain, **{trait: word}), Shot(), 64, 0).pixels.tobytes()
        for word in PRODUCT_TRAITS[trait]
    }
    assert len(drawn) == len(PRODUCT_TRAITS[trait])


@pytest.mark.parametrize("name", sorted(Shot.WORDS))
def test_every_word_of_a_shot_can_be_drawn(name: str) -> None:
    """And no two words of a list give the same picture."""
    shot = Shot(place="meadow") if name == "hour" else Shot()
    pictures = [
        illustrate_product(product(0), replace(shot, **{name: word}), 64, 0).pixels.tobytes()
        for word in Shot.WORDS[name]
    ]
    assert len(set(pictures)) == len(pictures)


def test_the_words_say_what_is_drawn() -> None:
    """Kind, colours and print, the stand, place and hour."""
    mug = Product(0, "mug", "red", "blue", "striped")
    assert describe_product(mug) == "a red mug with blue stripes"
    glasses = Product(0, "pair of sunglasses", "orange", "teal", "plain")
    assert describe_product(glasses) == "a pair of orange sunglasses with teal details"
    words = product_caption(
        mug, Shot("beach", "night", stand="stone podium"), np.random.default_rng(1), "the kuro mug"
    )
    for phrase in ("the kuro mug", "on a stone podium", "on a beach at night", "outlined cartoon"):
        assert phrase in words
    assert "red" not in words


def test_the_mask_is_the_product_alone() -> None:
    """A table is labelled, and is no part of the subject."""
    picture = illustrate_product(product(0), Shot(stand="wooden table"), 96, 0)
    table = picture.parts == PARTS.index("stand")
    assert table.mean() > 0.1
    assert not (picture.subject & table).any()


def test_sizes_and_wrong_words_are_checked() -> None:
    """A shot refuses words it does not know; a picture is never smaller than 16 px."""
    with pytest.raises(ValueError, match="stand is one of"):
        Shot(stand="cloud")
    with pytest.raises(ValueError, match="16 or more"):
        illustrate_product(product(0), Shot(), 8)


def test_drawing_is_fast() -> None:
    """Well over forty pictures per second of processor time even on a busy machine."""
    rng = np.random.default_rng(3)
    shots = [random_shot(rng) for _ in range(40)]
    best = 0.0
    for _ in range(3):
        start = time.process_time()
        for k, shot in enumerate(shots):
            illustrate_product(product(k), shot, 128, seed=k)
        best = max(best, len(shots) / (time.process_time() - start))
    assert best > 40
