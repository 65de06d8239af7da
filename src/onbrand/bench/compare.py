"""Is a new result better than a stored one? A weight must pass this to replace another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onbrand.bench.record import Result
from onbrand.errors import ArtifactError, InputError

__all__ = ["Comparison", "compare", "read_result"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Names of the metrics that differ beyond chance, each way, of the new ones and of those that
    the stored result alone has."""

    better: tuple[str, ...]
    worse: tuple[str, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def lost(self) -> bool:
        """Something is worse, or is measured no more."""
        return bool(self.worse or self.gone)


def compare(found: Result, stored: Result) -> Comparison:
    """A metric is better or worse when each value lies outside the other's interval, so that chance
    decides nothing; without intervals, when they differ at all. Sizes, which have a
    budget and no direction, and speeds, which are another machine's, are not compared.

    Raises InputError for results of two benches, or of a quick run and a whole one.
    """
    kinds = [(one["name"], one["quick"]) for one in (found, stored)]
    if kinds[0] != kinds[1]:
        ours, theirs = (f"{name}{', quick' if quick else ''}" for name, quick in kinds)
        raise InputError(f"a result of {ours} cannot be compared with one of {theirs}")
    ways: dict[str, list[str]] = {"better": [], "worse": [], "new": [], "gone": []}
    for name, mine in found["metrics"].items():
        before = stored["metrics"].get(name)
        way = "new" if before is None else _way(mine, before)
        if way and _is_compared(name):
            ways[way].append(name)
    ways["gone"] = [name for name in stored["metrics"] if name not in found["metrics"]]
    return Comparison(*(tuple(names) for names in ways.values()))


def _is_compared(name: str) -> bool:
    return not (name.endswith("_mib") or name.startswith("seconds") or "per_second" in name)


def _way(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    if _within(ours["value"], theirs) or _within(theirs["value"], ours):
        return ""
    return (
        "better" if (ours["value"] > theirs["value"]) == (ours["better"] == "higher") else "worse"
    )


def _within(value: float, other: Mapping[str, Any]) -> bool:
    low, high = other["interval"] or (other["value"], other["value"])
    return bool(low <= value <= high)


def read_result(path: Path) -> Result:
    """A stored result. Raises ArtifactError when the file is none."""
    try:
        found: Result = json.loads(path.read_text(encoding="utf-8"))
        found["metrics"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{path} is not a benchmark's result ({type(error).__name__}: {error}): "
            "write one with `onbrand bench NAME --json FILE`"
        ) from error
    return found
