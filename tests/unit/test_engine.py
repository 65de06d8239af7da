"""The training loop: schedule, resume, clipping, average, interrupts, logs."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from onbrand.errors import ArtifactError, NonFiniteLoss
from onbrand.events import Advanced, Event, Finished, Started
from onbrand.training.engine import (
    Loop,
    Settings,
    generator,
    learning_rate_at,
    noise,
    read_log,
)
from onbrand.training.guards import is_due
from onbrand.training.muon import Muon, orthogonal
from onbrand.training.optimisers import Optimisers, drop_moments


def network() -> nn.Module:
    """A small net, the same at every call."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, 3))


def stepper(model: nn.Module, seed: int = 3) -> Callable[[int], tuple[Tensor, dict[str, float]]]:
    """Regression on data that depend on the step alone."""

    def step(index: int) -> tuple[Tensor, dict[str, float]]:
        x = noise((6,), seed, index, range(4))
        return (model(x) - x[:, :3].sin()).square().mean(), {"samples": 4.0}

    return step


def loop_in(folder: Path, model: nn.Module, **changes: Any) -> Loop:
    """A loop of twelve steps with everything switched on."""
    settings: dict[str, Any] = {
        "num_steps": 12, "learning_rate": 1e-2, "warmup_steps": 3, "ema_decay": 0.9,
        "checkpoint_every": 4,
    }  # fmt: skip
    return Loop(folder, dict(model.named_parameters()), Settings(**(settings | changes)))


def flat(model: nn.Module) -> Tensor:
    """All weights as one vector."""
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_noise_depends_on_seed_step_and_sample_only() -> None:
    """A sample's noise is the same whatever else is in its batch, and differs from every other."""
    whole = noise((2, 3), 7, 5, range(4))
    assert torch.equal(whole[2:3], noise((2, 3), 7, 5, [2]))
    others = [noise((2, 3), 8, 5, [2]), noise((2, 3), 7, 6, [2]), noise((2, 3), 7, 5, [3])]
    assert not any(torch.equal(whole[2:3], other) for other in others)
    assert generator(1, 2, 3).initial_seed() == generator(1, 2, 3).initial_seed()


def test_schedule_warms_up_then_falls_to_the_floor() -> None:
    """Warmup is linear, the cosine starts at the full rate and ends at its floor."""
    settings = Settings(num_steps=110, learning_rate=1.0, warmup_steps=10, floor_fraction=0.1)
    assert learning_rate_at(0, settings) == pytest.approx(0.1)
    assert learning_rate_at(9, settings) == pytest.approx(1.0)
    assert learning_rate_at(60, settings) == pytest.approx(0.55)
    assert learning_rate_at(110, settings) == pytest.approx(0.1)
    flat_rate = Settings(num_steps=110, learning_rate=1.0, warmup_steps=10, schedule="constant")
    assert learning_rate_at(100, flat_rate) == 1.0


def test_training_lowers_the_loss_and_logs_every_step(tmp_path: Path) -> None:
    """The loop really optimises; log.jsonl has a line for each step with loss and rate."""
    model = network()
    loop = loop_in(tmp_path, model, num_steps=150, warmup_steps=0)
    assert loop.run(stepper(model))
    log = read_log(tmp_path)
    assert [line["step"] for line in log] == list(range(1, 151))
    early, late = (sum(line["loss"] for line in part) for part in (log[:20], log[-20:]))
    assert late < 0.3 * early
    assert {"loss", "learning_rate", "grad_norm", "samples", "seconds"} <= set(log[0])


def test_a_resumed_run_is_bit_identical(tmp_path: Path) -> None:
    """Stopped after 5 of 12 steps and resumed in new objects: weights, average, log as unbroken."""
    whole_model = network()
    whole = loop_in(tmp_path / "whole", whole_model)
    whole.run(stepper(whole_model))
    first = network()
    loop_in(tmp_path / "parts", first).run(stepper(first), until=5)
    second = network()
    nn.init.zeros_(second[0].weight)
    again = loop_in(tmp_path / "parts", second)
    assert again.resume()
    assert again.step == 5
    again.run(stepper(second))
    assert torch.equal(flat(whole_model), flat(second))
    with whole.averaged(), again.averaged():
        assert torch.equal(flat(whole_model), flat(second))
    lines = [
        [{k: v for k, v in line.items() if k != "seconds"} for line in read_log(tmp_path / part)]
        for part in ("whole", "parts")
    ]
    assert lines[0] == lines[1]


