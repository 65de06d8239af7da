"""The losses that look at pictures which the model draws itself, from noise, within a step.

    own = open_own(session, stage, examples)
    own(batch, seed, step)      # {"own_identity": …, "own_expression": …}

An estimate of a noised training picture (looks.py) still shows what that picture showed; here every
mistake is the model's own. It draws each sample's prompt from the sample's noise in NUM_STEPS DDIM
steps (arXiv 2010.02502, eta 0) with guidance, and the gradient runs through one of the last LAST of
them: ReFL (arXiv 2304.05977) with DRaFT's truncation (arXiv 2309.17400). Reconstruction beside it
is what keeps the model from pleasing the eyes alone. The evaluation twins are not reachable here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from onbrand.recipe import OWN_LOSSES, Stage
from onbrand.training.batches import Batch
from onbrand.training.cache import Examples, in_order
from onbrand.training.engine import generator
from onbrand.training.lenses import jittered, open_lenses
from onbrand.training.losses import expression_distance
from onbrand.training.session import Session

if TYPE_CHECKING:
    from onbrand.models.diffusion import Conditioning, DiffusionModel

__all__ = ["Own", "Regard", "draw_x0", "open_own"]

NUM_STEPS = 5
LAST = 3
_WHICH = -7  # stream of the step that gets the gradient
_FACES = 1_000_000  # and of jittered faces, a sample's number added

Regard = Callable[[Tensor, Batch, int, int], Tensor]
"""(own pictures [b, 3, h, w], the batch whose prompts they show, seed, step) -> distance [b]"""


@dataclass(frozen=True)
class Own:
    """The own losses of a stage; called with the brand's samples of a step."""

    session: Session
    regards: Mapping[str, Regard]

    def __call__(self, batch: Batch, seed: int, step: int) -> dict[str, Tensor]:
        """What these samples add to each loss's mean over the step's, before its weight."""
        if not batch.num_brand:
            return {}
        session, num = self.session, batch.num_brand
        told = batch.embeddings[:num]
        chances = torch.rand((), generator=generator(seed, step, _WHICH))
        with session.mixed():
            clean = draw_x0(
                session.model,
                batch.noise[:num],
                told,
                _nothing(session, told),
                guidance=session.recipe.validation.guidance,
                last=NUM_STEPS - 1 - int(chances * LAST),
            )
        seen = session.model.decode(clean)
        return {
            name: batch.brand_mean(regard(seen, batch, seed, step))
            for name, regard in self.regards.items()
        }


def open_own(session: Session, stage: Stage, examples: Examples) -> Own | None:
    """None for a stage without own losses. Raises PackError when the pack lacks an eye."""
    makers = {"own_identity": _identity, "own_expression": _expression}
    names = [name for name in OWN_LOSSES if stage.weight(name)]
    if not names:
        return None
    return Own(session, {name: makers[name](session, stage, examples) for name in names})


def draw_x0(
    model: DiffusionModel,
    x_t: Tensor,
    told: Conditioning,
    nothing: Conditioning,
    *,
    guidance: float,
    last: int,
    num_steps: int = NUM_STEPS,
) -> Tensor:
    """The clean latents [b, c, h, w] that the model has in mind at step `last` (from 0) of drawing
    `told` from the noise x_t; a gradient runs through that step's network alone, and there not
    through what guidance pushes away from."""
    steps = [model.num_timesteps * (num_steps - k) // num_steps - 1 for k in range(last + 1)]
    for k, t in enumerate(steps):
        t_b = torch.full((len(x_t),), t, device=x_t.device)
        with torch.set_grad_enabled(k == last):
            output = model.predict(x_t, t_b, told).float()
            if guidance != 1 and model.reads_negative:
                with torch.no_grad():
                    away = model.predict(x_t, t_b, nothing).float()
                output = away + guidance * (output - away)
            clean = model.estimate_x0(output, x_t, t_b)
        if k < last:
            x_t = _less_noisy(model, x_t, clean, t_b, torch.full_like(t_b, steps[k + 1]))
    return clean


def _less_noisy(
    model: DiffusionModel, x_t: Tensor, clean: Tensor, t_b: Tensor, next_b: Tensor
) -> Tensor:
    """DDIM's step: the noise that x_t and the estimate imply, at the next level.

    x_t = a·x0 + s·noise in every family, so that a and s are what becomes of ones and zeros.
    """
    ones, zeros = torch.ones_like(clean), torch.zeros_like(clean)
    signal, spread = model.add_noise(ones, zeros, t_b), model.add_noise(zeros, ones, t_b)
    return model.add_noise(clean, (x_t - signal * clean) / spread, next_b)


def _nothing(session: Session, told: Conditioning) -> Conditioning:
    """What guidance leads away from: no prompt, nobody."""
    empty = session.model.without_prompt(session.texts.embed([""] * len(told)))
    if told.identity is None:
        return empty
    return replace(empty, identity=torch.zeros_like(told.identity))


def _identity(session: Session, stage: Stage, examples: Examples) -> Regard:
    """Who it is, as in estimates."""
    lens = open_lenses(session, examples, ["identity"])["identity"]
    return lambda seen, batch, seed, step: lens(seen, batch.contents, seed, step)


def _expression(session: Session, stage: Stage, examples: Examples) -> Regard:
    """Whether the face shows what the caption names; a caption that names no expression that the
    reader knows counts nothing, and so does a picture without a face."""
    from onbrand.models.perception import load_expression

    reader = load_expression(session.pack)
    wanted = _named([a.tags for a in in_order(session.dataset, stage.only)], reader.labels)

    def regard(seen: Tensor, batch: Batch, seed: int, step: int) -> Tensor:
        boxes, there = reader.faces(seen.detach())
        shares = wanted[[picture for picture, _ in batch.contents]].to(seen.device)
        rows = batch.rows[: batch.num_brand]
        chances = [torch.rand(4, generator=generator(seed, step, _FACES + row)) for row in rows]
        logits = reader.face_logits(seen, jittered(boxes, torch.stack(chances)))
        return expression_distance(logits, shares, there.to(seen.device) & (shares.sum(1) > 0))

    return regard


def _named(tags: Sequence[Sequence[str]], labels: Sequence[str]) -> Tensor:
    """[pictures, labels]: 1 for the expression that a picture's tags name, in rows that name one of
    the labels; 0 elsewhere."""
    named = torch.zeros(len(tags), len(labels))
    for picture, told in enumerate(tags):
        known = [label for label in labels if f"expression:{label}" in told]
        if known:
            named[picture, labels.index(known[0])] = 1.0
    return named
