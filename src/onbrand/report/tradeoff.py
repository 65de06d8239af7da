"""The trade-off of a sweep as inline SVG: identity against alignment, the Pareto front marked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from onbrand.report.plots import round_ticks, tick_texts

__all__ = ["Dot", "standalone", "tradeoff_svg"]

WIDTH, HEIGHT = 920, 440
LEFT, RIGHT, TOP, BOTTOM = 92, 346, 16, 56
RADIUS, LABEL_GAP = 11, 26
LABEL_LETTERS, BOLD_LETTERS = 42, 38  # that fit beside the plot


@dataclass(frozen=True)
class Dot:
    """One combination: `mark` stands in its dot, `label` beside those of the front. `x` and `y` are
    figures, the intervals their 95 % bounds."""

    mark: str
    label: str
    x: float
    y: float
    x_interval: tuple[float, float] | None = None
    y_interval: tuple[float, float] | None = None
    front: bool = False
    chosen: bool = False
    usable: bool = True


def tradeoff_svg(dots: Sequence[Dot], base: Dot | None, x_title: str, y_title: str) -> str:
    """All dots, higher being better along both axes; those of the front joined by a line and named
    at the right, the chosen one in the accent's colour, one that is not `usable` dashed. The
    untouched base is a diamond where it lies among them; far off it would press them together: it
    stands at the edge with its figures. Both are cosines. An empty string without a dot.
    """
    if not dots:
        return ""
    x = _Scale([dot.x for dot in dots], LEFT, WIDTH - RIGHT)
    y = _Scale([dot.y for dot in dots], HEIGHT - BOTTOM, TOP)
    front = sorted((dot for dot in dots if dot.front), key=lambda dot: dot.x)
    words = "; ".join(f"{dot.mark}: {dot.label}" for dot in front)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="plot tradeoff">',
        f"<title>{escape(y_title)} against {escape(x_title)} of {len(dots)} combinations. "
        f"Nothing beats {escape(words)}.</title>",
        *_axes(x, y, x_title, y_title),
    ]
    line = " ".join(f"{x(dot.x):.1f},{y(dot.y):.1f}" for dot in front)
    order = sorted(dots, key=lambda dot: (dot.chosen, dot.front))  # what matters lies on top
    parts += [_whiskers(dot, x, y) for dot in order if dot.front]
    parts += _labels(front, x, y)
    parts.append(f'<polyline class="front" points="{line}"/>')
    if base is not None:
        parts.append(_diamond(base, x, y))
    parts += [_dot(dot, x, y) for dot in order]
    return "".join([*parts, "</svg>"])


class _Scale:
    """Figures to px, with a margin on both sides; what lies outside comes to the edge."""

    def __init__(self, values: Sequence[float], first_px: float, last_px: float) -> None:
        low, high = min(values), max(values)
        margin = 0.12 * (high - low) or max(abs(high) * 0.05, 1e-3)
        self.low, self.high = low - margin, high + margin
        self.first_px, self.last_px = first_px, last_px

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.first_px + share * (self.last_px - self.first_px)


def _axes(x: _Scale, y: _Scale, x_title: str, y_title: str) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for tick, text in _cosines(round_ticks(y.low, y.high, count=7)):
        parts.append(
            f'<line class="rule" x1="{LEFT}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
            f'<text x="{LEFT - 10}" y="{y(tick) + 4.5:.1f}" text-anchor="end">'
            f"{text}</text>"
        )
    for tick, text in _cosines(round_ticks(x.low, x.high)):
        parts.append(
            f'<line class="rule" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{bottom}" '
            f'y2="{bottom + 5}"/>'
            f'<text x="{x(tick):.1f}" y="{bottom + 21}" text-anchor="middle">'
            f"{text}</text>"
        )
    middle = (LEFT + right) / 2
    parts.append(
        f'<text x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_title)} →</text>'
        f'<text x="15" y="{(TOP + bottom) / 2:.0f}" text-anchor="middle" '
        f'transform="rotate(-90 15 {(TOP + bottom) / 2:.0f})">{escape(y_title)} →</text>'
    )
    return parts


def _cosines(ticks: Sequence[float]) -> list[tuple[float, str]]:
    """Those that a cosine can be, with their numbers: the margin beyond 1 has none."""
    return [
        (tick, text) for tick, text in zip(ticks, tick_texts(ticks), strict=True) if abs(tick) <= 1
    ]


def _kind(dot: Dot) -> str:
    if dot.chosen:
        return "chosen"
    if not dot.usable:
        return "failed"
    return "best" if dot.front else "other"


def _dot(dot: Dot, x: _Scale, y: _Scale) -> str:
    at_x, at_y = x(dot.x), y(dot.y)
    return (
        f'<g class="dot {_kind(dot)}"><circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="{RADIUS}"/>'
        f'<text x="{at_x:.1f}" y="{at_y + 4.5:.1f}" text-anchor="middle">{escape(dot.mark)}</text>'
        "</g>"
    )


def _whiskers(dot: Dot, x: _Scale, y: _Scale) -> str:
    """The dot's intervals, cut at the plot's edge."""
    lines = ""
    if dot.x_interval:
        low, high = (x(end) for end in dot.x_interval)
        lines += f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y(dot.y):.1f}" y2="{y(dot.y):.1f}"/>'
    if dot.y_interval:
        low, high = (y(end) for end in dot.y_interval)
        lines += f'<line x1="{x(dot.x):.1f}" x2="{x(dot.x):.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
    return f'<g class="whiskers {_kind(dot)}">{lines}</g>'


def _diamond(dot: Dot, x: _Scale, y: _Scale) -> str:
    at_x, at_y = x(dot.x), y(dot.y)
    label = dot.label
    if not (x.holds(dot.x) and y.holds(dot.y)):
        label += f" (farther off: {dot.x:.2f} and {dot.y:.2f})".replace("-", "−")
    left = at_x > (LEFT + WIDTH - RIGHT) / 2
    corners = " ".join(
        f"{at_x + dx:.1f},{at_y + dy:.1f}" for dx, dy in ((0, -7), (7, 0), (0, 7), (-7, 0))
    )
    return (
        f'<polygon class="reference" points="{corners}"/>'
        f'<text x="{at_x + (-13 if left else 13):.1f}" y="{at_y + 4.5:.1f}" '
        f'text-anchor="{"end" if left else "start"}">{escape(label)}</text>'
    )


def _labels(front: Sequence[Dot], x: _Scale, y: _Scale) -> list[str]:
    """The front's names in a column at the right, in the dots' order from above, far enough apart
    to be read, each tied to its dot by a thin line."""
    column, edge = WIDTH - RIGHT + 30, WIDTH - RIGHT
    order = sorted(front, key=lambda dot: y(dot.y))
    places = _spread([y(dot.y) for dot in order], TOP + 10, HEIGHT - BOTTOM - 4)
    parts = []
    for dot, place in zip(order, places, strict=True):
        start = x(dot.x) + RADIUS + 3
        parts.append(
            f'<polyline class="lead" points="{start:.1f},{y(dot.y):.1f} {edge:.1f},{y(dot.y):.1f} '
            f'{column - 8:.1f},{place:.1f}"/>'
            f'<text class="name {_kind(dot)}" x="{column}" y="{place + 4.5:.1f}">'
            f"<tspan>{escape(dot.mark)}</tspan> {escape(_cut(dot))}</text>"
        )
    return parts


def _spread(wanted: Sequence[float], top: float, bottom: float) -> list[float]:
    """Places at least LABEL_GAP apart, near the wanted ones, inside [top, bottom] if they fit."""
    gap = min(LABEL_GAP, (bottom - top) / max(1, len(wanted) - 1)) if len(wanted) > 1 else 0
    places: list[float] = []
    for place in wanted:
        places.append(max(place, top, places[-1] + gap if places else top))
    for index in range(len(places) - 1, -1, -1):
        below = places[index + 1] - gap if index + 1 < len(places) else bottom
        places[index] = min(places[index], below)
    return places


def _cut(dot: Dot) -> str:
    most, label = BOLD_LETTERS if dot.chosen else LABEL_LETTERS, dot.label
    return label if len(label) <= most else label[: most - 1].rstrip(" ·") + "…"


def standalone(svg: str, css: str) -> str:
    """The inline SVG as a file of its own: with a namespace, a white ground, and the rules of the
    page's `css` that speak of plots, its tokens resolved."""
    tokens = dict(re.findall(r"--([\w-]+): ([^;]+);", css.split("}")[0]))
    rules = "".join(f"{rule}}}" for rule in re.findall(r"^(\.plot [^}]*)}", css, re.MULTILINE))
    for name, value in tokens.items():
        rules = rules.replace(f"var(--{name})", value)
    font = 'font-family="system-ui, Liberation Sans, sans-serif"'
    head, body = svg.split(">", 1)
    return (
        f'{head} xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" {font}>'
        f'<style>{rules}</style><rect width="100%" height="100%" fill="#ffffff"/>{body}'
    )
