"""What long work says about itself: typed events that a listener renders.

A long function takes `emit: Listener = silent` and tells of its progress through it; the command
line draws bars from the events, a server logs them, a test collects them in a list. Nothing below
`app` prints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = [
    "Advanced",
    "Event",
    "Finished",
    "Listener",
    "Noted",
    "Skipped",
    "Started",
    "Warned",
    "silent",
    "warning_once",
]


@dataclass(frozen=True, slots=True)
class Started:
    """A task has begun: `total` units of work are known to lie ahead, or None."""

    task: str
    total: int | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Advanced:
    """`done` units of the task are done so far; `numbers` are the figures that matter now."""

    task: str
    done: int
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finished:
    """The task has ended well; `facts` say what it made."""

    task: str
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Warned:
    """Something is likely a mistake; the work goes on."""

    message: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Something worth a line, and no cause for worry."""

    message: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """One input was left out, and why, in plain words."""

    path: str
    reason: str


Event = Started | Advanced | Finished | Warned | Noted | Skipped
"""Any of the events."""

Listener = Callable[[Event], None]
"""Takes each event as it happens, on the thread of the work; it must not raise."""


def silent(event: Event) -> None:
    """The listener that does nothing."""


def warning_once(emit: Listener) -> Listener:
    """Passes everything on, but a warning that is repeated a single time."""
    heard: set[Event] = set()

    def hear(event: Event) -> None:
        if isinstance(event, Warned):
            if event in heard:
                return
            heard.add(event)
        emit(event)

    return hear
