"""Is a new result better than a stored one? A weight must pass this to replace another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onbrand.bench.record import Result
from onbrand.errors import ArtifactError

__all__ = ["Comparison", "compare", "read_result"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Names of the metrics that differ beyond chance, each way, and of the new ones."""

    better: tuple[str, ...]
    worse: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def improved(self) -> bool:
        """Something is better or new, and nothing is worse."""
        return not self.worse and bool(self.better or self.new)


def compare(found: Result, stored: Result) -> Comparison:
    """A metric is better or worse when each value lies outside the other's interval, so that chance
    decides nothing; without intervals, when they differ at all. Sizes, which have a
    budget and no direction, and seconds, which are another machine's, are not compared."""
    ways: dict[str, list[str]] = {"better": [], "worse": [], "new": []}
    for name, ours in found["metrics"].items():
        theirs = stored["metrics"].get(name)
        way = "new" if theirs is None else _way(ours, theirs)
        if way and not name.endswith("_mib") and not name.startswith("seconds"):
            ways[way].append(name)
    return Comparison(*(tuple(names) for names in ways.values()))


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
