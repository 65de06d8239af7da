"""The report: one self-contained HTML page, and the same figures as report.json."""

from __future__ import annotations

import base64
import importlib.resources
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image

import onbrand
from onbrand.artifacts.judgement import Arm, Judgement, Metric, alignment_name
from onbrand.files import write_json_atomic, write_text_atomic
from onbrand.pixels import write_png
from onbrand.report.context import Column, Curve, Evidence, Neighbour, ReportContext, Shown
from onbrand.report.plots import curve_svg, finite, interval_svg, smoothed
from onbrand.report.wording import arm_title, figure, measure, spread
from onbrand.sheet import contact_sheet

__all__ = ["build_page", "write_report"]

GRID_PX = 192
STRIP_PX = 160
ASIDE = ("base", "real")
"""Arms that are measured for reference and do not compete."""

KEYS = ("identity", "retrieval_fraction", "alignment_ratio", "memorised_fraction")


@dataclass(frozen=True)
class Photo:
    """A picture as the template wants it: a data address and its size in px."""

    src: str
    width: int
    height: int
    alt: str
    note: str


def embed(shown: Shown, size_px: int) -> Photo:
    """Shrink to at most `size_px` on the longer side (never enlarge) and embed as WebP, lossy at
    quality 90."""
    picture = shown.picture.convert("RGBA" if "A" in shown.picture.getbands() else "RGB")
    scale = min(1.0, size_px / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=90, method=4)
    src = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Photo(src, size[0], size[1], shown.alt, shown.note)


def arms(judgement: Judgement) -> dict[str, Arm]:
    """Every measured arm by name, baselines first, the real pictures last."""
    found = dict(judgement.baselines) | {arm.name: arm for arm in judgement.stages}
    real = {name: found.pop(name) for name in list(found) if name == "real"}
    return found | real


def heads(names: Sequence[str], chosen: str | None) -> list[dict[str, object]]:
    """Column headings; the checkpoint that ships is marked."""
    return [{"title": arm_title(name), "chosen": name == chosen} for name in names]


def focus_of(judgement: Judgement) -> str:
    """The stage that the verdict speaks of, ship or not; the last one where no choice was made."""
    named = judgement.ship.get("chosen") or judgement.ship.get("stage")
    return named or (judgement.stages[-1].name if judgement.stages else "")


def key_figures(judgement: Judgement) -> list[dict[str, object]]:
    """The four figures under the verdict, of the stage that it speaks of."""
    found = arms(judgement)
    if not judgement.stages:
        return []
    arm = found.get(focus_of(judgement), judgement.stages[-1])
    keys: list[dict[str, object]] = []
    for name in KEYS:
        if name not in arm.metrics:
            continue
        beside = [
            f"{arm_title(other.name)} {figure(name, other.metrics[name].value)}"
            for other in judgement.baselines.values()
            if name in other.metrics and other.name not in ASIDE and name != "alignment_ratio"
        ]
        bar = arm.metrics[name].bar
        if bar is not None:
            word = "at least" if arm.metrics[name].better == "higher" else "at most"
            beside.append(f"wanted {word} {figure(name, bar)}")
        keys.append(
            {
                "label": measure(name).label,
                "value": figure(name, arm.metrics[name].value),
                "beside": beside,
            }
        )
    return keys


def figures_table(context: ReportContext, chosen: str | None) -> dict[str, object] | None:
    """Rows = metrics, columns = arms; the best value of each row is marked (ties all are)."""
    found = arms(context.judgement)
    names = list(dict.fromkeys(name for arm in found.values() for name in arm.metrics))
    if not names:
        return None
    focus = focus_of(context.judgement)
    rows = []
    for name in names:
        cells = {arm: found[arm].metrics.get(name) for arm in found}
        known = [metric for metric in cells.values() if metric is not None]
        better = known[0].better
        rivals = [m.value for arm, m in cells.items() if m is not None and arm not in ASIDE]
        best = (max if better == "higher" else min)(rivals) if len(set(rivals)) > 1 else None
        scale = _scale(known)
        rows.append(
            {
                "label": measure(name).label,
                "meaning": _meaning(name, context.chance, found.values()),
                "better": better,
                "arrow": "↑" if better == "higher" else "↓",
                "bar": _bar(name, cells.get(focus)),
                "cells": [
                    None if metric is None else _cell(name, metric, best, scale, arm)
                    for arm, metric in cells.items()
                ],
            }
        )
    caption = (
        "↑ higher is better, ↓ lower is better; the best of each row is coloured, the untouched "
        f"base aside. The bar is {arm_title(focus)}’s."
    )
    return {"heads": heads(list(found), chosen), "rows": rows, "caption": caption}


def _scale(metrics: Sequence[Metric]) -> tuple[float, float]:
    """The range that one row's small plots share."""
    ends = [m.value for m in metrics] + [end for m in metrics for end in (m.interval or ())]
    return min(ends), max(ends)


def _meaning(name: str, chance: Mapping[str, float], arms: Iterable[Arm]) -> str:
    meaning = measure(name).meaning
    if name == "alignment_ratio":  # of what the arms have: one prompt alone has no directions
        told = {alignment_name(arm.metrics) for arm in arms if name in arm.metrics}
        meaning = f"of directions, {meaning}" if "directional_alignment" in told else meaning
    if name in chance:
        meaning += f"; chance {chance[name] * 100:.1f} %"
    return typeset(meaning)


