"""Characters worked on at once, each in a process with its share of the cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from threading import Thread

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
        num_workers, multiprocessing.get_context("spawn"), _join, (threads,)
    ) as crew:
        try:
            yield from crew.map(work_on, ids)
        except BaseException:
            crew.shutdown(cancel_futures=True)
            raise


def _join(num_threads: int) -> None:
    """Make torch in this process leave the other workers' cores alone, and end with the parent:
    who was killed should not go on training."""
    import torch

    torch.set_num_threads(num_threads)
    Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
