"""The adversarial head: what learns from what it says, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from onbrand.models.adapters import attach_lora, lora_parameters
from onbrand.models.diffusion import DiffusionModel, load_diffusion
from onbrand.models.identity import open_way
from onbrand.models.packs import Pack
from onbrand.recipe import LoraSettings
from onbrand.training.cache import Texts
from onbrand.training.critic import Critic, adversarial, open_critic


def critic_of(model: DiffusionModel) -> tuple[Critic, Tensor, Tensor]:
    """One that has an opinion, and two real and two estimated latents."""
    critic = open_critic(model, Texts(model, frozen=True), seed=0)
    with torch.no_grad():
        critic.layers[-1].weight.normal_()
    side = model.num_px // model.vae_factor
    real = torch.zeros(2, model.num_latent_channels, side, side)
    return critic, real, torch.ones_like(real).requires_grad_(True)


def test_a_critic_and_the_model_do_not_pull_at_each_other(tiny_pack: Pack) -> None:
    """The fooling loss has no gradient for the critic, the critic's none for the estimates."""
    model = load_diffusion(tiny_pack)
    attach_lora(model, LoraSettings(rank=2, alpha=2))
    critic, real, fake = critic_of(model)
    words = model.encode_prompts(["fox", "cat"])
    fooled, judged = adversarial(model, critic, real, fake, words, 1, 0, range(len(real)))
    fooled.backward()
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0
    assert all(p.grad is None for p in critic.parameters())
    fake.grad = None
    judged.backward()
    assert fake.grad is None
    assert all(p.grad is not None for p in critic.parameters())
    assert all(p.grad is None for p in lora_parameters(model).values())
    assert all(p.requires_grad for p in lora_parameters(model).values())


@pytest.mark.parametrize("way", ["text_encoder", "attended", "tokens", "modulation"])
def test_the_critics_eye_does_not_learn(tiny_pack: Pack, way: str) -> None:
    """Nothing that the eye is told (words of a trained encoder, an identity's way) gets a gradient
    from what it sees, and all that learned goes on learning."""
    model = load_diffusion(tiny_pack)
    attach_lora(model, LoraSettings(rank=2, alpha=2, text_encoder=way == "text_encoder"))
    trained = list(lora_parameters(model).values())
    words = model.encode_prompts(["fox", "cat"])
    if way != "text_encoder":
        opened = open_way(model, way, embedding_dim=16, seed=0)
        opened.trainable(True)
        trained += opened.parameters().values()
        words = replace(words, identity=torch.ones(2, 1, 16) / 4)
    with torch.no_grad():
        for parameter in trained:
            parameter.normal_(std=0.3)
    critic, real, fake = critic_of(model)
    fooled, _ = adversarial(model, critic, real, fake, words, 1, 0, range(2))
    fooled.backward()
    assert fake.grad is not None
    assert all(p.grad is None for p in trained)
    assert all(p.requires_grad for p in trained)
