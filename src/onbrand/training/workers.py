"""The processes that train one model together: `accelerate launch --num_processes N -m onbrand …`.

Each process sees its share of every step's samples; the gradients are added up, so that N processes
do what one does. The adapter is all that is trained, and small: adding its gradients is the whole
exchange. The first process alone writes files; the others read what it wrote, so they must see the
same folder.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor

__all__ = ["ALONE", "Workers", "launched"]

LONGEST_WAIT = timedelta(hours=12)  # the first one draws and measures while the others wait


@dataclass(frozen=True, slots=True)
class Workers:
    """This process is number `index` of `num`. One alone does nothing in any of the methods."""

    index: int = 0
    num: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and says what happens."""
        return self.index == 0

    def add(self, parameters: Sequence[Tensor], numbers: dict[str, float]) -> dict[str, float]:
        """Add up `.grad` of the parameters over all processes, in place, and return the sum of the
        numbers by name; one that some process lacks counts as 0 there. A parameter that no process
        has a gradient of is left without: an optimiser passes it over, as in one process."""
        if self.num == 1:
            return numbers
        from accelerate.utils import gather_object, reduce

        told = gather_object([(numbers, [p.grad is not None for p in parameters])])
        held = zip(parameters, *(has_grad for _, has_grad in told), strict=True)
        parameters = [parameter for parameter, *had in held if any(had)]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = reduce(torch.cat([g.flatten() for g in grads]), reduction="sum")
        for parameter, grad, part in zip(
            parameters, grads, flat.split([g.numel() for g in grads]), strict=True
        ):
            parameter.grad = part.view_as(grad)
        total: dict[str, float] = {}
        for theirs, _ in told:
            for name, value in theirs.items():
                total[name] = total.get(name, 0.0) + value
        return total

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        if self.num == 1:
            return flag
        from accelerate.utils import gather_object

        return any(gather_object([flag]))

    def wait(self) -> None:
        """Until all processes are here."""
        if self.num > 1:
            torch.distributed.barrier()

    @contextlib.contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """The block runs in the first process, then in the others, which find what it left."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()


ALONE = Workers()
"""One process, as without a launcher."""


def launched(environment: Mapping[str, str] = os.environ) -> Workers:
    """The processes that accelerate (or torchrun) launched, connected; `ALONE` without a launcher.

    On the processor they speak over gloo.
    """
    if int(environment.get("WORLD_SIZE", "1")) < 2:
        return ALONE
    from accelerate import PartialState

    from onbrand.models.device import chosen_device

    state = PartialState(cpu=chosen_device() == "cpu", timeout=LONGEST_WAIT)
    return Workers(state.process_index, state.num_processes)
