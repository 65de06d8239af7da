"""What guards a long run: Ctrl-C never cuts a step in half, and a full memory is explained."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

import torch

from onbrand.errors import OutOfMemory
from onbrand.recipe import Recipe

__all__ = ["interrupt_flag", "is_due", "memory_errors"]

_FULL = ("can't allocate memory", "not enough memory", "out of memory")


LOSS_S = 60.0  # of work that a kill may cost, where steps are slow
DEAR_S, DEAR_TIMES = 1.0, 20.0


def is_due(step: int, period: int, since_s: float, saving_s: float) -> bool:
    """Whether to write a checkpoint after this step: each `period` steps (0: never), or when a
    minute has gone `since_s` the last. One that takes more than a second (`saving_s`) waits until
    twenty times as long has gone, so that at most a twentieth of the time goes into writing."""
    if not period or (saving_s > DEAR_S and since_s < DEAR_TIMES * saving_s):
        return False
    return step % period == 0 or since_s > LOSS_S


@contextlib.contextmanager
def interrupt_flag() -> Iterator[threading.Event]:
    """SIGINT sets the flag instead of cutting a step in half; a second one ends at once."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        flag.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def memory_errors(recipe: Recipe) -> Iterator[None]:
    """Turns a failed allocation, on the CPU or a card, into `OutOfMemory` with what to lower.

    A card raises torch.OutOfMemoryError; the CPU's allocator a RuntimeError with words alone.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        told = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not told and not any(words in str(error) for words in _FULL):
            raise
        raise OutOfMemory(
            f"no memory left for this recipe; the last checkpoint is kept. {_advice(recipe)}"
        ) from error


def _advice(recipe: Recipe) -> str:
    """What of the recipe saves memory, what leaves the result as it is first."""
    found = []
    batches = [stage for stage in recipe.stage if stage.gradient_accumulation < stage.batch_size]
    if batches:
        least = min(stage.gradient_accumulation for stage in batches)
        most = max(stage.batch_size for stage in batches)
        same = "other dropout" if recipe.lora.dropout else "the same result"
        found.append(
            f"Raise gradient_accumulation (now {least}; {same}), or lower batch_size (now {most})"
        )
    if not recipe.gradient_checkpointing:
        found.append("Set gradient_checkpointing = true (slower; the same but for rounding)")
    if recipe.optimizer == "adamw":
        found.append('Set optimizer = "adamw8bit" (on a card, with bitsandbytes)')
    size = f"now {recipe.resolution_px}" if recipe.resolution_px else "now the base's own size"
    found.append(f"Lower resolution_px ({size}) or the rank of [lora] (now {recipe.lora.rank})")
    return ". ".join(found)
