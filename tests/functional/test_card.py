"""Training and drawing on a graphics card, as far as one can be pretended: everything that meets
lies in one place, and the numbers are the processor's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from brand_folder import tiny_brief, tiny_dataset, tiny_recipe
from PIL import Image
from pretend_card import PretendCard, sent

from onbrand import training
from onbrand.artifacts.brand_model import BrandModel
from onbrand.errors import InputError
from onbrand.generation import sample
from onbrand.models.control import load_controlnet
from onbrand.models.device import chosen_device
from onbrand.models.diffusion import load_diffusion
from onbrand.models.identity import load_adapter
from onbrand.models.packs import Pack, open_pack
from onbrand.models.perception import load_identity
from onbrand.recipe import OWN_LOSSES, SEEN_LOSSES, Recipe

EVERYTHING = {**dict.fromkeys((*SEEN_LOSSES, *OWN_LOSSES), 0.1), "prior": 1.0, "weights": 0.01,
              "adversarial": {"weight": 0.1, "from_fraction": 0.0}}  # fmt: skip


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch finds a card."""
    monkeypatch.setenv("ONBRAND_DEVICE", "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


def score(pictures: Sequence[Image.Image], texts: Sequence[str], /) -> dict[str, float]:
    return {"identity": 0.5}


def every_loss() -> Recipe:
    stage = {"batch_size": 2, "learning_rate": 1e-2, "loss_max_timestep": 1000, "num_steps": 2,
             "head_weight": 3.0}  # fmt: skip
    return tiny_recipe(
        stage=[
            {"kind": "appearance", **stage},
            {"kind": "expression", "losses": EVERYTHING, **stage},
        ],
        lora={"rank": 2, "alpha": 2, "text_encoder": True},
        identity={"mode": "tokens"},
    )


def trained(pack: Pack, root: Path) -> BrandModel:
    return training.train(
        tiny_dataset(root / "data"), tiny_brief(), every_loss(), pack, root / "model",
        sample=sample, score=score,
    )  # fmt: skip


def test_a_run_with_every_loss_keeps_to_the_card(
    tiny_pack: Pack, tmp_path: Path, card: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stages, all losses, an identity, exports: nothing mixes the card's tensors with the
    processor's, and the losses are those of a run on the processor."""
    with PretendCard():
        there = trained(tiny_pack, tmp_path / "card")
    monkeypatch.delenv("ONBRAND_DEVICE")
    here = trained(tiny_pack, tmp_path / "cpu")
    curves = [training.loss_curves(model.root) for model in (there, here)]
    for name, lines in curves[1].items():
        assert [line["loss"] for line in curves[0][name]] == pytest.approx(
            [line["loss"] for line in lines], rel=1e-5
        )


def test_pictures_are_drawn_on_the_card(
    guided_pack: Pack, following_pack_folder: Path, card: None
) -> None:
    """The base lies there, its ControlNet and the way of an identity, too; what is drawn comes
    back, the same as on the processor."""
    edges = [Image.new("RGB", (32, 32), "white")]

    def drawn(device: str | None) -> list[bytes]:
        net = load_controlnet(guided_pack, device=device)
        model = load_diffusion(guided_pack, device=device)
        made = sample(model, ["a fox"], seeds=[1], num_steps=2, controlnet=net, drawings=edges)
        pack = open_pack(following_pack_folder)
        model = load_diffusion(pack, device=device)
        assert sent(next(model.network.parameters())) == (device is None)
        load_adapter(model, pack).show(torch.eye(pack_width(pack))[:1])
        made += sample(model, ["a fox"], seeds=[1], num_steps=2)
        return [picture.tobytes() for picture in made]

    with PretendCard():
        there = drawn(None)
    assert there == drawn("cpu")


def pack_width(pack: Pack) -> int:
    """Numbers in the pack's identity embedding."""
    return load_identity(pack).embed(torch.zeros(1, 3, 32, 32)).shape[1]


def test_the_pretended_card_refuses_what_a_real_one_does() -> None:
    """A sum across, a generator of the other side, a card's tensor as an array; not scalars."""
    with PretendCard():
        far, near = torch.ones(2, device="cuda"), torch.ones(2)
        assert far.to("cpu").device.type == "cpu"
        assert (far * torch.tensor(2.0)).device.type == "cuda"
        assert far[torch.tensor([0])].device.type == "cuda"
        with pytest.raises(RuntimeError, match="of the processor"):
            far + near
        with pytest.raises(RuntimeError, match="generator"):
            torch.randn(2, device="cuda", generator=torch.Generator())
        with pytest.raises(TypeError, match="host memory"):
            far.numpy()


def test_a_device_that_cannot_be_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt word, a card that torch does not find, a number too high."""
    assert chosen_device({}) == "cpu"
    with pytest.raises(InputError, match='can be "cpu", "cuda"'):
        chosen_device({"ONBRAND_DEVICE": "gpu"})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="finds no card here"):
        chosen_device({"ONBRAND_DEVICE": "cuda"})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert chosen_device({"ONBRAND_DEVICE": "cuda", "LOCAL_RANK": "1"}) == "cuda:1"
    with pytest.raises(InputError, match="no card 2"):
        chosen_device({"ONBRAND_DEVICE": "cuda:2"})
