"""The ablation's rows as a table for people: differences to the row compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from onbrand.report.wording import figure, measure

__all__ = ["GROUPS", "looked_at", "row_cells", "row_heads", "row_tables"]

GROUPS: Mapping[str, Sequence[str]] = {
    "What each brings": (
        "identity", "retrieval_fraction", "alignment", "directional_alignment", "diversity",
        "expression_fraction", "pose_fraction",
    ),
    "Part by part": (
        "head_identity", "ears_identity", "eyes_identity", "mark_identity", "outfit_identity",
    ),
    "What goes wrong": (
        "shape_doubt", "oiliness", "background_detail", "pose_variety", "prior_drift",
    ),
}  # fmt: skip
"""Title of a table → the figures in it."""

MISSES: Mapping[int, float] = {6: 0.143, 8: 0.109, 12: 0.096, 16: 0.076, 32: 0.065}
"""Number of characters → how often a bootstrap 95 % interval of their mean leaves out the truth:
simulated, normal differences, 1,500 runs each. Between them in a line; beyond, the nearest."""


def row_heads(found: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Column titles, of the figures that there are."""
    return ["Row", "against", *(measure(name).label for name in _known(found, names))]


def row_cells(
    found: Mapping[str, Any], names: Sequence[str], *, brief: bool = False
) -> list[list[str]]:
    """A line per row: its name, the compared one, and the differences; figures of the first row
    stand as they are. A difference is marked where its interval leaves out 0: ▲ better, ▼ worse;
    one of too few characters for an interval says of how many it is.
    `brief` leaves out intervals and what a row is about, to fit a terminal."""
    known = _known(found, names)
    lines = []
    for title, row in found["rows"].items():
        about = f" ({row['about']})" if row["about"] and not brief else ""
        cells = [title + about, row["against"]]
        for name in known:
            if row["differences"]:
                cells.append(_difference(name, row["differences"].get(name), brief))
            else:
                cells.append(figure(name, row["metrics"][name]["value"]))
        lines.append(cells)
    return lines


def looked_at(found: Mapping[str, Any], names: Sequence[str]) -> str:
    """How many differences with an interval a table of these figures has, and how many of them
    chance would mark (see `MISSES`)."""
    differences = [
        row["differences"][name]
        for row in found["rows"].values()
        for name in _known(found, names)
        if name in row["differences"]
    ]
    nums = [one["num"] for one in differences if one["interval"] is not None]
    by_chance = np.interp(nums, list(MISSES), list(MISSES.values())).sum()
    return f"{len(nums)} intervals: chance alone would mark about {by_chance:.0f} of them."


def row_tables(found: Mapping[str, Any]) -> list[Table]:
    """The tables of a terminal."""
    tables = []
    for title, names in GROUPS.items():
        drawn = Table(
            title=title, caption=looked_at(found, names), title_justify="left",
            caption_justify="left", pad_edge=False,
        )  # fmt: skip
        for place, head in enumerate(row_heads(found, names)):
            drawn.add_column(head, justify="left" if place < 2 else "right")
        for cells in row_cells(found, names, brief=True):
            drawn.add_row(*cells)
        tables.append(drawn)
    return tables


def _known(found: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [name for name in names if name in next(iter(found["rows"].values()))["metrics"]]


def _difference(name: str, change: Mapping[str, Any] | None, brief: bool) -> str:
    if change is None:
        return ""
    text = _signed(name, change["value"])
    if change["interval"] is None:
        return text if brief else f"{text} (of {change['num']})"
    low, high = change["interval"]
    sure = low > 0 or high < 0
    better = (change["value"] > 0) == (change["better"] == "higher")
    mark = f" {'▲' if better else '▼'}" if sure else ""
    return f"{text}{'' if brief else f' ({_signed(name, low)} to {_signed(name, high)})'}{mark}"


def _signed(name: str, value: float) -> str:
    """ "+3", "−0.012": shares in points."""
    points = measure(name).kind == "share"
    text = f"{value * 100:+.0f}" if points else f"{value:+.3f}"
    return text.replace("-", "−")
