"""A sweep's page: which combination to take, the trade-off, every combination's figures and
pictures. Also sweep.json, sheet.png and tradeoff.svg beside it."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image

import onbrand
from onbrand.artifacts.judgement import Arm, alignment_name
from onbrand.files import write_json_atomic, write_text_atomic
from onbrand.pixels import write_png
from onbrand.report.context import Shown
from onbrand.report.page import embed, typeset
from onbrand.report.plots import interval_svg
from onbrand.report.tradeoff import Dot, standalone, tradeoff_svg
from onbrand.report.wording import figure, measure, spread
from onbrand.sheet import contact_sheet

__all__ = ["SweepContext", "SweepRow", "build_sweep_page", "write_sweep"]

SHOWN_PX, LEAST_COLUMNS = 160, 6


@dataclass(frozen=True)
class SweepRow:
    """One combination: `label` names its settings, `arm` holds its figures (None: it has none),
    `note` what became of it ("gate failed: …", "" when all is well), `cost` what it took.
    `pictures` are of the same prompts and seeds, in the same order, in every row that has any."""

    number: int
    label: str
    arm: Arm | None
    note: str = ""
    cost: str = ""
    chosen: bool = False
    front: bool = False
    usable: bool = True
    pictures: Sequence[Shown] = ()


@dataclass(frozen=True)
class SweepContext:
    """Everything on the page. `lead` says what to take ("Take rank 8", colons of settings and all),
    `reason` why, `advice` what is uncertain of it; `base` is the untouched base (its number is 0),
    which competes with none; `prompts` name the columns of pictures, each over its equal share of
    them; `facts` are short (name, value) pairs; `commands` make it again and use it."""

    brand: str
    lead: str
    reason: str
    rows: Sequence[SweepRow]
    base: SweepRow
    prompts: Sequence[str]
    advice: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    commands: Sequence[str] = ()


def build_sweep_page(context: SweepContext) -> str:
    """One HTML page with everything inside it, in the report's look."""
    folder = importlib.resources.files("onbrand.report") / "templates"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string((folder / "sweep.html.j2").read_text("utf-8"))
    lead, reason = typeset(context.lead), typeset(context.reason)
    shown = [row for row in (*context.rows, context.base) if row.pictures]
    return template.render(
        brand=context.brand,
        sentence=f"{lead}: {reason}",
        lead=f"{_whole(lead)}:",
        rest=f" {reason}",
        css=Markup((folder / "report.css").read_text("utf-8")),
        advice=[typeset(line) for line in context.advice],
        keys=_keys(context),
        plot=Markup(_plot(context)),
        table=_table(context),
        runs=[
            {"row": row, "photos": [embed(one, SHOWN_PX) for one in row.pictures]} for row in shown
        ],
        num_columns=max([LEAST_COLUMNS, *(len(row.pictures) for row in shown)]),
        prompts=context.prompts,
        facts=context.facts,
        commands=context.commands,
        version=onbrand.__version__,
    )


def write_sweep(folder: Path, context: SweepContext, figures: Mapping[str, Any]) -> Path:
    """Writes sweep.html and, beside it, sweep.json (`figures`), sheet.png (a row per combination)
    and tradeoff.svg, the last two where there is something to show. Returns the page's path.

    Raises `StorageError` when the disk is full; what was there before stays.
    """
    page = folder / "sweep.html"
    write_text_atomic(page, build_sweep_page(context))
    write_json_atomic(folder / "sweep.json", figures)
    if plot := _plot(context):
        css = importlib.resources.files("onbrand.report") / "templates" / "report.css"
        write_text_atomic(folder / "tradeoff.svg", standalone(plot, css.read_text("utf-8")))
    if sheet := _sheet(context):
        write_png(sheet, folder / "sheet.png", None)
    return page


def _whole(lead: str) -> str:
    """ "Take guidance 4, rank 8" with each value tied to its name, so that no line parts them."""
    return ", ".join("\u00a0".join(part.rsplit(" ", 1)) for part in lead.split(", "))


def _sheet(context: SweepContext) -> Image.Image | None:
    rows = [row for row in (*context.rows, context.base) if row.pictures]
    if not rows:
        return None
    captions = [
        f"{row.number or ''}   {row.label}{' (take this)' * row.chosen}".strip() for row in rows
    ]
    pictures = [[one.picture for one in row.pictures] for row in rows]
    return contact_sheet(pictures, captions, context.prompts)


def _plot(context: SweepContext) -> str:
    dots = [dot for row in context.rows if (dot := _dot(row)) is not None]
    base = context.base.arm.metrics if context.base.arm else {}
    return tradeoff_svg(
        dots,
        _dot(context.base),
        f"{measure(alignment_name(base)).label}: follows the prompt",
        "identity: is it the brand",
    )


def _dot(row: SweepRow) -> Dot | None:
    if row.arm is None or not {"alignment", "identity"} <= set(row.arm.metrics):
        return None
    x, y = row.arm.metrics[alignment_name(row.arm.metrics)], row.arm.metrics["identity"]
    return Dot(
        str(row.number), row.label, x.value, y.value, x.interval, y.interval,
        row.front, row.chosen, row.usable,
    )  # fmt: skip


def _keys(context: SweepContext) -> list[dict[str, object]]:
    """The figures of the combination to take, the base's beside them."""
    taken = next((row for row in context.rows if row.chosen), None)
    if taken is None or taken.arm is None:
        return []
    known = {} if context.base.arm is None else context.base.arm.metrics
    return [
        {
            "label": measure(name).label,
            "value": figure(name, metric.value),
            "beside": f"untouched base {figure(name, known[name].value)}" if name in known else "",
        }
        for name, metric in taken.arm.metrics.items()
    ]


def _table(context: SweepContext) -> dict[str, object]:
    """A row per combination, the base last; a column per figure, its best usable value marked."""
    rows = [*context.rows, context.base]
    arms = [row.arm for row in rows if row.arm is not None]
    names = list(dict.fromkeys(name for arm in arms for name in arm.metrics))
    best, scales = {}, {}
    for name in names:
        usable = [
            row.arm.metrics[name].value
            for row in context.rows
            if row.usable and row.arm is not None and name in row.arm.metrics
        ]
        best[name] = max(usable) if len(set(usable)) > 1 else None
        metrics = [arm.metrics[name] for arm in arms if name in arm.metrics]
        ends = [m.value for m in metrics] + [end for m in metrics for end in m.interval or ()]
        scales[name] = (min(ends), max(ends))
    return {
        "heads": [(measure(name).label, typeset(measure(name).meaning)) for name in names],
        "trains": any(row.cost for row in rows),
        "ranks": any(value is not None for value in best.values()),
        "rows": [
            {"row": row, "cells": [_cell(row, name, best[name], scales[name]) for name in names]}
            for row in rows
        ],
    }


def _cell(
    row: SweepRow, name: str, best: float | None, scale: tuple[float, float]
) -> dict[str, object] | None:
    if row.arm is None or name not in row.arm.metrics:
        return None
    metric = row.arm.metrics[name]
    is_best = row.usable and metric.value == best
    return {
        "value": figure(name, metric.value),
        "range": spread(name, metric.interval or ()),
        "best": is_best,
        "plot": Markup(interval_svg(metric.value, metric.interval, scale, best=is_best)),
    }
