"""Plots as inline SVG, drawn by hand: no fonts, no scripts, and they print as sharply as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

__all__ = ["curve_svg", "finite", "interval_svg", "round_ticks", "smoothed", "tick_texts"]

WIDTH, HEIGHT = 520, 220
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 8, 28


def smoothed(values: Sequence[float], share: float = 0.08) -> list[float]:
    """A centred running mean over `share` of the curve (at least 3 points, edges shortened)."""
    width = max(1, round(len(values) * share / 2))
    data = np.asarray(values, np.float64)
    return [float(data[max(0, i - width) : i + width + 1].mean()) for i in range(len(data))]


def round_ticks(low: float, high: float, *, whole: bool = False, count: int = 5) -> list[float]:
    """At most `count` + 1 round numbers inside [low, high]; only integers when `whole`."""
    span = max(high - low, 1e-12)
    rough = span / count
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(scale * k for k in (1, 2, 5, 10) if scale * k >= rough)
    step = max(1.0, step) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_texts(ticks: Sequence[float]) -> list[str]:
    """The ticks' numbers, all with as many digits as tell two neighbours apart, with a minus sign
    and not a hyphen. `ticks` are `round_ticks`, evenly spaced."""
    if len(ticks) < 2:
        return [f"{tick:g}".replace("-", "−") for tick in ticks]
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return [f"{tick:,.{digits}f}".replace("-", "−") for tick in ticks]


def finite(steps: Sequence[int], values: Sequence[float]) -> tuple[list[int], list[float]]:
    """A curve without the values that are no finite numbers."""
    kept = [(s, v) for s, v in zip(steps, values, strict=True) if math.isfinite(v)]
    return [s for s, _ in kept], [v for _, v in kept]


def _points(xs: Sequence[float], ys: Sequence[float]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))


def curve_svg(name: str, steps: Sequence[int], values: Sequence[float]) -> str:
    """A loss curve: each logged value faintly, the running mean on top, axes with round ticks.

    Values that are not finite are left out; an empty string when fewer than two remain. The upper
    end of the scale is the 99th percentile, so that one spike does not flatten the rest.
    """
    at, ys = finite(steps, values)
    if len(ys) < 2:
        return ""
    low, high = min(ys), float(np.percentile(ys, 99))
    if high <= low:
        high = low + max(abs(low) * 0.1, 1e-6)
    low = 0.0 if low > 0 and low < 0.5 * high else low
    first, last = min(at), max(max(at), min(at) + 1)

    def x(step: float) -> float:
        return LEFT + (step - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="plot">',
        f"<title>{escape(name)}: training loss from {smoothed(ys)[0]:.3g} to "
        f"{smoothed(ys)[-1]:.3g} over {last} steps</title>",
    ]
    ticks = round_ticks(low, high)
    for tick, text in zip(ticks, tick_texts(ticks), strict=True):
        parts.append(
            f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" '
            f'y2="{y(tick):.1f}"/><text x="{LEFT - 6}" y="{y(tick) + 4.5:.1f}" '
            f'text-anchor="end">{text}</text>'
        )
    ticks = round_ticks(first, last, whole=True)
    for tick, text in zip(ticks, tick_texts(ticks), strict=True):
        parts.append(f'<text x="{x(tick):.1f}" y="{HEIGHT - 7}" text-anchor="middle">{text}</text>')
    xs = [x(s) for s in at]
    parts.append(f'<polyline class="raw" points="{_points(xs, [y(v) for v in ys])}"/>')
    parts.append(f'<polyline class="mean" points="{_points(xs, [y(v) for v in smoothed(ys)])}"/>')
    return "".join([*parts, "</svg>"])


def interval_svg(
    value: float, interval: tuple[float, float] | None, scale: tuple[float, float], *, best: bool
) -> str:
    """A dot with its interval on a scale shared by one row of the table; decoration, so hidden
    from screen readers (the numbers stand beside it)."""
    low, high = scale
    span = high - low or 1.0

    def x(number: float) -> float:
        return 4 + min(max((number - low) / span, 0.0), 1.0) * 88

    line = ""
    if interval is not None:
        line = f'<line x1="{x(interval[0]):.1f}" x2="{x(interval[1]):.1f}" y1="5" y2="5"/>'
    return (
        f'<svg viewBox="0 0 96 10" aria-hidden="true" class="interval{" best" if best else ""}">'
        f'<line class="rule" x1="4" x2="92" y1="5" y2="5"/>{line}'
        f'<circle cx="{x(value):.1f}" cy="5" r="3"/></svg>'
    )
