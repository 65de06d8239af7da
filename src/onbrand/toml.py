"""TOML files as typed settings: what is wrong with one becomes a single line that helps.

An unknown key is refused with the nearest valid name, because a misspelt setting that is silently
ignored costs a night of training.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from onbrand.errors import InputError, instead, nearest

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

__all__ = ["explain", "read_toml"]

MOST_FAULTS_TOLD = 3


def read_toml(path: Path, error: type[InputError]) -> dict[str, Any]:
    """The tables of a TOML file, in UTF-8 with or without a byte order mark.

    Raises `error` when the file is missing, unreadable, not UTF-8, or not TOML.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise error(f"no file {path}") from None
    except UnicodeDecodeError:
        raise error(f"{path} is not UTF-8 text: save it as UTF-8 and try again") from None
    except OSError as fault:
        raise error(f"cannot read {path}: {fault.strerror or fault}") from fault
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise error(f"{path} is no valid TOML: {fault}") from fault
    except RecursionError:
        raise error(f"{path} is no valid TOML: its brackets are nested too deep") from None


def explain(fault: ValidationError, model: type[BaseModel]) -> str:
    """One line for a pydantic error: each key by its path, what it was, and what is allowed."""
    given: set[str] = set()
    found = [_explain_one(one, model, given) for one in fault.errors(include_url=False)]
    more = len(found) - MOST_FAULTS_TOLD
    told = "; ".join(found[:MOST_FAULTS_TOLD])
    return told + (f"; and {more} more" if more > 0 else "")


def _explain_one(one: Any, model: type[BaseModel], given: set[str]) -> str:
    """`given` is the advice that the line has already; what is new is added to it."""
    where: Sequence[str | int] = one["loc"]
    name = _path(where)
    if one["type"] == "extra_forbidden":
        known = sorted(_fields_at(model, where[:-1]))
        advice = instead(str(where[-1]), known)
        told = f"unknown key {name!r}" + ("" if advice in given else f": {advice}")
        given.add(advice)
        return told
    if one["type"] == "missing":
        return f"{name!r} is missing"
    if one["type"] == "string_too_short":
        return f"{name!r} is empty"
    text = str(one["msg"])
    text = text.removeprefix("Value error, ").removeprefix("Input ")
    if one["type"] == "literal_error":
        allowed = [
            part.strip(" '") for part in one["ctx"]["expected"].replace(" or ", ",").split(",")
        ]
        guess = nearest(str(one["input"]), allowed)
        text += f": did you mean {guess!r}?" if guess else ""
    return f"{name} = {_short(one['input'])}: {text}" if where else text


def _path(where: Sequence[str | int]) -> str:
    """("stage", 0, "kind") as people count: stage[1].kind."""
    out = ""
    for part in where:
        out += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _fields_at(model: type[BaseModel], where: Sequence[str | int]) -> set[str]:
    """The field names that are valid in the table at `where`."""
    from pydantic import BaseModel

    at: type[BaseModel] = model
    for part in where:
        if isinstance(part, str) and part in at.model_fields:
            for inner in _types_in(at.model_fields[part].annotation):
                if isinstance(inner, type) and issubclass(inner, BaseModel):
                    at = inner
    return set(at.model_fields)


def _types_in(annotation: Any) -> list[Any]:
    inner = get_args(annotation)
    return [t for a in inner for t in _types_in(a)] if inner else [annotation]
