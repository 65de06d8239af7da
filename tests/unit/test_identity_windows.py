"""Several identities side by side, on a tiny model of the real classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from onbrand.errors import PromptError
from onbrand.generation import sample
from onbrand.models.diffusion import DiffusionModel, load_diffusion
from onbrand.models.identity import open_way
from onbrand.models.identity.windows import _weights, canvas_px, side_by_side
from onbrand.models.packs import Pack

DIM = 16


def people(*seeds: int) -> Tensor:
    rows = [torch.randn(DIM, generator=torch.Generator().manual_seed(s)) for s in seeds]
    return torch.nn.functional.normalize(torch.stack(rows), dim=-1)


@pytest.fixture
def model(tiny_pack: Pack) -> DiffusionModel:
    return followed_by(tiny_pack)


def followed_by(pack: Pack) -> DiffusionModel:
    """With an attended way as if it had learned something."""
    model = load_diffusion(pack)
    way = open_way(model, "attended", embedding_dim=DIM, seed=3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in way.parameters().values():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def show(model: DiffusionModel, *seeds: int) -> None:
    assert model.way is not None
    model.way.show(people(*seeds))


def predicted(model: DiffusionModel, x_bchw: Tensor, words: str, who_nd: Tensor) -> Tensor:
    """The network's answer as the pipeline asks for it, a negative prompt's row first."""
    with torch.no_grad():
        told = model.encode_prompts(["", words]).tokens
        more = {"image_embeds": [torch.stack([torch.zeros_like(who_nd), who_nd])]}
        answer: Tensor = model.network(
            x_bchw, 500, encoder_hidden_states=told, added_cond_kwargs=more, return_dict=False
        )[0]
    return answer


def test_a_window_is_what_the_network_says_of_it_alone(model: DiffusionModel) -> None:
    """Left and right of the overlap the prediction is that of a square picture with its own
    identity and words; within it, a mixture; and the network is as before afterwards."""
    before = model.network.forward
    show(model, 1, 2)
    side = model.num_px // model.vae_factor
    width = canvas_px(model, model.num_px) // model.vae_factor
    shared = 2 * side - width
    shape = (2, model.num_latent_channels, side, width)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        told = [model.encode_prompts([words]) for words in ("a fox waving", "a cat")]
    with side_by_side(model, model.num_px, told):
        whole = predicted(model, x, "a fox waving", people(1, 2))
    left = predicted(model, x[..., :side], "a fox waving", people(1))
    right = predicted(model, x[..., -side:], "a cat", people(2))
    cut = side - shared
    torch.testing.assert_close(whole[..., :cut], left[..., :cut])
    torch.testing.assert_close(whole[..., side:], right[..., shared:])
    between = whole[..., cut:side]
    low = torch.minimum(left[..., cut:], right[..., :shared])
    high = torch.maximum(left[..., cut:], right[..., :shared])
    assert bool(((between >= low - 1e-5) & (between <= high + 1e-5)).all())
    assert model.network.forward == before


def test_windows_share_alike() -> None:
    """Every column counts once in all, whatever the number of windows."""
    for num in (2, 3, 5):
        torch.testing.assert_close(_weights(num, 8, 2).sum(0), torch.ones(num * 8 - (num - 1) * 2))


def test_pictures_are_wide_and_each_stands_in_its_place(model: DiffusionModel) -> None:
    """Two people make a wide picture, three a wider one, one a square; another person at the right
    moves the right third most, another at the left the left one."""

    def drawn(*seeds: int) -> np.ndarray:
        show(model, *seeds)
        return np.asarray(sample(model, ["a fox"], seeds=[1], num_steps=1)[0], int)

    side, two = model.num_px, drawn(1, 2)
    assert two.shape[0] == side
    assert side < two.shape[1] < 2 * side
    assert drawn(1, 2, 3).shape[1] > two.shape[1]
    assert drawn(1).shape[1] == side
    third = two.shape[1] // 3
    by_right, by_left = (np.abs(two - drawn(*other)).mean((0, 2)) for other in ((1, 3), (3, 2)))
    assert by_right[-third:].mean() > by_right[:third].mean()
    assert by_left[:third].mean() > by_left[-third:].mean()


def test_sdxl_is_told_the_windows_size(family_pack: Callable[[str], Pack]) -> None:
    """Its time ids say the size of what the network looks at, not of the canvas."""
    model = followed_by(family_pack("sdxl"))
    show(model, 1, 2)
    seen, inner = [], model.network.forward

    def recorder(*given: Any, **named: Any) -> Any:
        seen.append(named["added_cond_kwargs"]["time_ids"][0].tolist())
        return inner(*given, **named)

    model.network.forward = recorder
    sample(model, ["a fox"], seeds=[1], num_steps=1)
    side = model.num_px
    assert len(seen) >= 2
    assert {tuple(ids) for ids in seen} == {(side, side, 0, 0, side, side)}


def test_windows_and_drawings_do_not_go_together(model: DiffusionModel) -> None:
    """A ControlNet reads one square drawing, not a window of it."""
    show(model, 1, 2)
    drawing = sample(model, ["a fox"], seeds=[1], num_steps=1)
    with pytest.raises(PromptError, match="a mask each"):
        sample(model, ["a fox"], seeds=[1], num_steps=1, controlnet=object(), drawings=drawing)


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_each_window_has_words_of_its_own(name: str, family_pack: Callable[[str], Pack]) -> None:
    """Other words for the second of two change the picture; the same ones are as none; as many are
    needed as there are prompts."""
    model = followed_by(family_pack(name))

    def drawn(**more: Any) -> np.ndarray:
        return np.asarray(sample(model, ["a fox"], seeds=[1], num_steps=1, **more)[0], int)

    show(model, 1, 2)
    alike = drawn()
    assert np.array_equal(alike, drawn(beside=[["a fox"]]))
    assert not np.array_equal(alike, drawn(beside=[["a cat waving"]]))
    with pytest.raises(PromptError, match="each needs 1 prompts"):
        drawn(beside=[["a cat", "a dog"]])
    show(model, 1)
    with pytest.raises(PromptError, match="0 identities stand beside"):
        drawn(beside=[["a cat"]])
