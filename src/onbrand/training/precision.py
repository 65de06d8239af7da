"""In which arithmetic the heavy layers of a training step run; weights and sums stay float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from onbrand.models.device import multiplies_bfloat16
from onbrand.recipe import Precision

__all__ = ["ExactAttention", "LowWeights", "mixed"]


def mixed(device: torch.device | str, precision: Precision = "auto") -> torch.autocast:
    """Mixed precision for forward and loss (Micikevicius et al., arXiv 1710.03740).

    "auto" is bfloat16 where the hardware multiplies it (CUDA from Ampere on, CPUs with AVX512-BF16
    or AMX) and float32 elsewhere. bfloat16 has float32's range; "float16" has not, so the engine
    scales the loss for it.
    """
    kind = torch.device(device).type
    on = precision in ("bfloat16", "float16")
    on = on or (precision == "auto" and multiplies_bfloat16(kind))
    low = torch.float16 if precision == "float16" else torch.bfloat16
    return torch.autocast(kind, low, enabled=on)


class LowWeights:
    """A network's frozen convolutions and linear layers in low precision, made once.

    Autocast keeps the low copies of trained weights alone, and makes those of frozen ones, nearly
    all beside a LoRA, anew at every step. The numbers are the same to the bit; a step of the pocket
    base is 2 % shorter at 128 px, 12 % at 64 (measured with torch 2.13, one thread), for half the
    network's memory once more.
    """

    def __init__(self, network: nn.Module, low: torch.dtype) -> None:
        self._places = [
            (layer._parameters, name, whole, nn.Parameter(whole.detach().to(low), False))
            for layer in network.modules()
            if isinstance(layer, nn.Conv2d | nn.Linear)
            for name, whole in layer.named_parameters(recurse=False)
            if not whole.requires_grad and whole.dtype == torch.float32
        ]

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Inside, the network has them: only for what autocast computes. What is kept to go back
        with are these, so a backward pass may come after."""
        for parameters, name, _, low in self._places:
            parameters[name] = low  # past Module.__setattr__, which takes thirty times as long
        try:
            yield
        finally:
            for parameters, name, whole, _ in self._places:
                parameters[name] = whole


class ExactAttention(TorchFunctionMode):
    """Inside, attention is computed in float32 whatever autocast says.

    On processors that is the exact way and the quick one: torch's bfloat16 attention takes twice as
    long to go back (measured with torch 2.13: a whole step of the pocket base is a tenth shorter).
    Not for checkpointed activations: they are computed again outside of it.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Every call of torch within the block passes here."""
        if function is not functional.scaled_dot_product_attention:
            return function(*args, **(kwargs or {}))
        tensors = [*args, *(kwargs or {}).values()]
        device = next(t.device.type for t in tensors if isinstance(t, torch.Tensor))
        with torch.autocast(device, enabled=False):
            exact = {name: _exact(value) for name, value in (kwargs or {}).items()}
            return function(*map(_exact, args), **exact)


def _exact(value: Any) -> Any:
    """A half precision tensor in float32, anything else (a boolean mask, say) as it is."""
    half = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.float() if half else value
