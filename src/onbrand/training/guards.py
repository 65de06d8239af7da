"""What guards a long run: a full disk is told in words, Ctrl-C never cuts a step in half."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from onbrand.errors import StorageError

__all__ = ["interrupt_flag", "storage_errors"]


@contextlib.contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Say what to do when the disk is full; what was saved before stays whole."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"could not write in {folder}: {error}. Free some space, resume."
        ) from error
    except Exception as error:  # safetensors raises its own class on a full disk
        if "I/O error" in str(error) or "No space" in str(error):
            raise StorageError(f"could not write in {folder}: {error}") from error
        raise


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
