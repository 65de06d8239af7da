"""Steps in parts: the same gradient as whole, the search for a bad sample, scaling, 8 bits."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from onbrand.errors import NonFiniteLoss, OutOfMemory, RecipeError
from onbrand.recipe import Recipe
from onbrand.training.batches import Batch
from onbrand.training.engine import Loop, Settings, noise, read_log
from onbrand.training.guards import memory_errors
from onbrand.training.optimisers import Optimisers
from onbrand.training.parts import Parts
from onbrand.training.workers import Workers

NUM_BRAND, NUM_PRIOR = 5, 3


def network() -> nn.Module:
    """A small net of convolutions, the same at every call, channels last as the U-Nets are."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.SiLU(), nn.Conv2d(6, 4, 3, padding=1))
    return net.to(memory_format=torch.channels_last)


def flat(model: nn.Module) -> Tensor:
    """All weights as one vector."""
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@dataclass
class Toy:
    """A stage in small: samples are noise, the loss has a brand part, a class part and a gate."""

    model: nn.Module
    poison: int | None = None

    def draw(self, *, step: int, rows: Sequence[int]) -> Batch:
        levels = torch.tensor([(step * 131 + row * 197) % 1000 for row in range(8)])
        latents = noise((4, 3, 3), 1, step, rows)
        return Batch(
            latents=latents,
            noise=latents,
            timesteps=levels[list(rows)],
            embeddings=latents,
            num_brand=sum(row < NUM_BRAND for row in rows),
            contents=(),
            names=tuple(f"{row}.png" for row in rows),
            rows=tuple(rows),
            step_timesteps=levels,
            step_num_brand=NUM_BRAND,
        )

    def measure(self, index: int, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        output = self.model(batch.latents)
        errors = (output - batch.noise).square().flatten(1).mean(1)
        loss = batch.brand_mean(errors) + 0.5 * batch.prior_mean(errors)
        gated, share = batch.gate(600)
        if len(gated):
            loss = loss + 0.1 * share * output[gated].square().flatten(1).mean(1).mean()
        if self.poison is not None and self.poison in batch.rows:
            # the value is 0 and sound, its gradient is infinite
            row = output[batch.rows.index(self.poison)].sum()
            loss = loss + (row - row.detach()).abs().sqrt()
        return loss, {"loss_again": float(loss.detach())}

    def parts(self, **changes: Any) -> Parts:
        """The steps of this stage."""
        return Parts(
            lambda index, row: None,
            self.draw,
            self.measure,
            list(self.model.parameters()),
            NUM_BRAND,
            NUM_PRIOR,
            **changes,
        )


def gradient(parts: Parts, model: nn.Module, step: int) -> Tensor:
    """The gradient that all parts of a step leave together."""
    model.zero_grad()
    for loss, _ in parts(step):
        loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("num_parts", [2, 3, 5])
def test_parts_add_up_to_the_whole_step(num_parts: int) -> None:
    """Brand, class and gated samples, evenly cut or not: the gradient is the whole step's."""
    model = network()
    toy = Toy(model)
    for step in range(4):
        whole = gradient(toy.parts(), model, step)
        cut = gradient(toy.parts(num_parts=num_parts), model, step)
        assert torch.allclose(whole, cut, rtol=1e-5, atol=1e-7)
        assert whole.abs().max() > 1e-4


def test_shares_of_processes_add_up_too() -> None:
    """Two processes of two parts see every sample once between them."""
    model = network()
    toy = Toy(model)
    shares = [
        gradient(toy.parts(num_parts=2, workers=Workers(index, 2)), model, 3) for index in (0, 1)
    ]
    assert torch.allclose(sum(shares), gradient(toy.parts(), model, 3), rtol=1e-5, atol=1e-7)


def test_numbers_of_parts_are_those_of_the_step(tmp_path: Path) -> None:
    """The log of an accumulated run equals the whole one's; pictures are counted once a step."""
    logs = []
    for num_parts in (1, 4):
        model = network()
        loop = Loop(
            tmp_path / str(num_parts),
            dict(model.named_parameters()),
            Settings(num_steps=4, learning_rate=1e-2),
        )
        loop.run(Toy(model).parts(num_parts=num_parts))
        logs.append(read_log(loop.folder))
    for whole, cut in zip(*logs, strict=True):
        assert cut["loss"] == pytest.approx(whole["loss"], rel=1e-5)
        assert cut["loss_again"] == pytest.approx(whole["loss_again"], rel=1e-5)
    assert logs[1][-1]["pictures_per_second"] > 0


def test_an_infinite_gradient_names_the_sample(tmp_path: Path) -> None:
    """The loss is sound, one sample's gradient is not: step and name are told, nothing applied."""
    model = network()
    before = flat(model)
    parts = Toy(model, poison=3).parts(num_parts=2)
    loop = Loop(tmp_path, dict(model.named_parameters()), Settings(num_steps=4, learning_rate=1e-2))
    with pytest.raises(NonFiniteLoss, match=r"gradient is nan at step 0 for 3\.png\."):
        loop.run(parts, blame=parts.blame)
    assert torch.equal(before, flat(model))
    assert not loop.checkpoint_path.exists()


def test_a_channels_last_network_resumes_to_the_bit(tmp_path: Path) -> None:
    """Moments come back in the parameters' memory format, which fused AdamW takes for granted."""

    def run(folder: Path, *stops: int) -> nn.Module:
        for until in stops:
            model = network()
            settings = Settings(num_steps=9, learning_rate=1e-2)
            loop = Loop(folder, dict(model.named_parameters()), settings)
            loop.resume()
            loop.run(Toy(model).parts(), until=until)
        return model

    whole, stopped = run(tmp_path / "a", 9), run(tmp_path / "b", 2, 5, 9)
    assert torch.equal(flat(whole), flat(stopped))
    files = [(tmp_path / name / "resume.safetensors").read_bytes() for name in "ab"]
    assert files[0] == files[1], "not even the checkpoint tells that the run was stopped"


class Overflowing(torch.autograd.Function):
    """A factor 1 whose gradient is infinite where the incoming one exceeds 1,000, like float16."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return torch.where(grad.abs() > 1000, torch.full_like(grad, math.inf), grad)


def test_a_scaled_step_that_overflows_is_taken_again(tmp_path: Path) -> None:
    """The scale halves until the gradient fits; the weights are those of unscaled training, and
    a resumed run keeps the scale."""
    results = []
    for scales in (False, True):
        model = network()
        settings = Settings(num_steps=6, learning_rate=1e-2, scales_loss=scales)
        folder = tmp_path / str(scales)

        def step(index: int, model: nn.Module = model) -> tuple[Tensor, dict[str, float]]:
            loss = Toy(model).parts()(index)
            return Overflowing.apply(next(iter(loss))[0]), {}

        loop = Loop(folder, dict(model.named_parameters()), settings)
        loop.run(step, until=3)
        again = Loop(folder, dict(model.named_parameters()), settings)
        again.resume()
        again.run(step)
        results.append(flat(model))
    assert torch.allclose(*results, rtol=1e-4, atol=1e-6)
    scale = [line["loss_scale"] for line in read_log(tmp_path / "True")]
    assert scale == [512.0] * 6


def test_eight_bits_without_the_package_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """adamw8bit without bitsandbytes: the error names the package and the other choice."""
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(RecipeError, match=r"pip install bitsandbytes.*adamw"):
        Optimisers(
            dict(network().named_parameters()),
            learning_rate=1e-3, weight_decay=0.0, betas=(0.9, 0.99), kind="adamw8bit",
        )  # fmt: skip


def test_eight_bits_learn_and_resume(tmp_path: Path) -> None:
    """Where bitsandbytes is installed: large matrices have 8-bit moments, and a stop changes
    nothing."""
    pytest.importorskip("bitsandbytes")

    def run(folder: Path, *stops: int) -> nn.Module:
        for until in stops:
            torch.manual_seed(0)
            model = nn.Linear(128, 64)
            settings = Settings(num_steps=8, learning_rate=1e-2, optimizer="adamw8bit")
            loop = Loop(folder, dict(model.named_parameters()), settings)
            loop.resume()

            def step(index: int, model: nn.Module = model) -> tuple[Tensor, dict[str, float]]:
                x = noise((128,), 3, index, range(4))
                return (model(x) - x[:, :64]).square().mean(), {}

            loop.run(step, until=until)
        return model

    whole, stopped = run(tmp_path / "a", 8), run(tmp_path / "b", 3, 5, 8)
    assert torch.equal(flat(whole), flat(stopped))
    kept = load_file(tmp_path / "a" / "resume.safetensors")
    assert kept["state1/weight"].dtype == torch.uint8
    losses = [line["loss"] for line in read_log(tmp_path / "a")]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_a_full_memory_says_what_to_lower(error: Exception) -> None:
    """Whoever raises it: the message names the recipe's fields with what they are now."""
    recipe = Recipe.model_validate({"stage": [{"kind": "appearance", "num_steps": 1}]})
    words = (
        r"gradient_accumulation \(now 1.*batch_size \(now 8\)"
        r".*gradient_checkpointing.*but for rounding.*resolution_px"
    )
    with pytest.raises(OutOfMemory, match=words), memory_errors(recipe):
        raise error
    with pytest.raises(RuntimeError, match="shapes"), memory_errors(recipe):
        raise RuntimeError("shapes do not match")


def test_pictures_are_counted_over_all_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight pictures in four parts within two seconds are four a second."""
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr("onbrand.training.parts.time", SimpleNamespace(monotonic=clock.__next__))
    parts = Toy(network()).parts(num_parts=4)
    told = [[numbers for _, numbers in parts(step)] for step in (0, 1)]
    assert "pictures_per_second" not in told[0][-1]
    assert told[1][-1]["pictures_per_second"] == 4


def test_means_divide_by_the_steps_own_counts() -> None:
    """Of eight samples five are the brand's, whose levels are 0, 197, 394, 591 and 788."""
    toy = Toy(network())
    whole, part = toy.draw(step=0, rows=range(8)), toy.draw(step=0, rows=[0, 4, 6])
    assert whole.brand_mean(torch.arange(8.0)).item() == 2
    assert whole.prior_mean(torch.arange(8.0)).item() == 6
    assert part.prior_mean(torch.tensor([0.0, 4.0, 6.0])).item() == 2
    assert [(g.tolist(), share) for g, share in (whole.gate(591), part.gate(591))] == [
        ([0, 1, 2, 3], 1.0), ([0], 0.25),
    ]  # fmt: skip


def test_each_part_is_entered_by_its_first_sample() -> None:
    """What chance decides in a part goes by that number."""
    parts, entered = Toy(network()).parts(num_parts=2), []
    parts.enter = lambda index, row: entered.append((index, row))
    list(parts(3))
    assert entered == [(3, 0), (3, 1)]
