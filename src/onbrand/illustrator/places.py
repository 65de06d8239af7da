"""Backgrounds of two or three planes, hazier with distance, under one of three lights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from onbrand.illustrator.canvas import Canvas, Layer, Style
from onbrand.illustrator.colours import PALE, Colour, darker, hex_colour, lighter, mix
from onbrand.illustrator.curves import Points, blob, ellipse, rectangle, star
from onbrand.illustrator.setting import Setting

__all__ = ["GROUND_Y", "PAINTERS", "draw_light", "draw_place"]

GROUND_Y = 0.86  # where feet stand, full body


@dataclass(frozen=True, slots=True)
class Light:
    """An hour's colours."""

    sky_top: Colour
    sky_low: Colour
    haze: Colour
    tint: Colour
    strength: float


_LIGHTS = {
    "day": Light(
        hex_colour("#8fd0f5"), hex_colour("#e6f6fb"), hex_colour("#d9eff5"), (1, 1, 1), 0.0
    ),
    "sunset": Light(
        hex_colour("#f58a6c"), hex_colour("#ffdc9a"), hex_colour("#f9b98d"), (1.0, 0.72, 0.55), 0.45
    ),
    "night": Light(
        hex_colour("#1d2559"),
        hex_colour("#4b5ea8"),
        hex_colour("#3d4c8c"),
        (0.38, 0.45, 0.82),
        0.62,
    ),
}

Painter = Callable[[Layer, Light, np.random.Generator], None]


def _far(colour: Colour, light: Light, haze: float) -> Colour:
    lit = mix(
        colour,
        (colour[0] * light.tint[0], colour[1] * light.tint[1], colour[2] * light.tint[2]),
        light.strength,
    )
    return mix(lit, light.haze, haze)


def _hill(rng: np.random.Generator, y: float, rise: float, bumps: int = 3) -> Points:
    """A rolling skyline from edge to edge, filled to the lower edge."""
    x = np.linspace(-0.05, 1.05, 24)
    phase, swing = rng.uniform(0, 6.28, 2), rng.uniform(0.7, 1.3, 2)
    skyline = y - rise * (
        0.5
        + 0.3 * np.sin(bumps * x * swing[0] * 2 + phase[0])
        + 0.2 * np.sin(bumps * x * 4 * swing[1] + phase[1])
    )
    top = np.stack([x, skyline], axis=1)
    return np.concatenate([top, [(1.05, 1.05), (-0.05, 1.05)]])


def _tree(
    layer: Layer, x: float, y: float, size: float, colour: Colour, trunk: Colour, pine: bool
) -> None:
    layer.fill(rectangle(x, y - 0.06 * size, 0.035 * size, 0.14 * size), trunk)
    if pine:
        for k in range(3):
            w, base = 0.13 * size * (1 - 0.22 * k), y - (0.10 + 0.11 * k) * size
            layer.fill(
                np.array([(x - w, base), (x, base - 0.19 * size), (x + w, base)]),
                mix(colour, lighter(colour), 0.25 * k),
            )
    else:
        layer.fill(ellipse(x, y - 0.24 * size, 0.14 * size, 0.16 * size), colour)
        layer.fill(
            ellipse(x - 0.04 * size, y - 0.28 * size, 0.075 * size, 0.08 * size),
            lighter(colour, 0.18),
        )


def _meadow(layer: Layer, light: Light, rng: np.random.Generator) -> None:
    layer.fill(_hill(rng, 0.66, 0.12), _far(hex_colour("#8cc98a"), light, 0.45))
    layer.fill(_hill(rng, 0.76, 0.08), _far(hex_colour("#7cc46a"), light, 0.12))
    layer.fill(_hill(rng, 0.84, 0.03), _far(hex_colour("#69b657"), light, 0.0))
    for _ in range(9):
        x, y = rng.uniform(0.03, 0.97), rng.uniform(0.86, 0.98)
        petals = [hex_colour("#fff6f0"), hex_colour("#ffd34f"), hex_colour("#f79ab8")][
            int(rng.integers(3))
        ]
        layer.fill(ellipse(x, y, 0.014), _far(petals, light, 0))


