"""Where text encoders lie: on the card while prompts are read, in the machine's memory after.

T5-XXL alone takes 9 GiB of a card in bfloat16, more than SD3's network, and has nothing to do once
the prompts are encoded. On a processor all lies in one place, and nothing is moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Module

    from onbrand.models.diffusion import DiffusionModel

__all__ = ["fetch_readers", "set_readers_aside"]


def fetch_readers(model: DiffusionModel) -> None:
    """Put the text encoders where the network is."""
    for encoder in _readers(model):
        if next(encoder.parameters()).device != model.device:
            encoder.to(model.device)


def set_readers_aside(model: DiffusionModel) -> None:
    """Take them off the card, but for those whose adapter is being trained."""
    for encoder in _readers(model):
        parameters = list(encoder.parameters())
        if parameters[0].device.type != "cpu" and not any(p.requires_grad for p in parameters):
            encoder.to("cpu")


def _readers(model: DiffusionModel) -> list[Module]:
    return [model.parts[part] for part in model.family.readers if part in model.parts]
