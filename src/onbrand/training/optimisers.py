"""The optimisers of one run, and their state as named tensors: AdamW, AdamW in 8 bits, Muon.

A parameter's state is saved as "KEY/NAME", KEY being the optimiser's own word ("exp_avg"), and laid
out in memory as the parameter is when it is put back: fused AdamW walks the bytes of parameter,
gradient and moments side by side, so moments in another memory format would meet the wrong weights.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from onbrand.errors import RecipeError
from onbrand.files import write_bytes_atomic
from onbrand.recipe import OptimizerName
from onbrand.training.muon import Muon

__all__ = ["Optimisers", "check_optimizer", "drop_moments", "is_moment"]


class Optimisers:
    """AdamW for the parameters, with weight decay on matrices alone, and Muon for `matrices`.

    `kind` "adamw8bit" keeps AdamW's moments in blocks of 8 bits (Dettmers et al., arXiv
    2110.02861), a quarter of the memory; it takes bitsandbytes. Raises RecipeError without it.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        *,
        learning_rate: float,
        weight_decay: float,
        betas: tuple[float, float],
        matrices: Collection[str] = (),
        kind: OptimizerName = "adamw",
    ) -> None:
        self._parameters = dict(parameters)
        self._owners: dict[str, torch.optim.Optimizer] = {}
        rest = [name for name in parameters if name not in matrices]
        if rest:
            thick = [parameters[n] for n in rest if parameters[n].ndim >= 2]
            thin = [parameters[n] for n in rest if parameters[n].ndim < 2]
            groups = [
                {"params": thick, "weight_decay": weight_decay},
                {"params": thin, "weight_decay": 0.0},
            ]
            make = _adamw_8bit() if kind == "adamw8bit" else _adamw
            adamw = make([g for g in groups if g["params"]], lr=learning_rate, betas=betas)
            self._owners |= dict.fromkeys(rest, adamw)
        if matrices:
            muon = Muon(
                [parameters[name] for name in sorted(matrices)],
                lr=learning_rate,
                weight_decay=weight_decay,
                num_threads=os.cpu_count() or 1,
            )
            self._owners |= dict.fromkeys(matrices, muon)
        self._all = list(dict.fromkeys(self._owners.values()))

    def step(self, learning_rate: float) -> None:
        """Move all parameters by their gradients at this rate, and forget the gradients."""
        for optimiser in self._all:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """What is kept of every parameter, by "KEY/NAME"; whole numbers as int64 scalars."""
        found: dict[str, Tensor] = {}
        for name, owner in self._owners.items():
            for key, value in owner.state.get(self._parameters[name], {}).items():
                if isinstance(value, int):
                    value = torch.tensor(value)
                # bitsandbytes shares its maps among parameters; safetensors refuses shared memory
                found[f"{key}/{name}"] = value.clone() if key.startswith("qmap") else value.detach()
        return found

    def restore(self, keys: Iterable[str], read: Callable[[str], Tensor]) -> None:
        """Put back what `state` gave: `read(key)` is the tensor of each of `keys`."""
        for key in keys:
            kind, _, name = key.partition("/")
            parameter, value = self._parameters[name], read(key)
            kept: dict[str, Any] = self._owners[name].state[parameter]
            if value.dtype == torch.int64 and value.ndim == 0:
                kept[kind] = int(value)
            elif value.shape == parameter.shape:
                kept[kind] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
            else:
                kept[kind] = value.to(parameter.device, copy=True)


def is_moment(key: str) -> bool:
    """Whether a tensor of a resume file is an optimiser's."""
    return key.partition("/")[0] not in ("parameter", "average", "buffer")


def drop_moments(path: Path) -> None:
    """Rewrite a finished run's resume file without what its optimisers kept, two thirds of it."""
    with safe_open(str(path), "pt") as file:
        names, facts = list(file.keys()), file.metadata()
        kept = {name: file.get_tensor(name) for name in names if not is_moment(name)}
    write_bytes_atomic(path, save(kept, facts))


def check_optimizer(name: OptimizerName) -> None:
    """Raises RecipeError where the optimiser takes a package that is not installed."""
    if name == "adamw8bit":
        _adamw_8bit()


def _adamw(groups: list[dict[str, Any]], **settings: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, fused=True, **settings)


def _adamw_8bit() -> Callable[..., torch.optim.Optimizer]:
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise RecipeError(
            'optimizer = "adamw8bit" takes the package bitsandbytes, which is not installed: '
            '"pip install bitsandbytes", or set optimizer = "adamw"'
        ) from error
    made: Callable[..., torch.optim.Optimizer] = AdamW8bit
    return made
