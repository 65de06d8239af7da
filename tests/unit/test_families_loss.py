"""Each family's plain loss is that of diffusers' LoRA example, on modules that diffusers loads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler, FluxPipeline
from diffusers.training_utils import compute_loss_weighting_for_sd3
from tiny_families import drawn, plain

from onbrand.models import Pack
from onbrand.models.diffusion import DiffusionModel, load_diffusion
from onbrand.models.families.flux import TRAINING_GUIDANCE
from onbrand.training.losses import reconstruction

Opener = Callable[[str], Pack]
PROMPTS = ["a red fox", "a blue cat waving at the beach at night"]
TIMESTEPS = torch.tensor([30, 870])


@torch.no_grad()
def our_errors(model: DiffusionModel, x0: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Each sample's plain error, as the stages compute it."""
    x_t = model.add_noise(x0, noise, TIMESTEPS)
    output = model.predict(x_t, TIMESTEPS, model.encode_prompts(PROMPTS))
    return reconstruction(output, model.target(x0, noise, TIMESTEPS), torch.ones(2))


@torch.no_grad()
def unet_loss(pipe: Any, x0: torch.Tensor, noise: torch.Tensor, told: dict[str, Any]) -> float:
    """train_dreambooth_lora(_sdxl).py: DDPM noise, the U-Net's answer, its mean squared error."""
    scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    noisy = scheduler.add_noise(x0, noise, TIMESTEPS)
    wanted = noise
    if scheduler.config.prediction_type == "v_prediction":
        wanted = scheduler.get_velocity(x0, noise, TIMESTEPS)
    answer = pipe.unet(noisy, TIMESTEPS, **told, return_dict=False)[0]
    return float(torch.nn.functional.mse_loss(answer, wanted))


@pytest.mark.parametrize("base", ["sd15", "tiny"])
def test_sd15s_loss_is_the_examples(family_pack: Opener, tiny_pack: Pack, base: str) -> None:
    """Noise prediction (sd15) and v-prediction with zero terminal SNR (tiny), to 1e-6."""
    pack = tiny_pack if base == "tiny" else family_pack(base)
    model, pipe = load_diffusion(pack), plain(pack)
    x0, noise = drawn(model, 0), drawn(model, 1)
    words, _ = pipe.encode_prompt(PROMPTS, "cpu", 1, False)
    theirs = unet_loss(pipe, x0, noise, {"encoder_hidden_states": words})
    assert model.prediction_type == ("v_prediction" if base == "tiny" else "epsilon")
    assert float(our_errors(model, x0, noise).mean()) == pytest.approx(theirs, abs=1e-6)


def test_sdxls_loss_is_the_examples(family_pack: Opener) -> None:
    """Two encoders' states, the pooled one, and time ids (size, crop, target), to 1e-6."""
    pack = family_pack("sdxl")
    model, pipe = load_diffusion(pack), plain(pack)
    x0, noise = drawn(model, 0), drawn(model, 1)
    words, _, pooled, _ = pipe.encode_prompt(
        PROMPTS, device="cpu", do_classifier_free_guidance=False
    )
    times = torch.tensor([[32, 32, 0, 0, 32, 32]]).repeat(2, 1)
    more = {"time_ids": times, "text_embeds": pooled}
    told = {"encoder_hidden_states": words, "added_cond_kwargs": more}
    theirs = unet_loss(pipe, x0, noise, told)
    assert float(our_errors(model, x0, noise).mean()) == pytest.approx(theirs, abs=1e-6)
    elsewhere = unet_loss(
        pipe, x0, noise, {**told, "added_cond_kwargs": more | {"time_ids": 2 * times}}
    )
    assert abs(elsewhere - theirs) > 1e-6, "the time ids count"


def looked_up(pipe: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The examples' clock: entries of the schedule, largest noise first, and their sigmas."""
    indices = 999 - TIMESTEPS
    times = pipe.scheduler.timesteps[indices]
    places = [(pipe.scheduler.timesteps == t).nonzero().item() for t in times]
    return times, pipe.scheduler.sigmas[places].reshape(-1, 1, 1, 1)


@torch.no_grad()
def test_sd3s_loss_is_the_examples(family_pack: Opener) -> None:
    """The velocity's error on the schedule's shifted sigmas without weighting, to 1e-6; with
    `precondition_outputs`, that of x0, which is σ² times ours."""
    pack = family_pack("sd3")
    model, pipe = load_diffusion(pack), plain(pack)
    x0, noise = drawn(model, 0), drawn(model, 1)
    words, _, pooled, _ = pipe.encode_prompt(
        PROMPTS, None, None, device="cpu", do_classifier_free_guidance=False, max_sequence_length=16
    )
    times, sigmas = looked_up(pipe)
    noisy = (1.0 - sigmas) * x0 + sigmas * noise
    answer = pipe.transformer(
        hidden_states=noisy, timestep=times, encoder_hidden_states=words,
        pooled_projections=pooled, return_dict=False,
    )[0]  # fmt: skip
    weight = compute_loss_weighting_for_sd3("none", sigmas)
    theirs = (weight * (answer - (noise - x0)) ** 2).flatten(1).mean(1)
    ours = our_errors(model, x0, noise)
    assert float(ours.mean()) == pytest.approx(float(theirs.mean()), abs=1e-6)
    conditioned = (weight * (answer * -sigmas + noisy - x0) ** 2).flatten(1).mean(1)
    torch.testing.assert_close(ours * sigmas.flatten() ** 2, conditioned, atol=1e-6, rtol=0)


@torch.no_grad()
def test_fluxs_loss_is_the_examples(family_pack: Opener) -> None:
    """Packed latents, position ids and the guidance embedding, to 1e-6."""
    pack = family_pack("flux")
    model, pipe = load_diffusion(pack), plain(pack)
    x0, noise = drawn(model, 0), drawn(model, 1)
    words, pooled, word_ids = pipe.encode_prompt(
        PROMPTS, None, device="cpu", max_sequence_length=16
    )
    times, sigmas = looked_up(pipe)
    noisy = (1.0 - sigmas) * x0 + sigmas * noise
    weight = compute_loss_weighting_for_sd3("none", sigmas)

    def theirs(guidance: float) -> float:
        answer = pipe.transformer(
            hidden_states=FluxPipeline._pack_latents(noisy, 2, 16, 4, 4),
            timestep=times / 1000,
            guidance=torch.tensor([guidance]).expand(2),
            pooled_projections=pooled,
            encoder_hidden_states=words,
            txt_ids=word_ids,
            img_ids=FluxPipeline._prepare_latent_image_ids(2, 2, 2, "cpu", torch.float32),
            return_dict=False,
        )[0]
        answer = FluxPipeline._unpack_latents(answer, height=32, width=32, vae_scale_factor=8)
        return float((weight * (answer - (noise - x0)) ** 2).flatten(1).mean(1).mean())

    ours = float(our_errors(model, x0, noise).mean())
    assert ours == pytest.approx(theirs(TRAINING_GUIDANCE), abs=1e-6)
    assert abs(ours - theirs(3.5)) > 1e-6, "the guidance that the network is told counts"
