"""scripts/pretrain/reward.py on the pocket pack itself: a base looks at what it draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from onbrand.generation.sample import starting_noise
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
from onbrand.models.diffusion import DiffusionModel, load_diffusion
from onbrand.models.packs import open_pack
from onbrand.training.engine import generator

pytestmark = pytest.mark.usefixtures("pretrain_scripts")

PROMPTS = ["a red fox, waving happily", "a woman, wearing a long blue dress, standing"]


@pytest.fixture(scope="module")
def model() -> DiffusionModel:
    """The pocket pack's base."""
    return load_diffusion(open_pack("pocket"))


def drawn(model: DiffusionModel, learns: list[int], num: int = 2) -> Tensor:
    """Clean latents of the prompts, from seeds 1 and 2."""
    import reward
    import unet

    joint = unet.Joint(model.parts["unet"], model.parts["text_encoder"])
    words = model.encode_prompts([*PROMPTS[:num], ""]).tokens
    empty = words[-1:].expand(num, -1, -1)
    noise = starting_noise(model, list(range(1, num + 1)), model.num_px)
    alphas = unet.schedule().alphas_cumprod
    return reward.draw(joint, noise, words[:-1], empty, alphas, learns)


def test_what_the_base_draws_in_training_is_what_diffusers_draws(model: DiffusionModel) -> None:
    """DDIM with guidance, from the same noise: the rotations are its formula for v."""
    import reward

    theirs = model.pipeline(None, "ddim")(
        latents=starting_noise(model, [1, 2], model.num_px), output_type="latent",
        num_inference_steps=reward.NUM_STEPS, height=model.num_px, width=model.num_px,
        **model.told(model.encode_prompts(PROMPTS), model.encode_prompts(["", ""]), 4.0, 0.0),
    ).images  # fmt: skip
    assert torch.allclose(drawn(model, []), theirs, atol=1e-3)


def test_the_steps_that_learn_share_the_gradient(model: DiffusionModel) -> None:
    """No step, no gradient; of two steps it is the sum of either's, for the network's input carries
    none; the first step, which decides the layout, has its part."""
    weight = model.parts["unet"].conv_out.weight.requires_grad_(True)

    def gradient(*learns: int) -> Tensor:
        return torch.autograd.grad(drawn(model, list(learns), 1).square().sum(), weight)[0]

    try:
        assert not drawn(model, [], 1).requires_grad
        first, third = gradient(0), gradient(2)
        assert first.abs().max() > 0
        assert torch.allclose(gradient(0, 2), first + third, rtol=1e-3, atol=1e-2)
    finally:
        weight.requires_grad_(False)


def test_views_are_near_and_the_middle_one_is_the_picture() -> None:
    """Chances of one half move nothing; a chance of 1 moves by a twentieth of the side."""
    import reward

    pixels = torch.rand((2, 3, 40, 40), generator=generator(0, 0, 0))
    still = reward.moved(pixels, torch.full((2, 3), 0.5))
    assert torch.allclose(still, pixels, atol=1e-5)
    aside = reward.moved(pixels, torch.tensor([[0.5, 1.0, 0.5]] * 2))
    assert torch.allclose(aside[..., :38], pixels[..., 2:], atol=1e-5)


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
