"""Pictures that a model draws within a training step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from onbrand.generation.sample import starting_noise
from onbrand.models.diffusion import DiffusionModel, load_diffusion
from onbrand.models.families.variance import VariancePreserving
from onbrand.models.packs import Pack
from onbrand.training.drawing import LEARNS, NUM_STEPS, draw_x0, learning_steps
from onbrand.training.engine import generator

PROMPTS = ["a fox", "a cat"]


@pytest.fixture
def model(tiny_pack: Pack) -> DiffusionModel:
    return load_diffusion(tiny_pack)


def drawn(model: DiffusionModel, learns: list[int], guidance: float = 3.0) -> Tensor:
    """Clean latents of the prompts, from seeds 1 and 2."""
    told, nothing = model.encode_prompts(PROMPTS), model.encode_prompts(["", ""])
    return draw_x0(
        model,
        lambda x_t, t_b: model.predict(x_t, t_b, told),
        (lambda x_t, t_b: model.predict(x_t, t_b, nothing)) if guidance != 1 else None,
        starting_noise(model, [1, 2], model.num_px),
        guidance=guidance,
        learns=learns,
    )


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_drawing_is_what_diffusers_draws(model: DiffusionModel, guidance: float) -> None:
    """The latents of diffusers' DDIM, with guidance and without, from the same noise."""
    told, nothing = model.encode_prompts(PROMPTS), model.encode_prompts(["", ""])
    theirs = model.pipeline(None, "ddim")(
        latents=starting_noise(model, [1, 2], model.num_px), num_inference_steps=NUM_STEPS,
        height=model.num_px, width=model.num_px, output_type="latent",
        **model.told(told, nothing, guidance, 0.0),
    ).images  # fmt: skip
    assert torch.allclose(drawn(model, [], guidance), theirs, atol=1e-4)


def test_the_steps_that_learn_share_the_gradient(model: DiffusionModel) -> None:
    """No step, no gradient; of two steps it is the sum of either's, for the network's input carries
    none; the first step, which decides the layout, has its part."""
    weight = model.network.conv_out.weight.requires_grad_(True)

    def gradient(*learns: int) -> Tensor:
        return torch.autograd.grad(drawn(model, list(learns)).square().sum(), weight)[0]

    assert not drawn(model, []).requires_grad
    first, third = gradient(0), gradient(2)
    assert first.abs().max() > 0
    both = gradient(0, 2)
    assert torch.allclose(both, first + third, rtol=1e-3, atol=1e-4 * float(both.abs().max()))


def test_some_steps_learn_and_all_do_in_turn() -> None:
    """Two different ones each time, the same for the same chances, none left out for good."""
    chosen = [learning_steps(generator(0, step, -1)) for step in range(40)]
    assert all(len(set(steps)) == LEARNS for steps in chosen)
    assert set().union(*chosen) == set(range(NUM_STEPS))
    assert chosen[3] == learning_steps(generator(0, 3, -1))


def test_a_schedule_alone_knows_what_the_model_does(model: DiffusionModel) -> None:
    """Pretraining has no pack yet: the same numbers from alphas and the kind of prediction."""
    alone = VariancePreserving(model.scheduler.alphas_cumprod, model.prediction_type)
    x0, noise = torch.randn(2, 1, 4, 8, 8, generator=generator(0, 0, 0)).unbind(0)
    t_b = torch.tensor([400])
    noisy = model.add_noise(x0, noise, t_b)
    assert torch.equal(alone.add_noise(x0, noise, t_b), noisy)
    output = model.target(x0, noise, t_b)
    assert torch.allclose(alone.estimate_x0(output, noisy, t_b), x0, atol=1e-5)
    assert alone.num_timesteps == model.num_timesteps