def _cell(
    name: str, metric: Metric, best: float | None, scale: tuple[float, float], arm: str
) -> dict[str, object]:
    is_best = arm not in ASIDE and best is not None and abs(metric.value - best) < 1e-9
    interval = None if metric.interval is None else (metric.interval[0], metric.interval[1])
    return {
        "value": figure(name, metric.value),
        "range": spread(name, interval or ()),
        "best": is_best,
        "plot": Markup(interval_svg(metric.value, interval, scale, best=is_best)),
        "name": name,
    }


def _bar(name: str, metric: Metric | None) -> Markup:
    """The bar of the arm that ships (else of the last stage) and whether it is met."""
    if metric is None or metric.bar is None:
        return Markup("")
    sign = "≥" if metric.better == "higher" else "≤"
    met = "met" if metric.holds else "missed"
    return Markup('{} {}<span class="range">{}</span>').format(sign, figure(name, metric.bar), met)


def grid_rows(context: ReportContext, chosen: str | None) -> list[dict[str, object]]:
    """One row per prompt, one cell per arm."""
    return [
        {
            "prompt": prompt,
            "cells": [
                {
                    "title": column.title,
                    "chosen": column.arm == chosen,
                    "pictures": [embed(shown, GRID_PX) for shown in column.rows[number]],
                }
                for column in context.columns
            ],
        }
        for number, prompt in enumerate(context.prompts)
    ]


def _curve(curve: Curve) -> dict[str, object] | None:
    svg = curve_svg(arm_title(curve.name), curve.steps, curve.values)
    if not svg:
        return None
    steps, values = finite(curve.steps, curve.values)
    mean = smoothed(values)
    note = f"{mean[0]:.3g} → {mean[-1]:.3g} in {max(steps):,} steps"
    return {"title": arm_title(curve.name), "svg": Markup(svg), "note": note}


def _neighbour(pair: Neighbour) -> dict[str, object]:
    words = f"distance {pair.distance:.2f}"
    if pair.generated.note:
        words = f"{pair.generated.note} · {words}"
    return {
        "generated": embed(pair.generated, STRIP_PX),
        "training": embed(pair.training, STRIP_PX),
        "note": words + (" · memorised" if pair.memorised else ""),
        "memorised": pair.memorised,
    }


def _evidence(fault: Evidence) -> dict[str, object]:
    pairs = [
        {"shown": embed(shown, STRIP_PX), "other": other and embed(other, STRIP_PX)}
        for shown, other in fault.pairs
    ]
    return {"title": fault.title, "beside": typeset(fault.beside), "pairs": pairs}


def typeset(text: str) -> str:
    """Plain words as a typesetter sets them: curly quotation marks and apostrophes, percent signs
    that do not wrap."""
    opened = re.sub(r"(^|[\s(])'(?=\w)", r"\1‘", text)
    return opened.replace("'", "’").replace(" %", "\u202f%")


def _check(context: ReportContext) -> None:
    """Every column shows every prompt: a hole would shift a grid unseen."""
    for column in context.columns:
        if len(column.rows) != len(context.prompts):
            raise ValueError(
                f"column {column.arm!r} has {len(column.rows)} rows, but there are "
                f"{len(context.prompts)} prompts"
            )


def build_page(context: ReportContext) -> str:
    """Lay the report out as one HTML page with everything inside it: no script, font or address.

    Raises ValueError when a column misses a prompt's row.
    """
    _check(context)
    chosen = context.judgement.ship.get("stage") if context.good else None
    sentence = typeset(context.sentence)
    lead, colon, rest = sentence.partition(":")
    folder = importlib.resources.files("onbrand.report") / "templates"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string((folder / "report.html.j2").read_text("utf-8"))
    curves = [drawn for curve in context.curves if (drawn := _curve(curve))]
    closest = sorted(context.neighbours, key=lambda pair: pair.distance)
    columns: Sequence[Column] = context.columns
    return template.render(
        brand=context.brand,
        sentence=sentence,
        lead=lead + colon if colon else "",
        rest=rest if colon else sentence,
        css=Markup((folder / "report.css").read_text("utf-8")),
        diagnosis=[typeset(line) for line in context.diagnosis],
        keys=key_figures(context.judgement),
        focus=arm_title(focus_of(context.judgement)),
        references=[embed(shown, STRIP_PX) for shown in context.references],
        lookalikes=[embed(shown, STRIP_PX) for shown in context.lookalikes],
        heads=[{"title": c.title, "chosen": c.arm == chosen} for c in columns],
        num_seeds=max((len(row) for c in columns for row in c.rows), default=1),
        grid=grid_rows(context, chosen) if columns else [],
        table=figures_table(context, chosen),
        borrowed=context.borrowed,
        evidence=[_evidence(fault) for fault in context.evidence if fault.pairs],
        curves=curves,
        neighbours=[_neighbour(pair) for pair in closest],
        holes=context.coverage_holes,
        skipped=context.skipped,
        facts=context.facts,
        lineage=context.lineage,
        recipe_toml=context.recipe_toml.strip(),
        commands=context.commands,
        version=onbrand.__version__,
    )


def write_report(folder: Path, context: ReportContext) -> tuple[Path, Path]:
    """Write report.html, report.json and, to pass around, the grid alone as report.png.

    Returns the first two. Raises StorageError when the disk is full; what was there before stays.
    """
    page, figures = folder / "report.html", folder / "report.json"
    write_text_atomic(page, build_page(context))
    write_json_atomic(figures, context.judgement.to_dict())
    if context.columns:
        rows = [
            [shown.picture for column in context.columns for shown in column.rows[i]]
            for i in range(len(context.prompts))
        ]
        titles = [column.title for column in context.columns]
        write_png(contact_sheet(rows, context.prompts, titles), folder / "report.png")
    return page, figures
