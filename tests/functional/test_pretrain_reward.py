"""scripts/pretrain/reward.py through the pocket pack's own eyes: what a base is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from onbrand.illustrator import (
    attributes,
    character,
    fashion_attributes,
    garment,
    illustrate,
    illustrate_fashion,
    person,
    random_fashion_scene,
    random_scene,
)
from onbrand.models.packs import open_pack
from onbrand.training.engine import generator

pytestmark = pytest.mark.usefixtures("pretrain_scripts")


def test_views_are_near_and_the_middle_one_is_the_picture() -> None:
    """Chances of one half move nothing; a chance of 1 moves by a twentieth of the side."""
    import reward

    pixels = torch.rand((2, 3, 40, 40), generator=generator(0, 0, 0))
    still = reward.near(torch.full((2, 3), 0.5))(pixels)
    assert torch.allclose(still, pixels, atol=1e-5)
    aside = reward.near(torch.tensor([[0.5, 1.0, 0.5]] * 2))(pixels)
    assert torch.allclose(aside[..., 2:], pixels[..., :38], atol=1e-5)


def test_the_eyes_ask_for_what_was_named() -> None:
    """True drawings with their own attributes cost less than with others'; a world is asked only
    for what it has."""
    import reward
    from pictures import to_tensor

    eyes = reward.Eyes.open(open_pack("pocket").root, None, "cpu")
    rng = np.random.default_rng(0)
    pictures, facts = [], []
    for k in range(4):
        who, what, look = person(k), garment(k), random_fashion_scene(rng)
        pictures.append(illustrate_fashion(who, what, look, 128, seed=k).pixels)
        facts.append(fashion_attributes(who, what, look))
    for k in range(4):
        mascot, scene = character(k), random_scene(rng)
        pictures.append(illustrate(mascot, scene, 128, seed=k).pixels)
        facts.append(attributes(mascot, scene))
    pixels = to_tensor(np.stack(pictures))
    tags, faces = eyes.wanted(facts)
    assert faces[:4].tolist() == [-1] * 4
    assert (faces[4:] >= 0).all()
    assert [reward.NAMED[i] for i in range(12) if tags[4, i] >= 0] == list(reward.NAMED[:4])
    still = torch.full((8, 7), 0.5)
    own, numbers = eyes(pixels, tags, faces, still)
    order = torch.tensor([1, 2, 3, 0, 5, 6, 7, 4])
    another, _ = eyes(pixels, tags[order], faces[order], still)
    assert own < another
    assert numbers["right"] > 0.6
