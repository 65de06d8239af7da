"""Whom a prompt is told, and whom not: own identities, negative prompts, a way that is off."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_ways import DIM, WAYS, somebody, stirred
from torch import Tensor

from onbrand.errors import InputError
from onbrand.models.diffusion import DiffusionModel, load_diffusion
from onbrand.models.families.conditioning import Conditioning
from onbrand.models.identity import detach_identity, open_way
from onbrand.models.packs import Pack


@pytest.fixture
def model(tiny_pack: Pack) -> DiffusionModel:
    return load_diffusion(tiny_pack)


def told(model: DiffusionModel) -> tuple[Conditioning, Conditioning]:
    """A prompt and a negative prompt, of which neither has an identity."""
    both = model.encode_prompts(["a fox waving", "night"])
    return both[0:1], both[1:2]


def answer(model: DiffusionModel) -> Tensor:
    """What the network says of noise with the base's own words alone."""
    side = model.num_px // model.vae_factor
    shape = (1, model.num_latent_channels, side, side)
    x_t = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model.predict(x_t, torch.tensor([300]), told(model)[0])


@pytest.mark.parametrize("name", WAYS)
def test_a_way_that_showed_somebody_is_off_again(name: str, model: DiffusionModel) -> None:
    """Nothing of the last one that it showed is left in the network."""
    before = answer(model)
    way = stirred(model, name)
    positive, negative = told(model)
    way.show(somebody(1)[None])
    way.reach_pipeline(positive, negative, guided=False)
    detach_identity(model)
    assert torch.equal(answer(model), before)


@pytest.mark.parametrize("name", WAYS)
def test_an_identity_of_its_own_comes_before_the_one_that_is_shown(
    name: str, model: DiffusionModel
) -> None:
    """A row that brings somebody shows them, and its negative prompt nobody."""
    way = stirred(model, name)
    positive, negative = told(model)
    way.show(somebody(1)[None])
    shown, nobody = way.pair(positive, negative)
    assert torch.equal(shown[0, 0], somebody(1))
    own = replace(positive, identity=somebody(2)[None, None])
    shown, nobody = way.pair(own, replace(negative, identity=somebody(3)[None, None]))
    assert torch.equal(shown[0, 0], somebody(2))
    assert not nobody.any()


def test_negative_prompts_are_told_nobody_by_words(model: DiffusionModel) -> None:
    """Their tokens are those of a way that shows nobody; the prompt's are those of whom it shows,
    as strongly as was asked."""
    way = stirred(model, "tokens")
    positive, negative = told(model)
    _, alone, _ = way.reach_pipeline(positive, negative, guided=True)
    said = {}
    for strength in (1.0, 0.5):
        way.show(somebody(1)[None], strength=strength)
        with torch.no_grad():
            shown, nobody, _ = way.reach_pipeline(positive, negative, guided=True)
        said[strength] = shown.tokens[:, -4:]
    torch.testing.assert_close(said[0.5], said[1.0] / 2)
    way.show(somebody(1)[None])
    _, nobody, _ = way.reach_pipeline(positive, negative, guided=True)
    assert torch.equal(nobody.tokens, alone.tokens)


def test_modulation_shifts_as_strongly_as_is_asked(model: DiffusionModel) -> None:
    """Half as strong is half the shift, nought none; of two rows each is told its own."""
    way = stirred(model, "modulation")
    positive, negative = told(model)
    shifts = {}
    hidden = torch.zeros(2, model.network.time_embedding.linear_1.in_features)
    for strength in (1.0, 0.5, 0.0):
        way.show(somebody(1)[None], strength=strength)
        way.reach_pipeline(positive, negative, guided=True)
        with torch.no_grad():
            embedded = model.network.time_embedding(hidden)
            alone = model.network.time_embedding(hidden[:1])  # no row of the two: as without a way
        torch.testing.assert_close(embedded[:1], alone)
        shifts[strength] = embedded[1] - embedded[0]
    assert not shifts[0.0].any()
    assert shifts[1.0].abs().max() > 1e-3
    torch.testing.assert_close(shifts[0.5], shifts[1.0] / 2, atol=1e-6, rtol=1e-4)


def test_each_identity_needs_a_region(model: DiffusionModel) -> None:
    """One too many is as wrong as one too few: who would stand in it?"""
    way = stirred(model, "attended")
    two = torch.stack([somebody(1), somebody(2)])
    for num in (1, 3):
        with pytest.raises(InputError, match=f"there are {num}: they mix"):
            way.show(two, masks_nhw=torch.ones(num, model.num_px, model.num_px))


@pytest.mark.parametrize("name", WAYS)
def test_a_way_begins_as_its_seed_says(name: str, model: DiffusionModel) -> None:
    """The same one twice, another with another seed."""
    one, again, other = (
        {k: p.detach().clone() for k, p in
         open_way(model, name, embedding_dim=DIM, seed=seed).parameters().items()}
        for seed in (1, 1, 2)
    )  # fmt: skip
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)