def _forest(layer: Layer, light: Light, rng: np.random.Generator) -> None:
    layer.fill(_hill(rng, 0.62, 0.10, 5), _far(hex_colour("#5d9c78"), light, 0.5))
    for x in np.linspace(0.02, 0.98, 7) + rng.normal(0, 0.02, 7):
        _tree(
            layer,
            x,
            0.74,
            rng.uniform(1.1, 1.5),
            _far(hex_colour("#4f9668"), light, 0.32),
            _far(hex_colour("#7a6450"), light, 0.3),
            True,
        )
    layer.fill(_hill(rng, 0.80, 0.04), _far(hex_colour("#5f9a4e"), light, 0.05))
    for x in (rng.uniform(0.02, 0.14), rng.uniform(0.86, 0.98)):
        _tree(
            layer,
            x,
            0.88,
            2.5,
            _far(hex_colour("#2f7a4b"), light, 0.05),
            _far(hex_colour("#6b4a33"), light, 0),
            True,
        )


def _beach(layer: Layer, light: Light, rng: np.random.Generator) -> None:
    layer.fill(
        rectangle(0.5, 0.66, 1.1, 0.20),
        _far(hex_colour("#3fa9d8"), light, 0.12),
        glow=_far(hex_colour("#7cd3e0"), light, 0.05),
    )
    for _ in range(4):
        x, y = rng.uniform(0, 1), rng.uniform(0.60, 0.72)
        layer.fill(rectangle(x, y, rng.uniform(0.08, 0.2), 0.008), _far((1, 1, 1), light, 0.3))
    layer.fill(_hill(rng, 0.77, 0.025, 2), _far(hex_colour("#f7e0ad"), light, 0.0))
    x = rng.choice([0.10, 0.90])
    lean = 0.05 if x < 0.5 else -0.05
    layer.stroke(
        np.array([(x, 0.84), (x + lean * 0.4, 0.62), (x + lean, 0.40)]),
        _far(hex_colour("#a97a4e"), light, 0),
        0.034,
    )
    for angle in (-2.6, -2.0, -1.2, -0.5, 0.1):
        tip = (x + lean + 0.20 * np.cos(angle), 0.42 + 0.14 * np.sin(angle))
        leaf = blob(
            [
                (x + lean, 0.40),
                ((x + lean + tip[0]) / 2, (0.34 + tip[1]) / 2 - 0.02),
                tip,
                ((x + lean + tip[0]) / 2, (0.42 + tip[1]) / 2),
            ]
        )
        layer.fill(leaf, _far(hex_colour("#3f9b5c"), light, 0.0))


def _city(layer: Layer, light: Light, rng: np.random.Generator) -> None:
    lit = light.strength > 0.3
    window = hex_colour("#ffe08a") if lit else hex_colour("#eaf4fa")
    x = -0.04
    while x < 1.0:
        w, h = rng.uniform(0.12, 0.19), rng.uniform(0.32, 0.58)
        tone = [hex_colour(c) for c in ("#e7a58b", "#8fb4d9", "#d9c08c", "#a7b8a0", "#c7a0c4")][
            int(rng.integers(5))
        ]
        wall = _far(tone, light, 0.22)
        layer.fill(rectangle(x + w / 2, 0.80 - h / 2, w, h), wall)
        layer.fill(rectangle(x + w / 2, 0.80 - h, w, 0.022), darker(wall, 0.18))
        for row in np.arange(0.80 - h + 0.06, 0.74, 0.105):
            for column in (0.30, 0.70):
                layer.fill(rectangle(x + w * column, row, w * 0.2, 0.05), mix(window, wall, 0.15))
        x += w
    layer.fill(rectangle(0.5, 0.90, 1.1, 0.22), _far(hex_colour("#a9adb8"), light, 0.0))
    layer.fill(rectangle(0.5, 0.80, 1.1, 0.022), _far(hex_colour("#d5d3d6"), light, 0.0))


def _snow(layer: Layer, light: Light, rng: np.random.Generator) -> None:
    layer.fill(_hill(rng, 0.64, 0.16), _far(hex_colour("#c9dcec"), light, 0.35))
    for _ in range(5):
        _tree(
            layer,
            rng.uniform(0.03, 0.97),
            0.72,
            rng.uniform(0.8, 1.2),
            _far(hex_colour("#7fae9f"), light, 0.35),
            _far(hex_colour("#8a7466"), light, 0.3),
            True,
        )
    layer.fill(_hill(rng, 0.78, 0.05, 2), _far(hex_colour("#f1f7fb"), light, 0.0))
    for _ in range(14):
        layer.fill(
            ellipse(rng.uniform(0, 1), rng.uniform(0.02, 0.75), rng.uniform(0.006, 0.012)),
            (1, 1, 1),
            alpha=0.9,
        )


