"""The loss on pictures that are never trained on: always the same pictures, noise and levels.

One timestep misleads (OneTrainer 772): clean samples tell of edges, noisy ones of the layout. The
mean is over five of them, spread over the schedule.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from onbrand.models.device import pictures_at_once
from onbrand.training.cache import encode, encoder_fingerprint
from onbrand.training.engine import noise
from onbrand.training.losses import reconstruction

if TYPE_CHECKING:
    from onbrand.models.diffusion import Conditioning
    from onbrand.training.session import Session

__all__ = ["LEVELS", "held_out_losses"]

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the schedule's timesteps
MOST = 16  # pictures: more tell little and take a while
_SEED = 70_000


def held_out_losses(session: Session) -> dict[str, float]:
    """validation_loss, the plain squared error of the base's own target over the first 16 held-out
    pictures (by content) and the five noise levels, and validation_loss_t100 … of each level.

    Noise is a function of the picture's place and the level. {} when no picture is held out.
    """
    assets = sorted(session.dataset.held_out, key=lambda asset: (asset.key, asset.caption))[:MOST]
    if not assets:
        return {}
    model = session.model
    facts: dict[str, object] = {
        "pictures": [asset.key for asset in assets],
        "size_px": session.size_px,
        "encoder": encoder_fingerprint(model),
        "laid": "as in training",
    }

    def make() -> dict[str, Tensor]:
        opened = [session.dataset.open_square(a, session.size_px) for a in assets]
        return {"latents": encode(model, opened)}

    latents = session.store.tensors("held_out_latents", facts, make)["latents"]
    prompts = [session.speak(asset.caption) for asset in assets]
    told: dict[str, float] = {}
    with session.evaluating(), torch.no_grad():
        embeddings = session.texts.embed(prompts)
        if session.who_d is not None:
            who = session.who_d.expand(len(prompts), 1, -1)
            embeddings = replace(embeddings, identity=who)
        for number, level in enumerate(LEVELS):
            timestep = round(level * (model.num_timesteps - 1))
            errors = [
                _errors(session, latents, embeddings, timestep, number, first)
                for first in range(0, len(latents), pictures_at_once(session.size_px))
            ]
            told[f"validation_loss_t{timestep}"] = float(torch.cat(errors).mean())
    return {"validation_loss": sum(told.values()) / len(told), **told}


def _errors(
    session: Session,
    latents: Tensor,
    embeddings: Conditioning,
    timestep: int,
    number: int,
    first: int,
) -> Tensor:
    """Squared errors [b] of one batch at one level, in float32."""
    model = session.model
    last = first + pictures_at_once(session.size_px)
    x0 = latents[first:last].to(model.device)
    drawn = noise(x0.shape[1:], _SEED, number, range(first, first + len(x0))).to(x0)
    t_b = torch.full((len(x0),), timestep, dtype=torch.int64, device=x0.device)
    output = model.predict(model.add_noise(x0, drawn, t_b), t_b, embeddings[first:last])
    return reconstruction(output, model.target(x0, drawn, t_b), x0.new_ones(len(x0)))
