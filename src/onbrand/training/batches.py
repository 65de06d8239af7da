"""Which pictures, noise and noise levels a step sees: functions of (seed, step, sample) alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from onbrand.training.cache import Examples, Texts
from onbrand.training.engine import generator, noise
from onbrand.training.noise_levels import NoiseLevels

if TYPE_CHECKING:
    from onbrand.models.diffusion import Conditioning

__all__ = ["Batch", "draw_batch"]

_ORDER, _CLASS = -1, -3  # streams of their own beside samples 0, 1, 2, …


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples of one step, all or some: first `num_brand` of the brand, then pictures of the class.

    latents and noise [b, c, h, w], timesteps [b] int64, embeddings: b rows of what prompts tell;
    `contents[i]` is (picture, variant) in the examples, `names[i]` what an error calls the sample,
    `rows[i]` its number in the step. `step_timesteps` are those of all the step's samples, the
    first `step_num_brand` of the brand: means divide by the whole step's counts, so that the parts
    of a step add up to it.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    embeddings: Conditioning
    num_brand: int
    contents: tuple[tuple[int, int], ...]
    names: tuple[str, ...]
    rows: tuple[int, ...]
    step_timesteps: Tensor
    step_num_brand: int

    def brand_mean(self, errors_b: Tensor) -> Tensor:
        """What these samples add to the mean error of the step's brand pictures."""
        return errors_b[: self.num_brand].sum() / max(1, self.step_num_brand)

    def prior_mean(self, errors_b: Tensor) -> Tensor:
        """What these samples add to the mean error of the step's class pictures."""
        num_prior = len(self.step_timesteps) - self.step_num_brand
        return errors_b[self.num_brand :].sum() / max(1, num_prior)

    @property
    def share(self) -> float:
        """The share that these samples are of the step's."""
        return len(self.rows) / len(self.step_timesteps)

    def gate(self, largest_timestep: int) -> tuple[Tensor, float]:
        """Places [g] of the brand samples with at most this timestep, and the share that they are
        of all such samples of the step: a mean over them counts that much."""
        gated = torch.nonzero(self.timesteps[: self.num_brand] <= largest_timestep)[:, 0]
        total = int((self.step_timesteps[: self.step_num_brand] <= largest_timestep).sum())
        return gated, len(gated) / max(1, total)


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
    who_d: Tensor | None = None,
    rows: Sequence[int] | None = None,
    device: torch.device | None = None,
) -> Batch:
    """The samples of one step, or those numbered `rows`, ascending, on the `device`. Each pass over
    the pictures is a new permutation, and each picture shows its variants in turn: all are seen
    equally often.
    The brand's samples are told `who_d`, its identity, if there is one; class pictures nobody."""
    contents = list(_contents(seed, step, batch_size, examples, _ORDER))
    sources = [examples] * batch_size
    levels = noise_levels.draw(seed, step, batch_size)
    if prior is not None and num_prior:
        contents += _contents(seed, step, num_prior, prior, _CLASS)
        sources += [prior] * num_prior
        more = noise_levels.draw(seed, step, num_prior, first=batch_size)
        levels = torch.cat([levels, more])
    chosen = range(len(contents)) if rows is None else rows
    latents, prompts, names = [], [], []
    for row in chosen:
        (picture, variant), source = contents[row], sources[row]
        latents.append(source.latents[picture][variant])
        prompts.append(source.prompts[picture][variant])
        of_brand = row < batch_size
        names.append(source.names[picture] + (f" (variant {variant})" if of_brand else ""))
    stacked = torch.stack(latents).to(device)
    brand_rows = [row for row in chosen if row < batch_size]
    told = texts.embed(prompts)
    if who_d is not None:
        known = [who_d if row < batch_size else torch.zeros_like(who_d) for row in chosen]
        told = replace(told, identity=torch.stack(known)[:, None])
    return Batch(
        latents=stacked,
        noise=noise(stacked.shape[1:], seed, step, chosen).to(device),
        timesteps=levels[list(chosen)].to(device),
        embeddings=told if device is None else told.to(device),
        num_brand=len(brand_rows),
        contents=tuple(contents[row] for row in brand_rows),
        names=tuple(names),
        rows=tuple(chosen),
        step_timesteps=levels,
        step_num_brand=batch_size,
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
