"""Pictures that the model draws within a training step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from onbrand.generation.sample import starting_noise
from onbrand.models.adapters import attach_lora, lora_parameters
from onbrand.models.diffusion import Conditioning, load_diffusion
from onbrand.models.packs import Pack
from onbrand.recipe import LoraSettings
from onbrand.training.own_pictures import draw_x0


def test_an_own_picture_is_what_diffusers_draws(tiny_pack: Pack) -> None:
    """Drawn to the end: the latents of diffusers' DDIM with guidance, from the same noise."""
    model = load_diffusion(tiny_pack)
    noise = starting_noise(model, [1, 2], model.num_px)
    told, nothing = model.encode_prompts(["a fox", "a cat"]), model.encode_prompts(["", ""])
    with torch.no_grad():
        ours = draw_x0(model, noise, told, nothing, guidance=3.0, last=4, num_steps=5)
    theirs = model.pipeline(None, "ddim")(
        latents=noise, num_inference_steps=5, height=model.num_px, width=model.num_px,
        output_type="latent", **model.told(told, nothing, 3.0, 0.0),
    ).images  # fmt: skip
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_the_gradient_of_an_own_picture_is_that_of_one_step(tiny_pack: Pack) -> None:
    """Two steps on: what the third network pass alone, on the noisy latents it was given, gives."""
    model = load_diffusion(tiny_pack)
    attach_lora(model, LoraSettings(rank=2, alpha=2))
    parameters = list(lora_parameters(model).values())
    noise = starting_noise(model, [1], model.num_px)
    told, nothing = model.encode_prompts(["a fox"]), model.encode_prompts([""])
    passes: list[tuple[Tensor, Tensor]] = []
    predict = model.predict

    def watched(x_t: Tensor, t_b: Tensor, conditioning: Conditioning) -> Tensor:
        passes.append((x_t, t_b))
        return predict(x_t, t_b, conditioning)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "predict", watched)
        clean = draw_x0(model, noise, told, nothing, guidance=3.0, last=2, num_steps=5)
    assert len(passes) == 6  # with and without the prompt
    assert not passes[-1][0].requires_grad
    found = torch.autograd.grad(clean.square().sum(), parameters, allow_unused=True)
    x_t, t_b = passes[-1]
    with torch.no_grad():
        away = predict(x_t, t_b, nothing)
    output = away + 3.0 * (predict(x_t, t_b, told) - away)
    alone = model.estimate_x0(output, x_t, t_b)
    assert torch.allclose(clean, alone, atol=1e-5)
    wanted = torch.autograd.grad(alone.square().sum(), parameters, allow_unused=True)
    moved = [(a, b) for a, b in zip(found, wanted, strict=True) if a is not None and b is not None]
    assert any(bool(a.abs().sum() > 0) for a, _ in moved)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in moved)
