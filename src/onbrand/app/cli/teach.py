"""Help texts: a verb's docstring, laid out for a terminal of any width."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

__all__ = ["Verb", "Verbs", "lesson"]

VALUES = {"Path": "PATH", "str": "TEXT", "int": "NUMBER", "float": "NUMBER", "bool": ""}


class Verb(TyperCommand):
    """A verb whose help calls values PATH, TEXT and NUMBER; a flag takes none."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """See `typer.core.TyperCommand`."""
        _name_values(self, ctx)
        super().format_help(ctx, formatter)


class Verbs(TyperGroup):
    """As `Verb`, for several under one name."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """See `typer.core.TyperGroup`."""
        _name_values(self, ctx)
        super().format_help(ctx, formatter)


def _name_values(command: TyperCommand | TyperGroup, ctx: Any) -> None:
    """Typer would write <list[Path]> and <bool>; an argument has no setting for it."""
    for param in command.get_params(ctx):
        if isinstance(param, TyperOption | TyperArgument):
            kind = param.bare_type().removeprefix("list[").removesuffix("]")
            name = VALUES.get(kind, kind)
            vars(param)["display_type"] = lambda ctx, name=name: name


def lesson(verb: Callable[..., None]) -> str:
    """The docstring of `verb` with each paragraph on one line, as typer's help wants it.

    Raises `ValueError` for a verb without a docstring: every verb explains itself.
    """
    text = inspect.getdoc(verb)
    if not text:
        raise ValueError(f"{verb!r} has no docstring to show as help")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
