"""Characters worked on at once, each in a process with its share of the cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from onbrand.bench.record import Result
from onbrand.events import Listener

__all__ = ["at_once"]


def at_once(
    work_on: Callable[..., Result], ids: Sequence[int], num_workers: int, emit: Listener
) -> Iterator[Result]:
    """work_on(id, emit=…) of every id, in order; in processes of their own, which tell nothing,
    when there is more than one worker."""
    if num_workers == 1:
        yield from (work_on(identity, emit=emit) for identity in ids)
        return
    threads = max(1, (os.cpu_count() or 1) // num_workers)
    with ProcessPoolExecutor(
        num_workers, multiprocessing.get_context("spawn"), _take_threads, (threads,)
    ) as crew:
        try:
            yield from crew.map(work_on, ids)
        except BaseException:
            crew.shutdown(cancel_futures=True)
            raise


def _take_threads(num: int) -> None:
    """Make torch in this process leave the other workers' cores alone."""
    import torch

    torch.set_num_threads(num)
