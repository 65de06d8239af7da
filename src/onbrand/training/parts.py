"""A step in parts: micro-batches, the shares of several processes, and the search for a bad sample.

A stage says how to draw some samples of a step and what they add to its loss; how the step is cut
up is decided here, and makes no difference but rounding: every part divides by the whole step's
counts, and a sample's noise depends on its own number alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from onbrand.training.batches import Batch
from onbrand.training.engine import Part
from onbrand.training.workers import ALONE, Workers

__all__ = ["Draw", "Measure", "Parts"]

NAMES_TOLD = 4


class Draw(Protocol):
    """The samples `rows` of a step; `batches.draw_batch` with its settings bound."""

    def __call__(self, *, step: int, rows: Sequence[int]) -> Batch: ...


class Measure(Protocol):
    """What these samples of step `index` add to its loss, and the numbers to log."""

    def __call__(self, index: int, batch: Batch, /) -> Part: ...


@dataclass
class Parts:
    """The engine's `step` of a stage: `num_brand` and `num_prior` samples in `num_parts` parts per
    process. `enter(index, row)` seeds whatever draws by itself (dropout) before the part whose
    first sample is `row`. Call it with a step's index; `blame` says which samples spoiled one, by
    their own loss and its gradient in `parameters`."""

    enter: Callable[[int, int], None]
    draw: Draw
    measure: Measure
    parameters: Sequence[Tensor]
    num_brand: int
    num_prior: int = 0
    num_parts: int = 1
    workers: Workers = ALONE
    _mark: float | None = field(default=None, init=False)

    def __call__(self, index: int) -> Iterator[Part]:
        """Loss and numbers of each part; the last one also tells the pictures per second."""
        shares = range(self.workers.index, self.workers.num * self.num_parts, self.workers.num)
        num_pictures = 0
        for share in shares:
            rows = self._rows(share)
            num_pictures += len(rows)
            loss, numbers = self._part(index, rows)
            if share == shares[-1]:
                numbers = {**numbers, **self._pace(num_pictures)}
            yield loss, numbers

    def _part(self, index: int, rows: Sequence[int]) -> Part:
        self.enter(index, rows[0])
        return self.measure(index, self.draw(step=index, rows=rows))

    def _rows(self, share: int) -> list[int]:
        """Every n-th sample: neighbours have like noise levels, which would load shares unevenly,
        since only clean ones are decoded."""
        num = self.workers.num * self.num_parts
        last = self.num_brand + self.num_prior
        return [*range(share, self.num_brand, num), *range(self.num_brand + share, last, num)]

    def _pace(self, num_pictures: int) -> dict[str, float]:
        now, before = time.monotonic(), self._mark
        self._mark = now
        if before is None:
            return {}
        return {"pictures_per_second": round(num_pictures / max(now - before, 1e-9), 2)}

    def blame(self, index: int) -> str:
        """The names of the samples whose own loss or gradient is no number, in one phrase."""
        names: list[str] = []
        for row in range(self.num_brand + self.num_prior):
            loss, _ = self._part(index, [row])
            sound = math.isfinite(float(loss.detach()))
            if sound and loss.requires_grad:
                grads = torch.autograd.grad(loss, self.parameters, allow_unused=True)
                sound = all(bool(torch.isfinite(g).all()) for g in grads if g is not None)
            if not sound:
                names += self.draw(step=index, rows=[row]).names
        if not names:
            return "the batch as a whole, though no picture alone"
        more = len(names) - NAMES_TOLD
        return ", ".join(names[:NAMES_TOLD]) + (f" and {more} more" if more > 0 else "")