def test_lines_after_the_last_checkpoint_are_dropped_on_resume(tmp_path: Path) -> None:
    """A kill between checkpoints leaves lines (one cut in half); they come again only once."""
    model = network()
    loop_in(tmp_path, model).run(stepper(model), until=4)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write(json.dumps({"step": 5, "loss": 0.0}) + "\n" + '{"step": 6, "lo')
    again = loop_in(tmp_path, network())
    again.resume()
    again.run(stepper(network()), until=6)
    assert [line["step"] for line in read_log(tmp_path)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("damage", [b"", b"0" * 100, None])
def test_a_checkpoint_that_cannot_be_read_is_named(damage: bytes | None, tmp_path: Path) -> None:
    """An empty file, rubbish, or another model's: the file and what to do are told."""
    model = network()
    loop = loop_in(tmp_path, model)
    loop.run(stepper(model), until=2)
    if damage is None:
        model = nn.Linear(2, 3)
    else:
        loop.checkpoint_path.write_bytes(damage)
    with pytest.raises(ArtifactError, match=r"resume\.safetensors.*Delete it"):
        loop_in(tmp_path, model).resume()


def test_interrupt_saves_and_the_next_run_goes_on(tmp_path: Path) -> None:
    """Ctrl-C lets the step finish, writes the checkpoint, restores the handler, and raises."""
    model = network()
    loop = loop_in(tmp_path, model, checkpoint_every=0)
    before = signal.getsignal(signal.SIGINT)

    def interrupt(done: int) -> None:
        if done == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        loop.run(stepper(model), every={1: interrupt})
    assert signal.getsignal(signal.SIGINT) is before
    again = loop_in(tmp_path, network())
    assert again.resume()
    assert 3 <= again.step <= 4


def test_a_loss_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    """NaN raises NonFiniteLoss with the step, and the weights stay as they were."""
    model = network()
    before = flat(model)
    loop = loop_in(tmp_path, model)
    with pytest.raises(NonFiniteLoss, match="step 0"):
        loop.run(lambda _: (flat(model).sum() * math.nan, {}))
    assert torch.equal(before, flat(model))


def test_gradients_that_step_filled_itself_are_used(tmp_path: Path) -> None:
    """A loss without grad means .grad is already there: the update equals the usual one."""
    usual, own = network(), network()
    loop_in(tmp_path / "a", usual).run(stepper(usual))

    def step(index: int) -> tuple[Tensor, dict[str, float]]:
        loss, numbers = stepper(own)(index)
        loss.backward()
        return loss.detach(), numbers

    loop_in(tmp_path / "b", own).run(step)
    assert torch.equal(flat(usual), flat(own))


def test_buffers_are_restored(tmp_path: Path) -> None:
    """Running statistics come back with the weights."""
    model = network()
    count = torch.zeros(2)
    settings = Settings(num_steps=3, learning_rate=1e-3)
    parameters = dict(model.named_parameters())
    loop = Loop(tmp_path, parameters, settings, buffers={"count": count})

    def step(index: int) -> tuple[Tensor, dict[str, float]]:
        count.add_(1)
        return stepper(model)(index)

    loop.run(step)
    fresh = torch.zeros(2)
    again = Loop(tmp_path, parameters, settings, buffers={"count": fresh})
    assert again.resume()
    assert fresh.tolist() == [3.0, 3.0]


def test_events_tell_the_whole_story(tmp_path: Path) -> None:
    """Started once, Advanced per step with the loss, Finished when all steps are done."""
    heard: list[Event] = []
    model = network()
    settings = Settings(num_steps=3, learning_rate=1e-3)
    loop = Loop(tmp_path, dict(model.named_parameters()), settings, task="t", emit=heard.append)
    loop.run(stepper(model))
    assert [type(e) for e in heard] == [Started, Advanced, Advanced, Advanced, Finished]
    assert isinstance(heard[1], Advanced)
    assert heard[1].numbers["loss"] > 0


def test_a_time_limit_stops_and_saves(tmp_path: Path) -> None:
    """limit_s 0 does nothing but leave a checkpoint to go on from."""
    model = network()
    loop = loop_in(tmp_path, model)
    assert not loop.run(stepper(model), limit_s=0.0)
    assert loop.checkpoint_path.exists()


def test_the_log_ends_with_the_last_step_however_a_run_ends(tmp_path: Path) -> None:
    """Lines come every fifty steps; step 3, after which time or stop() ended a run, has one too."""
    model = network()
    for name, limit_s in (("time", 0.05), ("stop", None)):
        loop = loop_in(tmp_path / name, model, num_steps=10**6, log_every=50)

        def slow(index: int, loop: Loop = loop) -> tuple[Tensor, dict[str, float]]:
            time.sleep(0.02)
            if index == 2 and loop.folder.name == "stop":
                loop.stop()
            return stepper(model)(index)

        loop.run(slow, limit_s=limit_s)
        assert 0 < loop.step < 50
        assert read_log(loop.folder)[-1]["step"] == loop.step


def test_orthogonal_matrices_have_singular_values_near_one() -> None:
    """Whatever the spread before, tall or wide, the step's directions weigh alike."""
    noise_brc = torch.randn(3, 12, 40, generator=generator(0, 0, 0))
    noise_brc[:, 0] *= 50
    for matrices in (noise_brc, noise_brc.mT):
        values = torch.linalg.svdvals(orthogonal(matrices))
        assert values.min() > 0.4
        assert values.max() < 1.4


def test_muon_moves_by_its_formula() -> None:
    """Two steps by hand: momentum with Nesterov's look-ahead, made orthogonal, times 0.4 √12."""
    weight = nn.Parameter(torch.zeros(12, 3))
    muon, kept, expected = Muon([weight], lr=0.1), torch.zeros(12, 3), torch.zeros(12, 3)
    for index in range(2):
        weight.grad = torch.randn(12, 3, generator=generator(0, index, 0))
        kept = 0.95 * kept + 0.05 * weight.grad
        ahead = 0.05 * weight.grad + 0.95 * kept
        expected -= 0.1 * 0.4 * math.sqrt(12) * orthogonal(ahead[None])[0]
        muon.step()
    torch.testing.assert_close(weight.detach(), expected, rtol=0, atol=1e-3)


def test_muon_learns_what_it_is_given_and_resumes_to_the_bit(tmp_path: Path) -> None:
    """Named matrices get Muon's momentum, the others AdamW's moments; a stop changes nothing."""
    settings = Settings(num_steps=12, learning_rate=3e-2)

    def run(folder: Path, *stops: int) -> nn.Module:
        for until in stops:
            model = network()
            loop = Loop(folder, dict(model.named_parameters()), settings, matrices=["0.weight"])
            loop.resume()
            loop.run(stepper(model), until=until)
        return model

    whole, stopped = run(tmp_path / "a", 12), run(tmp_path / "b", 5, 9, 12)
    assert torch.equal(flat(whole), flat(stopped))
    kept = load_file(str(tmp_path / "a" / "resume.safetensors"))
    assert {k for k in kept if k.endswith("/0.weight")} == {
        "parameter/0.weight", "momentum/0.weight",
    }  # fmt: skip
    assert "exp_avg/2.weight" in kept
    losses = [line["loss"] for line in read_log(tmp_path / "a")]
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])


