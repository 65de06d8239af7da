"""The three ways of an identity into a network, on tiny models of the real classes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_ways import DIM, WAYS, somebody, stirred
from torch import Tensor

from onbrand.errors import InputError, PackError, WeightsError
from onbrand.generation import sample
from onbrand.models.adapters import attach_lora, lora_parameters, save_lora
from onbrand.models.diffusion import DiffusionModel, load_diffusion
from onbrand.models.identity import (
    IDENTITY_FILE,
    check_followed,
    detach_identity,
    load_adapter,
    load_way,
    open_way,
    save_way,
)
from onbrand.models.load_test import check_export
from onbrand.models.packs import Pack, open_pack
from onbrand.recipe import LoraSettings


def predicted(model: DiffusionModel, who_bd: Tensor | None) -> Tensor:
    side = model.num_px // model.vae_factor
    shape = (2, model.num_latent_channels, side, side)
    x_t = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    told = model.encode_prompts(["a fox waving", "a cat"])
    if who_bd is not None:
        told = replace(told, identity=who_bd[:, None])
    with torch.no_grad():
        return model.predict(x_t, torch.tensor([10, 700]), told)


@pytest.fixture
def model(tiny_pack: Pack) -> DiffusionModel:
    return load_diffusion(tiny_pack)


@pytest.mark.parametrize("name", WAYS)
def test_an_identity_changes_what_is_predicted_and_leaves_no_trace(
    name: str, model: DiffusionModel
) -> None:
    """Two people give two outputs, nobody a third; taken off, the base is as it was to the bit."""
    before = predicted(model, None)
    stirred(model, name)
    one, two = (predicted(model, torch.stack([somebody(k)] * 2)) for k in (1, 2))
    nobody = predicted(model, None)
    assert (one - two).abs().max() > 1e-4
    assert (one - nobody).abs().max() > 1e-4
    assert torch.equal(nobody, predicted(model, torch.zeros(2, DIM)))
    detach_identity(model)
    assert torch.equal(predicted(model, None), before)


@pytest.mark.parametrize("name", WAYS)
def test_rows_are_told_their_own_identity(name: str, model: DiffusionModel) -> None:
    """In a batch of two people each row is what it would be alone."""
    stirred(model, name)
    both = predicted(model, torch.stack([somebody(1), somebody(2)]))
    first = predicted(model, torch.stack([somebody(1)] * 2))
    torch.testing.assert_close(both[:1], first[:1], atol=1e-5, rtol=1e-4)
    assert (both[1:] - first[1:]).abs().max() > 1e-4


@pytest.mark.parametrize("name", WAYS)
def test_sampling_shows_whom_it_is_told_to_show(name: str, model: DiffusionModel) -> None:
    """show() changes pictures with the same prompt and seed; show(None) is nobody."""

    def shown(who: Tensor | None) -> np.ndarray:
        assert model.way is not None
        model.way.show(None if who is None else who[None])
        return np.asarray(sample(model, ["a fox"], seeds=[1], num_steps=3)[0], int)

    stirred(model, name)
    one, two, nobody = shown(somebody(1)), shown(somebody(2)), shown(None)
    assert np.abs(one - two).max() > 0
    assert np.abs(one - nobody).max() > 0
    assert np.array_equal(one, shown(somebody(1)))


def test_plain_diffusers_reads_the_attended_file(
    model: DiffusionModel, tiny_pack: Pack, tmp_path: Path
) -> None:
    """IP-Adapter's file in a plain pipeline gives our picture; it works beside a LoRA."""
    attach_lora(model, LoraSettings(rank=2, alpha=2), seed=1)
    stirred(model, "attended")
    assert model.way is not None
    model.way.show(somebody(1)[None])
    save_way(model, tmp_path, {})
    with torch.no_grad():  # what the file rounded to fp16
        for parameter in model.way.parameters().values():
            parameter.copy_(parameter.half().float())
    ours = np.asarray(sample(model, ["a fox"], seeds=[5], num_steps=3, guidance=3.0)[0], int)

    plain = load_diffusion(tiny_pack).pipeline()
    plain.load_ip_adapter(
        str(tmp_path), subfolder="", weight_name=IDENTITY_FILE, image_encoder_folder=None
    )
    who = somebody(1)
    made = plain(
        "a fox",
        ip_adapter_image_embeds=[torch.stack([torch.zeros_like(who), who])[:, None]],
        num_inference_steps=3,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(5),
    ).images[0]
    assert np.abs(np.asarray(made, int) - ours).max() <= 1


