"""Where bases run: the processor, or the graphics card that ONBRAND_DEVICE names."""

from __future__ import annotations

import os
from collections.abc import Mapping

from onbrand.errors import InputError

__all__ = ["VARIABLE", "chosen_device"]

VARIABLE = "ONBRAND_DEVICE"


def chosen_device(environment: Mapping[str, str] = os.environ) -> str:
    """ "cpu" unless ONBRAND_DEVICE says "cuda" or "cuda:1"; of several processes that a launcher
    started each takes a card of its own. Raises InputError for another word, or where torch finds
    no such card."""
    named = environment.get(VARIABLE, "") or "cpu"
    kind, _, number = named.partition(":")
    if named != "cpu" and (kind != "cuda" or (number and not number.isdigit())):
        raise InputError(f'{VARIABLE} is {named!r}; it can be "cpu", "cuda", or "cuda:1"')
    if named == "cpu":
        return named
    import torch

    if not torch.cuda.is_available():
        raise InputError(
            f"{VARIABLE} is {named!r}, but torch {torch.__version__} finds no card here: install "
            "the torch that fits it (pytorch.org), or leave the variable out"
        )
    place = number or environment.get("LOCAL_RANK", "0")
    if int(place) >= torch.cuda.device_count():
        raise InputError(f"there is no card {place}: torch finds {torch.cuda.device_count()}")
    return f"cuda:{place}"