def _market(layer: Layer, light: Light, rng: np.random.Generator) -> None:
    layer.fill(rectangle(0.5, 0.62, 1.1, 0.40), _far(hex_colour("#b98d6f"), light, 0.35))
    layer.fill(rectangle(0.5, 0.91, 1.1, 0.22), _far(hex_colour("#c9a783"), light, 0.0))
    for k, x in enumerate((0.14, 0.86)):
        tone = (hex_colour("#e0574f"), hex_colour("#3d8fc9"))[(k + int(rng.integers(2))) % 2]
        layer.fill(rectangle(x, 0.72, 0.27, 0.18), _far(hex_colour("#8a5d3b"), light, 0.05))
        for j in range(4):
            goods = [hex_colour(c) for c in ("#f2a33a", "#e5484d", "#7bb661", "#f7d154")][
                int(rng.integers(4))
            ]
            layer.fill(ellipse(x - 0.095 + 0.063 * j, 0.635, 0.034), _far(goods, light, 0.05))
        for j in range(5):
            stripe = _far(tone if j % 2 == 0 else (1.0, 0.97, 0.9), light, 0.05)
            layer.fill(
                np.array(
                    [
                        (x - 0.15 + 0.06 * j, 0.44),
                        (x - 0.09 + 0.06 * j, 0.44),
                        (x - 0.09 + 0.06 * j, 0.52),
                        (x - 0.12 + 0.06 * j, 0.545),
                        (x - 0.15 + 0.06 * j, 0.52),
                    ]
                ),
                stripe,
            )
    t = np.linspace(0, 1, 8)
    layer.stroke(
        np.stack([t, 0.17 + 0.08 * np.sin(t * np.pi)], axis=1),
        _far(hex_colour("#6b5048"), light, 0.1),
        0.008,
    )
    for k in range(6):
        x = 0.08 + 0.168 * k
        layer.fill(
            ellipse(x, 0.20 + 0.08 * np.sin(x * np.pi), 0.030, 0.036),
            hex_colour("#ffca5c") if k % 2 else hex_colour("#ff7d5c"),
        )


def _room(layer: Layer, light: Light, rng: np.random.Generator) -> None:
    wall = hex_colour(list(PALE.values())[int(rng.integers(len(PALE)))])
    wall = mix(wall, hex_colour("#e8c9a0"), 0.25)
    layer.fill(rectangle(0.5, 0.4, 1.1, 0.9), wall)
    layer.fill(rectangle(0.5, 0.90, 1.1, 0.24), hex_colour("#c58f5e"))
    layer.fill(rectangle(0.5, 0.785, 1.1, 0.024), lighter(wall, 0.6))
    left = rng.random() < 0.5
    wx, sx = (0.20, 0.84) if left else (0.80, 0.16)
    layer.fill(rectangle(wx, 0.34, 0.25, 0.30), (1.0, 0.99, 0.96))
    layer.fill(rectangle(wx, 0.34, 0.21, 0.26), hex_colour("#a9dcf5"), glow=hex_colour("#e3f5fb"))
    layer.stroke(np.array([(wx, 0.21), (wx, 0.47)]), (1.0, 0.99, 0.96), 0.018)
    layer.fill(rectangle(sx, 0.35, 0.24, 0.026), hex_colour("#8a5d3b"))
    for k, tone in enumerate(("#e5695e", "#4f8fc0", "#f0bd4d")):
        layer.fill(rectangle(sx - 0.07 + 0.05 * k, 0.29, 0.036, 0.10 + 0.01 * k), hex_colour(tone))
    layer.fill(ellipse(sx, 0.55, 0.09, 0.055), hex_colour("#e98b6d"))
    layer.fill(rectangle(sx, 0.68, 0.018, 0.22), hex_colour("#6e4d39"))
    layer.fill(ellipse(0.5, 0.90, 0.34, 0.055), hex_colour("#d96f6a"))


