"""Training and drawing on a graphics card, as far as one can be pretended: everything that meets
lies in one place, and the numbers are the processor's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from brand_folder import tiny_brief, tiny_dataset, tiny_recipe
from PIL import Image
from pretend_card import PretendCard, sent

from onbrand import training
from onbrand.artifacts.brand_model import BrandModel
from onbrand.errors import InputError
from onbrand.generation import sample
from onbrand.models.adapters import lora_parameters
from onbrand.models.control import load_controlnet
from onbrand.models.device import chosen_device
from onbrand.models.diffusion import DiffusionModel, load_diffusion
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
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)


class CardsAutocast(torch.autocast):
    """The card's mixed precision, where its tensors really are."""

    def __init__(self, kind: str, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu", *args, **kwargs)


@pytest.fixture
def new_card(card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It multiplies bfloat16."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(torch, "autocast", CardsAutocast)


def score(pictures: Sequence[Image.Image], texts: Sequence[str], /) -> dict[str, float]:
    return {"identity": 0.5}


def every_loss(**more: Any) -> Recipe:
    stage = {"batch_size": 2, "learning_rate": 1e-2, "loss_max_timestep": 1000, "num_steps": 2,
             "head_weight": 3.0}  # fmt: skip
    return tiny_recipe(
        stage=[
            {"kind": "appearance", **stage},
            {"kind": "expression", "losses": EVERYTHING, **stage},
        ],
        lora={"rank": 2, "alpha": 2, "text_encoder": True},
        identity={"mode": "tokens"},
        **more,
    )


def trained(pack: Pack, root: Path, recipe: Recipe) -> BrandModel:
    return training.train(
        tiny_dataset(root / "data"), tiny_brief(), recipe, pack, root / "model",
        sample=sample, score=score,
    )  # fmt: skip


@pytest.fixture(scope="module")
def losses(tiny_pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """Those of a run with every loss on the processor, by stage."""
    return losses_of(trained(tiny_pack, tmp_path_factory.mktemp("cpu"), every_loss()))


def losses_of(model: BrandModel) -> dict[str, list[float]]:
    curves = training.loss_curves(model.root)
    return {name: [line["loss"] for line in lines] for name, lines in curves.items()}


def test_a_run_with_every_loss_keeps_to_the_card(
    tiny_pack: Pack, tmp_path: Path, losses: dict[str, list[float]], card: None
) -> None:
    """Two stages, all losses, an identity, exports: nothing mixes the card's tensors with the
    processor's, and the losses are those of a run on the processor."""
    with PretendCard():
        there = trained(tiny_pack, tmp_path / "card", every_loss())
    for name, found in losses_of(there).items():
        assert found == pytest.approx(losses[name], rel=1e-5)


def test_a_card_holds_the_base_in_bfloat16(
    tiny_pack: Pack, tmp_path: Path, losses: dict[str, list[float]], new_card: None
) -> None:
    """A run with every loss, and looks in its midst, on a base in half the memory: what is learned
    is float32 and near to what the processor learns, and its files pass their test."""
    adapters: list[set[torch.dtype]] = []
    bases: list[list[set[torch.dtype]]] = []

    def watched(model: DiffusionModel, *args: Any, **kwargs: Any) -> list[Image.Image]:
        adapters.append({p.dtype for p in lora_parameters(model).values()})
        bases.append([
            {p.dtype for name, p in part.named_parameters() if ".lora_" not in name}
            for part in (model.network, model.vae, model.parts["text_encoder"])
        ])  # fmt: skip
        return sample(model, *args, **kwargs)

    looks = {"num_prompts": 1, "num_per_prompt": 2, "num_steps": 2, "preview_every": 1,
             "stop_every": 1, "stop_metric": "validation_loss"}  # fmt: skip
    recipe = every_loss(precision="auto", validation=looks)
    with PretendCard():
        there = training.train(
            tiny_dataset(tmp_path / "data"), tiny_brief(), recipe, tiny_pack, tmp_path / "card",
            sample=watched, score=score,
        )  # fmt: skip
    low, whole = {torch.bfloat16}, {torch.float32}
    assert all(base == [low, whole, low] for base in bases)
    assert adapters[0] == set()
    assert adapters[-1] == whole
    assert (there.checkpoint() / "load_test.json").is_file()
    for name, found in losses_of(there).items():
        assert found == pytest.approx(losses[name], rel=0.05)


def test_pictures_are_drawn_on_the_card(
    guided_pack: Pack, following_pack_folder: Path, card: None
) -> None:
    """The base lies there, its ControlNet and the way of an identity, too, and may multiply in
    TF32; what is drawn comes back, the same as on the processor."""
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

    torch.backends.cuda.matmul.allow_tf32 = False
    with PretendCard():
        there = drawn(None)
    assert torch.backends.cuda.matmul.allow_tf32
    assert there == drawn("cpu")


def test_text_encoders_leave_the_card_once_all_is_read(
    tiny_pack: Pack, tmp_path: Path, card: None
) -> None:
    """While the network draws or learns, they lie in the machine's memory; a prompt fetches them,
    and one whose adapter is trained stays."""
    found: list[bool] = []

    def watch(model: DiffusionModel) -> None:
        reader = next(model.parts["text_encoder"].parameters())
        model.network.register_forward_pre_hook(lambda *_: found.append(sent(reader)))

    def watched(model: DiffusionModel, *args: Any, **kwargs: Any) -> list[Image.Image]:
        watch(model)
        return sample(model, *args, **kwargs)

    def run(folder: str, *, text_encoder: bool) -> set[bool]:
        found.clear()
        stage = {"kind": "detail", "batch_size": 2, "num_steps": 2, "learning_rate": 1e-2,
                 "losses": {"adversarial": {"weight": 0.1, "from_fraction": 0.0}}}  # fmt: skip
        lora = {"rank": 2, "alpha": 2, "text_encoder": text_encoder}
        training.train(
            tiny_dataset(tmp_path / "data"), tiny_brief(), tiny_recipe(stage=[stage], lora=lora),
            tiny_pack, tmp_path / folder, sample=watched, score=score,
        )  # fmt: skip
        return set(found)

    with PretendCard():
        model = load_diffusion(tiny_pack)
        watch(model)
        sample(model, ["a fox"], seeds=[1], num_steps=1)
        assert set(found) == {False}
        assert sent(model.encode_prompts(["a fox"]).tokens)
        assert run("frozen", text_encoder=False) == {False}
        assert run("learning", text_encoder=True) == {False, True}


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
