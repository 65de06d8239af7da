"""Is a new result better than a stored one? A weight must pass this to replace another."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from onbrand.bench.record import Result
from onbrand.errors import ArtifactError, InputError

__all__ = ["Comparison", "check_kind", "compare", "read_result", "unlike"]


SURE = 0.1
"""Of a figure without an interval: a tenth is no chance."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Names of the metrics that differ beyond chance, each way, of those that differ and whose
    chance nobody knows, of the new ones and of those that the stored result alone has."""

    better: tuple[str, ...]
    worse: tuple[str, ...]
    undecided: tuple[str, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def lost(self) -> bool:
        """Something is worse, or is measured no more."""
        return bool(self.worse or self.gone)


def compare(found: Result, stored: Result) -> Comparison:
    """A metric is better or worse when the values differ by more than the two half widths of their
    intervals put together, √(a² + b²), as errors of two independent measurements are; so chance
    decides as rarely as an interval leaves out the truth. What has no interval decides when it
    differs by more than `SURE` of the stored value; else it is undecided, as is what is `unlike`.
    Sizes, which have a budget and no direction, and speeds, which are another machine's, are not
    compared.

    Raises InputError as `check_kind` does.
    """
    check_kind(stored, str(found["name"]), quick=bool(found["quick"]))
    ways: dict[str, list[str]] = {field.name: [] for field in fields(Comparison)}
    other = unlike(found, stored)
    for name, mine in found["metrics"].items():
        before = stored["metrics"].get(name)
        way = "new" if before is None else _way(mine, before)
        if before is not None and name in other:
            way = "undecided"
        if way and _is_compared(name):
            ways[way].append(name)
    ways["gone"] = [name for name in stored["metrics"] if name not in found["metrics"]]
    return Comparison(*(tuple(names) for names in ways.values()))


def unlike(found: Result, stored: Result) -> tuple[str, ...]:
    """Names of the figures that two results have of unlike things: the more pictures, the larger
    the same model's Fréchet ratio."""
    same = found.get("num_likeness") == stored.get("num_likeness")
    return () if same else ("frechet_ratio",)


def _is_compared(name: str) -> bool:
    return not (name.endswith("_mib") or name.startswith("seconds") or "per_second" in name)


def _way(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    higher = ours["value"] > theirs["value"]
    low, high = (theirs, ours) if higher else (ours, theirs)
    apart = high["value"] - low["value"]
    if not (ours["interval"] and theirs["interval"]):
        if apart <= SURE * abs(theirs["value"]):
            return "undecided" if apart else ""
    elif apart <= math.hypot(_width(low, 1), _width(high, 0)):
        return ""
    return "better" if higher == (ours["better"] == "higher") else "worse"


def _width(found: Mapping[str, Any], end: int) -> float:
    """How far the interval reaches from the value to its lower (0) or upper (1) end."""
    return float(abs(found["interval"][end] - found["value"]))


def read_result(path: Path) -> Result:
    """A stored result. Raises ArtifactError when the file is none."""
    if not path.exists():
        raise ArtifactError(f"no file {path}: name a stored result")
    try:
        found: Result = json.loads(path.read_text(encoding="utf-8"))
        found["metrics"].items()
        str(found["name"]), bool(found["quick"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{path} is not a benchmark's result ({type(error).__name__}: {error}): "
            "write one with `onbrand bench NAME --json FILE`"
        ) from error
    return found


def check_kind(stored: Result, name: str, *, quick: bool) -> None:
    """Raises InputError where a result of bench `name` cannot be compared with the stored one,
    which is another bench's, or a quick run's beside a whole one."""
    kinds = [(name, quick), (stored["name"], stored["quick"])]
    if kinds[0] != kinds[1]:
        ours, theirs = (f"{kind}{', quick' if short else ''}" for kind, short in kinds)
        raise InputError(f"a result of {ours} cannot be compared with one of {theirs}")
