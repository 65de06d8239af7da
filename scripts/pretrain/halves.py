"""Data parallelism over threads: each thread runs a replica on its share of the batch.

OpenMP meets at a barrier after every operation, so two-thread training collapses when anything
else wants a core. Replicas on one thread each meet once a step, and scale better on small layers.
"""

from __future__ import annotations

import argparse
import copy
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from options import autocast
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

__all__ = ["Ahead", "Halves", "stepper"]

Loss = Callable[[nn.Module, int], tuple[Tensor, dict[str, float]]]
"""(replica, its number) -> (mean loss of its share of the batch, numbers)."""


class Ahead:
    """`function(step)` for the steps to come, prepared by processes while the device works.

    Forked, so that `function` may be any closure; it must not touch the device. Steps are asked for
    one after the other.
    """

    def __init__(self, function: Callable[[int], Any], num_workers: int) -> None:
        self.function, self.num_workers = function, num_workers
        self._made: Iterator[Any] | None = None

    def __call__(self, step: int) -> Any:
        """The same as function(step)."""
        if not self.num_workers:
            return self.function(step)
        if self._made is None:
            loader = DataLoader(
                _Steps(self.function), batch_size=None, sampler=_From(step),
                num_workers=self.num_workers, multiprocessing_context="fork",
                prefetch_factor=4,
            )  # fmt: skip
            self._made = iter(loader)
        return next(self._made)


class _Steps(Dataset[Any]):
    def __init__(self, function: Callable[[int], Any]) -> None:
        self.function = function

    def __getitem__(self, step: int) -> Any:
        return self.function(step)


class _From(Sampler[int]):
    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.first)


class Halves:
    """Replicas of a module that share its weights; `gradients` sums their gradients into it.

    The sum runs in a fixed order, so a step is deterministic whatever the threads do.
    """

    def __init__(self, module: nn.Module, num: int) -> None:
        self.module = module
        self.num = num
        self.replicas = [module, *(copy.deepcopy(module) for _ in range(num - 1))]
        for replica in self.replicas[1:]:
            for mine, theirs in zip(replica.parameters(), module.parameters(), strict=True):
                mine.data = theirs.data
        self._pool = ThreadPoolExecutor(num)
        torch.set_num_threads(1)

    def gradients(self, loss: Loss) -> tuple[Tensor, dict[str, float]]:
        """Run `loss` on every replica at once; fills .grad with the mean; returns mean loss."""

        def work(k: int) -> tuple[Tensor, dict[str, float]]:
            value, numbers = loss(self.replicas[k], k)
            value.backward()
            return value.detach(), numbers

        results = [f.result() for f in [self._pool.submit(work, k) for k in range(self.num)]]
        columns = [list(r.parameters()) for r in self.replicas]
        for row in zip(*columns, strict=True):
            first = row[0]
            if first.grad is None:
                continue
            for other in row[1:]:
                if other.grad is not None:
                    first.grad += other.grad
                    other.grad = None
            first.grad /= self.num
        mean = torch.stack([value for value, _ in results]).mean()
        return mean, {k: sum(n[k] for _, n in results) / self.num for k in results[0][1]}


def stepper(
    module: nn.Module,
    source: Callable[..., dict[str, Tensor]],
    loss_of: Callable[[nn.Module, dict[str, Tensor]], tuple[Tensor, dict[str, float]]],
    options: argparse.Namespace,
) -> Callable[[int], tuple[Tensor, dict[str, float]]]:
    """`step(index)` for the engine's loop, on as many replicas as there are threads.

    `source(step, share=slice)` makes the tensors of a share of the batch, ahead of time, and
    `loss_of(replica, tensors)` its mean loss and numbers, in mixed precision.
    """
    halves = Halves(module, options.threads)
    size = options.batch // halves.num
    shares = [
        Ahead(partial(source, share=slice(k * size, (k + 1) * size)), options.workers)
        for k in range(halves.num)
    ]

    def loss(replica: nn.Module, k: int, index: int) -> tuple[Tensor, dict[str, float]]:
        batch = {name: x.to(options.device) for name, x in shares[k](index).items()}
        with autocast(options):
            return loss_of(replica, batch)

    return lambda index: halves.gradients(partial(loss, index=index))