def test_the_load_test_reads_the_attended_file_too(
    model: DiffusionModel, tiny_pack: Pack, tmp_path: Path
) -> None:
    """What IP-Adapter's file gives in plain diffusers is our way; another's file is caught."""
    attach_lora(model, LoraSettings(rank=2, alpha=2), seed=1)
    stirred(model, "attended")
    assert model.way is not None
    model.way.show(somebody(1)[None])
    save_lora(model, tmp_path, {})
    save_way(model, tmp_path, {})
    plain = load_diffusion(tiny_pack)
    told = check_export(tmp_path, plain)
    assert IDENTITY_FILE in told
    assert plain.way is None
    wrong = {name: tensor * 1.5 for name, tensor in load_file(tmp_path / IDENTITY_FILE).items()}
    save_file(wrong, tmp_path / IDENTITY_FILE)
    with pytest.raises(WeightsError, match=rf"{IDENTITY_FILE} does not give what was trained"):
        check_export(tmp_path, load_diffusion(tiny_pack))


@pytest.mark.parametrize("name", WAYS)
def test_a_way_comes_back_from_its_file(
    name: str, model: DiffusionModel, tiny_pack: Pack, tmp_path: Path
) -> None:
    """Weights and whom it shows are kept; another base refuses the file and names both."""
    stirred(model, name)
    assert model.way is not None
    model.way.show(somebody(4)[None])
    save_way(model, tmp_path, {"stage": "detail"})
    again = load_diffusion(tiny_pack)
    way = load_way(again, tmp_path)
    assert way is not None
    assert way.who_nd is not None
    assert torch.equal(way.who_nd[0], somebody(4))
    assert torch.equal(
        predicted(again, somebody(4).expand(2, -1)), predicted(model, somebody(4).expand(2, -1))
    )
    assert load_way(again, tmp_path / "nothing") is None
    other = load_diffusion(replace(tiny_pack, name="other"))
    object.__setattr__(other.pack, "fingerprint", "another")
    with pytest.raises(WeightsError, match=r"another base.*'other'"):
        load_way(other, tmp_path)


def test_an_identity_stays_in_its_region(model: DiffusionModel) -> None:
    """A second identity whose mask is empty says nothing; one mask for two is refused."""
    stirred(model, "attended")
    way = model.way
    assert way is not None
    left = torch.zeros(2, model.num_px, model.num_px)
    left[0] = 1.0

    def shown(second: int) -> np.ndarray:
        way.show(torch.stack([somebody(1), somebody(second)]), masks_nhw=left)
        return np.asarray(sample(model, ["a fox and a cat"], seeds=[1], num_steps=2)[0], int)

    assert np.array_equal(shown(2), shown(3))
    left[1] = 1.0
    assert not np.array_equal(shown(2), shown(3))
    with pytest.raises(InputError, match="a region each"):
        way.show(torch.stack([somebody(1), somebody(2)]), masks_nhw=left[:1])
    stirred(model, "tokens")
    assert model.way is not None
    with pytest.raises(InputError, match="knows no regions"):
        model.way.show(torch.stack([somebody(1), somebody(2)]), masks_nhw=left)


def test_strength_nought_is_nobody_for_ways_that_add(model: DiffusionModel) -> None:
    """At strength 0 the attended way leaves the base's own picture."""
    plain = np.asarray(sample(model, ["a fox"], seeds=[1], num_steps=2)[0], int)
    stirred(model, "attended")
    assert model.way is not None
    model.way.show(somebody(1)[None], strength=0.0)
    shown = np.asarray(sample(model, ["a fox"], seeds=[1], num_steps=2)[0], int)
    assert np.abs(shown - plain).max() <= 1