@pytest.mark.parametrize(
    ("step", "since_s", "saving_s", "due"),
    [
        (8, 0.1, 0.01, True),
        (9, 0.1, 0.01, False),
        (9, 61.0, 0.01, True),
        (8, 90.0, 5.5, False),
        (8, 111.0, 5.5, True),
        (9, 111.0, 5.5, True),
    ],
)
def test_when_a_checkpoint_is_due(step: int, since_s: float, saving_s: float, due: bool) -> None:
    """Every four steps, and each minute where steps are slow; one that takes 5.5 s to write waits
    for 110 s."""
    assert is_due(step, 4, since_s, saving_s) is due
    assert not is_due(step, 0, since_s, saving_s)


def test_a_checkpoint_that_takes_long_is_not_written_again_at_once(tmp_path: Path) -> None:
    """After one that took 100 s none follows for a while but the last."""

    saved: list[int] = []

    class Slow(Loop):
        def save(self) -> Path:
            path = super().save()
            saved.append(self.step)
            self.saving_s = 100.0
            return path

    model = network()
    settings = Settings(num_steps=12, learning_rate=1e-2, checkpoint_every=4)
    loop = Slow(tmp_path, dict(model.named_parameters()), settings)
    loop.run(stepper(model))
    assert saved == [4, 12]


