"""Help texts: a verb's docstring, laid out for a terminal of any width."""

from __future__ import annotations

import inspect
from collections.abc import Callable

__all__ = ["lesson"]


def lesson(verb: Callable[..., None]) -> str:
    """The docstring of `verb` with each paragraph on one line, as typer's help wants it.

    Raises `ValueError` for a verb without a docstring: every verb explains itself.
    """
    text = inspect.getdoc(verb)
    if not text:
        raise ValueError(f"{verb!r} has no docstring to show as help")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
