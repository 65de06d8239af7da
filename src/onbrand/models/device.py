"""Where bases run (the processor, or the card that ONBRAND_DEVICE names), and how much at once."""

from __future__ import annotations

import os
from collections.abc import Mapping

from onbrand.errors import InputError

__all__ = ["VARIABLE", "chosen_device", "multiplies_bfloat16", "pictures_at_once"]

VARIABLE = "ONBRAND_DEVICE"
PIXELS_AT_ONCE = 1 << 20  # decoding them takes SDXL's autoencoder about 3 GiB in float32


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


def multiplies_bfloat16(kind: str) -> bool:
    """Whether this kind of device has arithmetic for it (CUDA from Ampere on, CPUs with AVX512-BF16
    or AMX); emulated, products take four times as long as float32's."""
    import torch

    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind != "cpu":
        return False
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16"))


def pictures_at_once(size_px: int, most: int = 8) -> int:
    """How many pictures of that side go through an autoencoder at once, or through the network
    when they are drawn: `most`, or as many fewer as make up a megapixel; at least one.

    A function of the size alone, because the bits of a convolution may depend on its batch.
    """
    return max(1, min(most, PIXELS_AT_ONCE // size_px**2))
