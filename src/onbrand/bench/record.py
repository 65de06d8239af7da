"""A benchmark's result: the one JSON shape of the design, and the table people read."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

import onbrand
from onbrand.artifacts.origin import commit
from onbrand.judging import bootstrap
from onbrand.report import arm_title
from onbrand.report.wording import figure, measure

__all__ = ["MIN_GROUPS", "Result", "machine", "mean_metric", "metric", "ours_of", "result", "table"]

MIN_GROUPS = 6
"""Fewer have no interval: with three, one in four leaves out the truth, where one in twenty should.
"""

Result = dict[str, Any]
"""{"name", "version", "commit", "machine", "seed", "seconds", "metrics", "baselines", …}"""


def machine() -> dict[str, object]:
    """What the figures were made on: processor, cores, memory, accelerator, versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(_memory_bytes() / 2**30, 1),
        "accelerator": _accelerator(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "diffusers", "transformers", "peft")},
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def _accelerator() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def metric(
    value: float,
    interval: Sequence[float] | None = None,
    *,
    bar: float | None = None,
    better: str = "higher",
) -> Result:
    """One metric object; `holds` follows from the bar."""
    holds = None if bar is None else (value >= bar if better == "higher" else value <= bar)
    return {
        "value": value,
        "interval": None if interval is None else [float(end) for end in interval],
        "bar": bar,
        "holds": holds,
        "better": better,
    }


def mean_metric(
    values: Sequence[float],
    *,
    groups: Sequence[object] | None = None,
    bar: float | None = None,
    better: str = "higher",
    seed: int = 0,
    share: bool = True,
) -> Result:
    """The mean of `values` with its bootstrap interval, resampled by group; "num" counts the
    groups, and under `MIN_GROUPS` of them there is no interval. What is 0 for all, or 1 for all, is
    taken for a share (see `bootstrap`), unless `share` is False."""
    labels = [str(group) for group in (range(len(values)) if groups is None else groups)]
    num = len(set(labels))
    enough = num >= MIN_GROUPS
    interval = bootstrap(values, labels, seed=seed, share=share) if enough else None
    return metric(float(np.mean(values)), interval, bar=bar, better=better) | {"num": num}


def result(
    name: str,
    *,
    seed: int,
    seconds: float,
    metrics: Mapping[str, Result],
    baselines: Mapping[str, Mapping[str, Result]],
    **facts: object,
) -> Result:
    """The design's JSON object. `facts` follow behind it: settings, chance, sizes."""
    return {
        "name": name,
        "version": onbrand.__version__,
        "commit": commit(),
        "machine": machine(),
        "seed": seed,
        "seconds": round(seconds, 1),
        "metrics": dict(metrics),
        "baselines": {arm: dict(found) for arm, found in baselines.items()},
        **facts,
    }


def table(found: Mapping[str, Any]) -> Table:
    """A result as a table: a row per metric, ours first, then the baselines, then the bar."""
    title = f"bench {found['name']}" + (
        " (quick: not a figure to quote)" * bool(found.get("quick"))
    )
    drawn = Table(title=title, title_justify="left", pad_edge=False)
    drawn.add_column("measure")
    drawn.add_column(arm_title(ours_of(found)), justify="right")
    for arm in found["baselines"]:
        drawn.add_column(arm_title(arm), justify="right")
    drawn.add_column("bar", justify="right")
    for name, ours in found["metrics"].items():
        others = [arm.get(name) for arm in found["baselines"].values()]
        arrow = "↑" if ours["better"] == "higher" else "↓"
        drawn.add_row(
            f"{measure(name).label} {arrow}",
            f"[bold]{printed(name, ours)}[/]",
            *(printed(name, other) if other else "" for other in others),
            bar_words(name, ours),
        )
    return drawn


def ours_of(found: Mapping[str, Any]) -> str:
    """The arm that a result's "metrics" are of: onbrand, or a row of the ablation that is not the
    recipe's own."""
    return str(found.get("ours", "onbrand"))


def printed(name: str, found: Mapping[str, Any]) -> str:
    """ "93 % (90–96)": value and interval."""
    text = figure(name, found["value"])
    if found["interval"] is None:
        return text
    low, high = (figure(name, end).removesuffix("\u202f%") for end in found["interval"])
    return f"{text} ({low}{' to ' if low.startswith('−') else '–'}{high})"


def bar_words(name: str, found: Mapping[str, Any]) -> str:
    """ "≥ 90 % met": the bar and whether it holds; empty without one."""
    if found["bar"] is None:
        return ""
    sign = "≥" if found["better"] == "higher" else "≤"
    return f"{sign} {figure(name, found['bar'])} {'met' if found['holds'] else 'missed'}"