def test_a_finished_run_without_moments_goes_on_to_nothing_new(tmp_path: Path) -> None:
    """Parameters and average stay, and a second call finds all steps done and writes the same."""
    model = network()
    loop = loop_in(tmp_path, model)
    loop.run(stepper(model))
    whole = load_file(str(loop.checkpoint_path))
    drop_moments(loop.checkpoint_path)
    kept = load_file(str(loop.checkpoint_path))
    assert set(kept) == {name for name in whole if name.startswith(("parameter/", "average/"))}
    assert all(torch.equal(kept[name], whole[name]) for name in kept)
    again = loop_in(tmp_path, network())
    assert again.resume()
    assert again.step == 12
    assert again.run(stepper(model))
    assert set(load_file(str(loop.checkpoint_path))) == set(kept)


def test_the_average_follows_by_its_formula(tmp_path: Path) -> None:
    """min(decay, (1 + n) / (10 + n)) of the old one; inside `averaged` alone the parameters are
    it."""
    model = network()
    loop, expected = loop_in(tmp_path, model, num_steps=4, ema_decay=0.2), flat(model).clone()

    def follow(done: int) -> None:
        expected.lerp_(flat(model), 1 - min(0.2, done / (9 + done)))

    loop.run(stepper(model), every={1: follow})
    last = flat(model)
    with loop.averaged():
        torch.testing.assert_close(flat(model), expected)
        assert not torch.equal(flat(model), last)
    assert torch.equal(flat(model), last)


def test_a_large_gradient_is_clipped(tmp_path: Path) -> None:
    """A first step ten or a million times as steep leaves the same weights; its norm is logged."""
    ends = []
    for factor in (10.0, 1e6):
        model = network()
        loop, step = loop_in(tmp_path / str(factor), model), stepper(model)
        loop.run(lambda i, f=factor, s=step: (s(i)[0] * (f if i == 0 else 1.0), {}))
        assert read_log(loop.folder)[0]["grad_norm"] > 1
        ends.append(flat(model))
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-5)


def test_the_first_update_has_the_first_rate(tmp_path: Path) -> None:
    """Three steps of warmup: a third, two thirds, all of the rate."""
    model = network()
    loop_in(tmp_path, model).run(stepper(model), until=3)
    rates = [line["learning_rate"] for line in read_log(tmp_path)]
    assert rates == pytest.approx([1e-2 / 3, 2e-2 / 3, 1e-2])


def test_the_scale_grows_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It doubles after so many steps without an overflow."""
    monkeypatch.setattr("onbrand.training.engine.SCALE_GROWS_AFTER", 3)
    model = network()
    settings = Settings(num_steps=7, learning_rate=1e-3, scales_loss=True)
    Loop(tmp_path, dict(model.named_parameters()), settings).run(stepper(model))
    scales = [line["loss_scale"] for line in read_log(tmp_path)]
    assert scales == [2**16] * 2 + [2**17] * 3 + [2**18] * 2


def test_weight_decay_is_for_matrices_alone() -> None:
    """Without a gradient a matrix shrinks and a vector stays."""
    weights = {"matrix": torch.ones(2, 2), "vector": torch.ones(2)}
    for weight in weights.values():
        weight.requires_grad_(True).grad = torch.zeros_like(weight)
    Optimisers(weights, learning_rate=0.1, weight_decay=0.5, betas=(0.9, 0.99)).step(0.1)
    torch.testing.assert_close(weights["matrix"].detach(), torch.full((2, 2), 0.95))
    assert weights["vector"].tolist() == [1.0, 1.0]