def _desert(layer: Layer, light: Light, rng: np.random.Generator) -> None:
    layer.fill(_hill(rng, 0.66, 0.12, 2), _far(hex_colour("#e0a76b"), light, 0.35))
    layer.fill(_hill(rng, 0.78, 0.07, 2), _far(hex_colour("#e9b872"), light, 0.05))
    for x in (rng.uniform(0.05, 0.16), rng.uniform(0.84, 0.95)):
        green, h = _far(hex_colour("#4f9b62"), light, 0.05), rng.uniform(0.22, 0.32)
        layer.stroke(np.array([(x, 0.82), (x, 0.82 - h)]), green, 0.058)
        s = rng.choice([-1, 1])
        layer.stroke(
            np.array([(x, 0.72), (x + s * 0.07, 0.71), (x + s * 0.075, 0.62)]), green, 0.038
        )


def _mountains(layer: Layer, light: Light, rng: np.random.Generator) -> None:
    for x, top, w in (
        (rng.uniform(0.1, 0.3), 0.26, 0.36),
        (rng.uniform(0.7, 0.9), 0.20, 0.42),
        (rng.uniform(0.4, 0.6), 0.38, 0.34),
    ):
        peak = np.array([(x - w, 0.80), (x, top), (x + w, 0.80)])
        rock = _far(hex_colour("#8d97b0"), light, 0.30)
        layer.fill(peak, rock)
        k = 0.26
        cap = np.array(
            [
                (x - w * k, top + (0.80 - top) * k),
                (x - w * 0.08, top + 0.10),
                (x + w * 0.05, top + 0.15),
                (x + w * k, top + (0.80 - top) * k),
                (x, top),
            ]
        )
        layer.fill(cap[[0, 4, 3, 2, 1]], _far(hex_colour("#f7fafc"), light, 0.1))
    layer.fill(_hill(rng, 0.80, 0.05), _far(hex_colour("#79b07a"), light, 0.08))


PAINTERS: dict[str, Painter] = {
    "meadow": _meadow, "forest": _forest, "beach": _beach, "city": _city, "snow": _snow,
    "market": _market, "room": _room, "desert": _desert, "mountains": _mountains,
}  # fmt: skip


def _celestial(layer: Layer, scene: Setting, rng: np.random.Generator) -> None:
    x = float(rng.choice([rng.uniform(0.08, 0.24), rng.uniform(0.76, 0.92)]))
    if scene.hour == "night":
        for _ in range(10):
            layer.fill(
                star(rng.uniform(0.02, 0.98), rng.uniform(0.02, 0.42), 0.013, 4, 0.4),
                (1.0, 0.97, 0.8),
            )
        layer.fill(ellipse(x, 0.14, 0.062), hex_colour("#fdf3c8"))
        layer.fill(ellipse(x + 0.028, 0.125, 0.052), hex_colour("#2a3468"))
    elif scene.hour == "sunset":
        layer.fill(ellipse(x, 0.42, 0.105), hex_colour("#fff0b8"))
    else:
        layer.fill(ellipse(x, 0.13, 0.062), hex_colour("#fff3b0"))
        cx, cy = 1 - x + rng.uniform(-0.08, 0.08), rng.uniform(0.10, 0.2)
        for dx, r in ((-0.06, 0.04), (0.0, 0.055), (0.065, 0.038)):
            layer.fill(ellipse(cx + dx, cy, r * 1.3, r * 0.8), (1, 1, 1))


def draw_place(canvas: Canvas, scene: Setting, style: Style, rng: np.random.Generator) -> None:
    """Paint the background of a scene."""
    if scene.place == "plain":
        colour = hex_colour(PALE[scene.backdrop])
        if style.paper:
            colour = mix(colour, (0.975, 0.96, 0.925), 0.35)
        canvas.sky(colour, darker(colour, 0.05) if style.gradient else colour)
        return
    light = _LIGHTS["day" if scene.place == "room" else scene.hour]
    paper: Colour = (0.975, 0.96, 0.925)
    fade = style.paper * 0.9
    canvas.sky(mix(light.sky_top, paper, fade), mix(light.sky_low, paper, fade), 0.8)
    layer = Layer()
    if scene.place != "room":
        _celestial(layer, scene, rng)
    PAINTERS[scene.place](layer, light, rng)
    canvas.paint(layer, style if style.paper else Style("", ""), labelled=False)


def draw_light(canvas: Canvas, scene: Setting) -> None:
    """Colour the finished picture by its hour; a plain place and a room have their own light."""
    if scene.place not in ("plain", "room") and scene.hour != "day":
        canvas.grade((1.0, 0.9, 0.82) if scene.hour == "sunset" else (0.80, 0.84, 1.0), 0.5)