def test_strength_is_a_sampling_calls_alone(model: DiffusionModel) -> None:
    """Pictures shown at half strength, or in regions, leave what is learned from as it was."""
    stirred(model, "attended")
    way = model.way
    assert way is not None
    before = predicted(model, torch.stack([somebody(1)] * 2))
    way.show(somebody(1)[None], strength=0.5)
    sample(model, ["a fox"], seeds=[1], num_steps=1)
    assert torch.equal(predicted(model, torch.stack([somebody(1)] * 2)), before)
    masks = torch.ones(2, model.num_px, model.num_px)
    way.show(torch.stack([somebody(1), somebody(2)]), masks_nhw=masks, strength=0.5)
    sample(model, ["a fox"], seeds=[1], num_steps=1)
    assert torch.equal(predicted(model, torch.stack([somebody(1)] * 2)), before)


def test_an_adapter_of_another_encoder_is_refused(
    following_pack_folder: Path, tmp_path: Path
) -> None:
    """Before anything is loaded and when it is loaded; one that names no encoder is taken."""
    pack = open_pack(following_pack_folder)
    check_followed(pack, None, apart=True)
    load_adapter(load_diffusion(pack), pack)
    other = replace(pack, roles={**pack.roles, "identity": pack.role("twin_identity")})
    said = rf"{IDENTITY_FILE} was told by another identity encoder"
    with pytest.raises(WeightsError, match=said):
        check_followed(other, None, apart=True)
    with pytest.raises(WeightsError, match=said):
        load_adapter(load_diffusion(other), other)
    silent = shutil.copytree(pack.role("identity_adapter"), tmp_path / "silent")
    save_file(load_file(silent / IDENTITY_FILE), silent / IDENTITY_FILE)
    older = replace(other, roles={**other.roles, "identity_adapter": silent})
    check_followed(older, None, apart=True)
    load_adapter(load_diffusion(older), older)


def test_lora_parameters_do_not_mix_with_the_adapter(model: DiffusionModel) -> None:
    """An identity adapter on a model with LoRA leaves the LoRA's parameters and names alone."""
    attach_lora(model, LoraSettings(rank=2, alpha=2, targets="all"), seed=1)
    before = sorted(lora_parameters(model))
    stirred(model, "attended")
    assert sorted(lora_parameters(model)) == before


def test_bad_ways_are_refused(model: DiffusionModel, tiny_pack: Pack) -> None:
    """An unknown name, a pack without an adapter, an identity of another encoder."""
    with pytest.raises(InputError, match="attended, tokens, modulation"):
        open_way(model, "magic", embedding_dim=DIM)
    with pytest.raises(PackError, match="no identity adapter"):
        load_adapter(model, tiny_pack)
    way = open_way(model, "tokens", embedding_dim=DIM)
    with pytest.raises(InputError, match="another encoder"):
        way.show(torch.zeros(1, DIM + 1))


@pytest.mark.parametrize("name", WAYS)
def test_a_way_on_a_half_precision_base_is_float32(tiny_pack: Pack, name: str) -> None:
    """What learns is float32, the LoRA beneath it too, and the base is not; it draws nearly what it
    draws on the float32 base."""
    made = []
    for dtype in ("float32", "bfloat16"):
        model = load_diffusion(tiny_pack, dtype=dtype)
        attach_lora(model, LoraSettings(rank=2))
        stirred(model, name)
        assert model.way is not None
        learning = [*lora_parameters(model).values(), *model.way.parameters().values()]
        assert {parameter.dtype for parameter in learning} == {torch.float32}
        assert model.network.conv_in.weight.dtype == getattr(torch, dtype)
        answer = predicted(model, torch.stack([somebody(1), somebody(2)]))
        assert bool(answer.isfinite().all())
        model.way.show(somebody(1)[None])
        made.append(np.asarray(sample(model, ["a fox"], seeds=[1], num_steps=2)[0], int))
    assert np.abs(made[0] - made[1]).mean() < 3
