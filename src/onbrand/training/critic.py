"""The adversarial head: a small critic that tells training latents from the model's estimates.

It sees them as the base's own network does, in the middle of it, lightly noised (t < NOISIEST), as
LADD (arXiv 2403.12015) and DMD2 (arXiv 2405.14867) have it: a network that already knows pictures
needs few of them. The adapter is off while it looks, so that the eye does not move with the model;
the way of an identity, which the network cannot be without, is told of nobody and does not learn.
Critic and model learn in one backward pass: the critic's loss sees detached features, the model's
loss sees detached weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from onbrand.training.engine import generator, noise
from onbrand.training.losses import critic_loss, fooling_loss

if TYPE_CHECKING:
    from onbrand.models.diffusion import Conditioning, DiffusionModel
    from onbrand.training.cache import Texts

__all__ = ["Critic", "adversarial", "middle_of", "open_critic"]

NOISIEST = 500  # of 1000: beyond it even a wrong picture looks like noise
HIDDEN = 64
_LEVEL, _NOISE = 3_000_000, 10_000  # streams of timesteps and noise, a sample's number added


class Critic(nn.Module):
    """A logit for each place of the middle features [b, width, h, w]: [b, h, w], real is high."""

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.GroupNorm(1, width),
                nn.Conv2d(width, HIDDEN, 1),
                nn.SiLU(),
                nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1),
                nn.SiLU(),
                nn.Conv2d(HIDDEN, 1, 1),
            )
        last = self.layers[-1]
        assert isinstance(last, nn.Conv2d)
        nn.init.zeros_(last.weight)

    def forward(self, features_bchw: Tensor) -> Tensor:
        """[b, h, w]."""
        judged: Tensor = self.layers(features_bchw)[:, 0]
        return judged


@torch.no_grad()
def open_critic(model: DiffusionModel, texts: Texts, seed: int) -> Critic:
    """An untrained critic for the width of this network's middle."""
    side = model.num_px // model.vae_factor
    x_t = torch.zeros(1, model.num_latent_channels, side, side)
    middle = middle_of(model, x_t, torch.tensor([0]), texts.embed([""]))
    return Critic(middle.shape[1], seed).to(model.device)


def adversarial(
    model: DiffusionModel,
    critic: Critic,
    real_bchw: Tensor,
    fake_bchw: Tensor,
    embeddings: Conditioning,
    seed: int,
    step: int,
    samples: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """(the model's loss, the critic's) of clean latents and the model's estimates of them; the
    first has gradients for the estimates alone, the second for the critic alone. `samples` are
    their numbers in the step: noise and its level are functions of them."""
    rows = [_NOISE + sample for sample in samples]
    eps = noise(tuple(real_bchw.shape[1:]), seed, step, rows).to(real_bchw)
    chances = [generator(seed, step, _LEVEL + sample) for sample in samples]
    level = torch.cat([torch.randint(NOISIEST, (1,), generator=chance) for chance in chances])
    level = (level * model.num_timesteps // 1000).to(real_bchw.device)
    words = replace(embeddings, identity=None).detach()
    with _as_an_eye(model):
        with torch.no_grad():
            seen_real = middle_of(model, model.add_noise(real_bchw, eps, level), level, words)
        seen_fake = middle_of(model, model.add_noise(fake_bchw, eps, level), level, words)
    weights = {name: p.detach() for name, p in critic.named_parameters()}
    fooled = fooling_loss(functional_call(critic, weights, (seen_fake,)))
    return fooled, critic_loss(critic(seen_real), critic(seen_fake.detach()))


@contextmanager
def _as_an_eye(model: DiffusionModel) -> Iterator[None]:
    """Inside, the network is the base's, and nothing of it learns from what it sees. Activations
    are kept: computed anew in the backward pass, they would be those with the adapter on."""
    from onbrand.models.adapters import without_lora

    way = list(model.way.parameters().values()) if model.way else []
    learning = [parameter for parameter in way if parameter.requires_grad]
    recomputed = model.network.is_gradient_checkpointing
    if recomputed:
        model.network.disable_gradient_checkpointing()
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        with without_lora(model):
            yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
        if recomputed:
            model.network.enable_gradient_checkpointing()


class _Reached(Exception):
    """The middle of the network, and what it made."""

    def __init__(self, features: Tensor) -> None:
        self.features = features


def middle_of(model: DiffusionModel, x_t: Tensor, t_b: Tensor, embeddings: Any) -> Tensor:
    """Features [b, c, h, w] float32 in the middle of the network; the rest of it does not run.

    Contiguous: GroupNorm's backward crashes on channels-last features without a gradient
    (torch 2.13, CPU).
    """

    network = model.network
    blocks = getattr(network, "transformer_blocks", ())
    middle = blocks[len(blocks) // 2] if len(blocks) else network.mid_block

    def stop(module: nn.Module, given: Any, made: Any) -> None:
        hidden = made[-1] if isinstance(made, tuple) else made  # words come first, then the picture
        raise _Reached(hidden if hidden.ndim == 4 else hidden.mT[..., None])

    hook = middle.register_forward_hook(stop)
    try:
        model.predict(x_t, t_b, embeddings)
    except _Reached as reached:
        return reached.features.float().contiguous()
    finally:
        hook.remove()
    raise AssertionError("the network has no middle")
