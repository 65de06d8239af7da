"""Turns events into what a person sees: progress bars on a terminal, plain lines elsewhere.

Progress, notes and warnings go to stderr; what a verb made (paths, tables) goes to stdout,
so that `report=$(onbrand report kuro)` holds a path and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from onbrand.errors import counted
from onbrand.events import Advanced, Event, Finished, Listener, Noted, Skipped, Started, Warned

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

__all__ = ["Stopped", "number", "seconds", "showing"]

PLAIN_LINE_EVERY_S = 15.0
MAX_SKIPS_SHOWN = 8


class Stopped(Exception):
    """Ctrl-C was pressed; the message says what is kept and how to go on."""


def number(value: object) -> str:
    """A figure as short as it can be read: 12, 0.083, 1.2e-05; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    whole = isinstance(value, int) or (value.is_integer() and abs(value) < 1e6)
    text = f"{int(value):,}" if whole else f"{value:.3g}"
    return f"−{text[1:]}" if text.startswith("-") else text


def seconds(value: float) -> str:
    """A duration as people say it: 8 s, 3 min 05 s, 2 h 04 min."""
    if value < 60:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _facts(numbers: Mapping[str, object]) -> str:
    return "  ".join(
        f"{name} {seconds(float(value)) if name == 'seconds' else number(value)}"
        for name, value in numbers.items()
        if isinstance(value, int | float)
    )


class _View(Protocol):
    def hear(self, event: Event) -> None: ...

    def close(self) -> None: ...


class _Remarks:
    """Notes, warnings and skips, the same in both views; long lists of skips are cut short."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.skips = 0

    def hear(self, event: Event) -> None:
        if isinstance(event, Warned):
            self.line(f"[yellow]warning:[/] {_plain(event.message)}")
        elif isinstance(event, Noted):
            self.line(_plain(event.message))
        elif isinstance(event, Skipped):
            self.skips += 1
            if self.skips <= MAX_SKIPS_SHOWN:
                self.line(f"[dim]skipped {_plain(event.path)}: {_plain(event.reason)}[/]")

    def line(self, markup: str) -> None:
        self.console.print(markup, soft_wrap=True, highlight=False)

    def close(self) -> None:
        more = self.skips - MAX_SKIPS_SHOWN
        if more > 0:
            self.line(f"[dim]… and {more} more skipped; dataset/manifest.json lists them all[/]")


class _Bars:
    """A live bar per task, with the numbers that matter behind it."""

    def __init__(self, console: Console) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.remarks = _Remarks(console)
        self.tasks: dict[str, TaskID] = {}
        self.begun: dict[str, float] = {}
        self.progress: Progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("[dim]{task.fields[unit]}[/]"),
            TimeElapsedColumn(),
            TextColumn("[dim]left[/]"),
            TimeRemainingColumn(compact=True),
            TextColumn("[cyan]{task.fields[numbers]}[/]"),
            console=console,
        )
        self.progress.start()

    def hear(self, event: Event) -> None:
        if isinstance(event, Started):
            self._drop(event.task)
            self.begun[event.task] = time.monotonic()
            self.tasks[event.task] = self.progress.add_task(
                _plain(event.task), total=event.total, unit=event.unit, numbers=""
            )
        elif isinstance(event, Advanced) and event.task in self.tasks:
            self.progress.update(
                self.tasks[event.task], completed=event.done, numbers=_facts(event.numbers)
            )
        elif isinstance(event, Finished):
            self._drop(event.task)
            self.remarks.line(_finished_line(event, self.begun.pop(event.task, None)))
        else:
            self.remarks.hear(event)

    def _drop(self, task: str) -> None:
        if task in self.tasks:
            self.progress.remove_task(self.tasks.pop(task))

    def close(self) -> None:
        for task in list(self.tasks):
            self._drop(task)
        self.progress.stop()
        self.remarks.close()


class _Lines:
    """Plain lines for logs: one when a task starts, one now and then, one when it ends."""

    def __init__(self, console: Console) -> None:
        self.remarks = _Remarks(console)
        self.started: dict[str, Started] = {}
        self.begun: dict[str, float] = {}
        self.last_line_s: dict[str, float] = {}

    def hear(self, event: Event) -> None:
        now = time.monotonic()
        if isinstance(event, Started):
            self.started[event.task] = event
            self.begun[event.task] = self.last_line_s[event.task] = now
            unit = event.unit.removesuffix("s")
            total = "" if event.total is None else f" ({counted(event.total, unit)})"
            self.remarks.line(f"{_plain(event.task)}{total}")
        elif isinstance(event, Advanced):
            if now - self.last_line_s.get(event.task, now) >= PLAIN_LINE_EVERY_S:
                self.last_line_s[event.task] = now
                start = self.started[event.task]
                of = "" if start.total is None else f"/{start.total:,}"
                self.remarks.line(
                    f"  {event.done:,}{of} {start.unit}  {_facts(event.numbers)}".rstrip()
                )
        elif isinstance(event, Finished):
            self.remarks.line(_finished_line(event, self.begun.pop(event.task, None)))
        else:
            self.remarks.hear(event)

    def close(self) -> None:
        self.remarks.close()


def _finished_line(event: Finished, begun: float | None) -> str:
    facts = dict(event.facts)
    if "seconds" not in facts and begun is not None:
        facts["seconds"] = time.monotonic() - begun
    return f"[green]✓[/] {_plain(event.task)}  [dim]{_plain(_facts(facts))}[/]"


def _plain(text: object) -> str:
    from rich.markup import escape

    return escape(str(text))


@contextmanager
def showing(kept: str) -> Iterator[Listener]:
    """Shows events while the block runs; Ctrl-C inside it becomes `Stopped(kept)`.

    `kept` says, in one line, what an interrupted run leaves behind and how to go on.
    """
    from rich.console import Console

    console = Console(stderr=True)
    view: _View = _Bars(console) if console.is_terminal else _Lines(console)
    try:
        yield view.hear
    except KeyboardInterrupt as stop:
        raise Stopped(kept) from stop
    finally:
        view.close()
