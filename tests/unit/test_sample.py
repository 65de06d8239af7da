"""Sampling: each picture stands alone, and impossible requests are refused before any work."""

from __future__ import annotations

import logging

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from onbrand.errors import ModelError, PromptError
from onbrand.events import Advanced, Event, Finished, Started, Warned
from onbrand.generation import sample
from onbrand.generation.sample import _to_pictures
from onbrand.models.adapters import attach_lora, lora_parameters, without_lora
from onbrand.models.diffusion import DiffusionModel
from onbrand.models.samplers import SAMPLERS
from onbrand.recipe import LoraSettings

PROMPTS = ["a red fox", "a blue cat waving", "a bear at the beach", "a red fox"]
SEEDS = [5, 6, 7, 8]


def array(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


def test_a_picture_does_not_depend_on_its_batch(tiny_model: DiffusionModel) -> None:
    """Batched, alone, reversed: the same picture to one grey level; another seed is another one."""
    together = sample(tiny_model, PROMPTS, seeds=SEEDS, num_steps=4)
    backwards = sample(tiny_model, PROMPTS[::-1], seeds=SEEDS[::-1], num_steps=4, batch_size=3)
    for i, picture in enumerate(together):
        alone = sample(tiny_model, [PROMPTS[i]], seeds=[SEEDS[i]], num_steps=4, batch_size=1)[0]
        assert (picture.mode, picture.size) == ("RGB", (32, 32))
        assert np.abs(array(picture) - array(alone)).max() <= 1
        assert np.abs(array(picture) - array(backwards[-1 - i])).max() <= 1
    assert np.abs(array(together[0]) - array(together[3])).max() > 1


def test_sampling_is_diffusers_own(tiny_model: DiffusionModel) -> None:
    """The picture is what plain StableDiffusionPipeline makes of the same noise and prompts."""
    noise = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(9))
    theirs = tiny_model.pipeline()(
        "a red fox",
        negative_prompt="sad",
        latents=noise,
        num_inference_steps=4,
        guidance_scale=3.0,
        guidance_rescale=0.5,
        output_type="pil",
    ).images[0]
    ours = sample(
        tiny_model,
        ["a red fox"],
        seeds=[9],
        num_steps=4,
        guidance=3.0,
        guidance_rescale=0.5,
        negative_prompt="sad",
    )[0]
    assert np.abs(array(ours) - array(theirs)).max() <= 1


def test_guidance_and_prompts_count(tiny_model: DiffusionModel) -> None:
    """Guidance, the negative prompt and the adapter each change the picture; size can be asked."""
    attach_lora(tiny_model, LoraSettings(rank=2))
    for parameter in lora_parameters(tiny_model).values():
        parameter.data.add_(0.3)

    def make(**settings: object) -> np.ndarray:
        return array(sample(tiny_model, ["a red fox"], seeds=[1], num_steps=3, **settings)[0])

    plain = make()
    assert np.abs(plain - make(guidance=1.0)).max() > 1
    assert np.abs(plain - make(negative_prompt="sad night")).max() > 1
    assert make(size_px=64).shape == (64, 64, 3)
    with without_lora(tiny_model):
        assert np.abs(plain - make()).max() > 1


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_a_named_sampler_is_diffusers_own_on_the_packs_schedule(
    tiny_model: DiffusionModel, name: str
) -> None:
    """The picture is that of diffusers' class of the name, with the pack's schedule, prediction and
    spacing, and another name gives another picture."""
    pipe = tiny_model.pipeline()
    pipe.scheduler = getattr(diffusers, SAMPLERS[name]).from_config(tiny_model.scheduler.config)
    noise = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(9))
    theirs = pipe(
        "a red fox", latents=noise, num_inference_steps=4, guidance_scale=3.0, output_type="pil"
    ).images[0]
    settings = {"seeds": [9], "num_steps": 4, "guidance": 3.0}
    ours = sample(tiny_model, ["a red fox"], sampler=name, **settings)[0]
    assert np.abs(array(ours) - array(theirs)).max() <= 1
    config = tiny_model.sampler(name).config
    assert config.prediction_type == "v_prediction"
    assert config.timestep_spacing == "trailing"
    assert config.rescale_betas_zero_snr
    again = sample(tiny_model, ["a red fox"], sampler=name, **settings)[0]
    assert np.array_equal(array(ours), array(again))
    other = sample(
        tiny_model, ["a red fox"], sampler="dpm" if name != "dpm" else "ddim", **settings
    )
    assert np.abs(array(ours) - array(other[0])).max() > 1


def test_samplers_agree_in_the_limit(tiny_model: DiffusionModel) -> None:
    """All solve one equation: with more steps their pictures come nearer to each other."""

    def apart(num_steps: int) -> float:
        first, *others = (
            array(
                sample(tiny_model, ["a red fox"], seeds=[3], num_steps=num_steps, sampler=name)[0]
            )
            for name in SAMPLERS
        )
        return max(float(np.abs(first - other).mean()) for other in others)

    assert apart(60) < 2
    assert apart(60) < 0.5 * apart(4)


