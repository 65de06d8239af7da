"""Which pictures, noise and noise levels a step sees: functions of (seed, step, sample) alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from onbrand.errors import NonFiniteLoss
from onbrand.training.cache import Examples, Texts
from onbrand.training.engine import generator, noise
from onbrand.training.noise_levels import NoiseLevels

if TYPE_CHECKING:
    from onbrand.models.diffusion import Conditioning

__all__ = ["Batch", "draw_batch", "refuse_non_finite"]

_ORDER, _CLASS = -1, -3  # streams of their own beside samples 0, 1, 2, …


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's samples: first `num_brand` of the brand, then pictures of the class.

    latents and noise [b, c, h, w], timesteps [b] int64, embeddings: b rows of what prompts tell;
    `contents[i]` is (picture, variant) in the examples, `names[i]` what an error calls the sample.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    embeddings: Conditioning
    num_brand: int
    contents: tuple[tuple[int, int], ...]
    names: tuple[str, ...]


def draw_batch(
    examples: Examples,
    texts: Texts,
    *,
    seed: int,
    step: int,
    batch_size: int,
    noise_levels: NoiseLevels,
    prior: Examples | None = None,
    num_prior: int = 0,
) -> Batch:
    """The samples of one step. Each pass over the pictures is a new permutation, and each picture
    shows its variants in turn, so that all are seen equally often."""
    contents = _contents(seed, step, batch_size, examples, _ORDER)
    class_contents = _contents(seed, step, num_prior, prior, _CLASS) if prior and num_prior else ()
    latents = [examples.latents[p][v] for p, v in contents]
    prompts = [examples.prompts[p][v] for p, v in contents]
    names = [f"{examples.names[p]} (variant {v})" for p, v in contents]
    for p, v in class_contents:
        assert prior is not None
        latents.append(prior.latents[p][v])
        prompts.append(prior.prompts[p][v])
        names.append(prior.names[p])
    stacked = torch.stack(latents)
    total = len(latents)
    levels = noise_levels.draw(seed, step, batch_size)
    if class_contents:
        more = noise_levels.draw(seed, step, len(class_contents), first=batch_size)
        levels = torch.cat([levels, more])
    return Batch(
        latents=stacked,
        noise=noise(stacked.shape[1:], seed, step, range(total)),
        timesteps=levels,
        embeddings=texts.embed(prompts),
        num_brand=batch_size,
        contents=contents,
        names=tuple(names),
    )


def _contents(
    seed: int, step: int, count: int, examples: Examples, stream: int
) -> tuple[tuple[int, int], ...]:
    """(picture, variant) of each sample of the step."""
    picked = []
    for position in range(step * count, (step + 1) * count):
        epoch, place = divmod(position, len(examples))
        picture = _permutation(seed, epoch, stream, len(examples))[place]
        picked.append((picture, (epoch + picture) % len(examples.latents[picture])))
    return tuple(picked)


@lru_cache(maxsize=8)
def _permutation(seed: int, epoch: int, stream: int, num: int) -> tuple[int, ...]:
    order = torch.randperm(num, generator=generator(seed, epoch, stream))
    return tuple(int(i) for i in order)


def refuse_non_finite(loss_b: Tensor, batch: Batch, stage: str, step: int) -> None:
    """Raise NonFiniteLoss naming the step and the pictures whose loss [b] is NaN or infinite."""
    bad = ~torch.isfinite(loss_b.detach())
    if bool(bad.any()):
        which = [n for n, b in zip(batch.names, bad.tolist(), strict=False) if b]
        raise NonFiniteLoss(
            f"stage {stage!r}: the loss is not a number at step {step} for {', '.join(which)}. "
            "The checkpoint before it is kept: lower learning_rate, or look at these pictures."
        )