def test_what_it_says_while_it_works(tiny_model: DiffusionModel) -> None:
    """Started, an Advanced per batch and Finished come in order; nothing is logged or printed."""
    events: list[Event] = []
    sample(tiny_model, PROMPTS, seeds=SEEDS, num_steps=2, batch_size=3, emit=events.append)
    assert isinstance(events[0], Started)
    assert events[0].total == 4
    assert [e.done for e in events if isinstance(e, Advanced)] == [3, 4]
    assert isinstance(events[-1], Finished)
    assert sample(tiny_model, [], seeds=[]) == []


def test_a_prompt_that_is_too_long_warns(
    tiny_model: DiffusionModel, caplog: pytest.LogCaptureFixture
) -> None:
    """The part that the text encoder never reads is told once, as an event."""
    events: list[Event] = []
    long = "a red fox " * 8
    with caplog.at_level(logging.WARNING):
        sample(tiny_model, [long, long], seeds=[1, 2], num_steps=1, emit=events.append)
    warnings = [e.message for e in events if isinstance(e, Warned)]
    assert len(warnings) == 1
    assert warnings[0] == f'"{long}" is too long: its end is not read, from "red" on'


def test_a_negative_prompt_without_guidance_warns(tiny_model: DiffusionModel) -> None:
    """It is led away from by guidance alone; without it, nothing is promised in silence."""
    for guidance, told in ((1.0, 1), (4.0, 0)):
        events: list[Event] = []
        sample(
            tiny_model, ["a red fox"], seeds=[1], num_steps=1, guidance=guidance,
            negative_prompt="night", emit=events.append,
        )  # fmt: skip
        warned = [e.message for e in events if isinstance(e, Warned)]
        assert len(warned) == told
        assert all('"night" is ignored' in message for message in warned)


def test_training_mode_survives_a_preview(tiny_model: DiffusionModel) -> None:
    """Dropout is off while sampling, so previews repeat, and the mode is put back after."""
    attach_lora(tiny_model, LoraSettings(rank=2, dropout=0.5))
    for parameter in lora_parameters(tiny_model).values():
        parameter.data.add_(0.3)
    tiny_model.network.train()
    one, two = (sample(tiny_model, PROMPTS[:1], seeds=[1], num_steps=2)[0] for _ in range(2))
    assert np.array_equal(array(one), array(two))
    assert tiny_model.network.training
    assert not tiny_model.vae.training
    assert all(p.requires_grad for p in lora_parameters(tiny_model).values())


@pytest.mark.parametrize(
    ("prompts", "settings", "said"),
    [
        (["a fox"], {"seeds": [1, 2]}, "1 prompts but 2 seeds"),
        (["a fox", "  "], {"seeds": [1, 2]}, "a prompt is empty"),
        (["a fox"], {"seeds": [1], "num_steps": 0}, "num_steps is 0"),
        (["a fox"], {"seeds": [1], "num_steps": 1001}, "num_steps is 1001"),
        (["a fox"], {"seeds": [1], "batch_size": 0}, "batch_size is 0"),
        (["a fox"], {"seeds": [1], "size_px": 40}, "multiples of 16 px"),
        (["a fox"], {"seeds": [-1]}, "a seed is -1"),
        (["a fox"], {"seeds": [1], "sampler": "ddmi"}, "no sampler 'ddmi': did you mean 'ddim'"),
    ],
)
def test_impossible_requests_are_refused(
    tiny_model: DiffusionModel, prompts: list[str], settings: dict[str, object], said: str
) -> None:
    """Each impossible setting is named with its value."""
    with pytest.raises(PromptError, match=said):
        sample(tiny_model, prompts, **settings)


def test_nought_is_a_seed(tiny_model: DiffusionModel) -> None:
    """The first whole number of all, and another than the next."""
    nought, one = sample(tiny_model, ["a fox"] * 2, seeds=[0, 1], num_steps=1)
    assert not np.array_equal(array(nought), array(one))


def test_a_diverged_model_is_an_error_not_a_black_picture(tiny_model: DiffusionModel) -> None:
    """NaN from the model raises ModelError that names the prompt."""
    tiny_model.network.conv_out.bias.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="a red fox"):
        sample(tiny_model, ["a red fox"], seeds=[1], num_steps=1)


def test_grey_levels_are_rounded_and_clipped() -> None:
    """100.6 is 101; what lies outside [-1, 1] is black or white."""
    row = torch.tensor([100.6 / 127.5 - 1, 1.5, -1.5]).reshape(1, 3, 1, 1)
    assert _to_pictures(row, ["a"])[0].getpixel((0, 0)) == (101, 255, 0)
