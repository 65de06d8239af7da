"""Goods for the house. Each stands on the origin, about 1 high or wide, y down."""

from __future__ import annotations

import numpy as np

from onbrand.illustrator.canvas import Layer
from onbrand.illustrator.colours import darker, hex_colour, lighter
from onbrand.illustrator.curves import arc, blob, ellipse, limb, rectangle, star, superellipse
from onbrand.illustrator.goods.paint import Paint

__all__ = ["HOME"]

_WOOD, _STEEL, _LEAF = hex_colour("#b07a4a"), hex_colour("#c3cad3"), hex_colour("#4cae5b")
_CREAM, _FLAME, _GLASS = hex_colour("#fff3dc"), hex_colour("#ffc046"), hex_colour("#dff1f5")


def _mug(layer: Layer, paint: Paint) -> None:
    layer.stroke(arc(0.33, -0.34, 0.17, 0.17, -0.27, 0.27), paint.accent, 0.075, "trim")
    cup = blob(
        [(-0.34, -0.66), (0.34, -0.66), (0.33, -0.12), (0.24, 0), (-0.24, 0), (-0.33, -0.12)], 6
    )
    paint.body(layer, cup)
    layer.fill(ellipse(0, -0.655, 0.335, 0.075), lighter(paint.main, 0.25), "product")
    layer.fill(ellipse(0, -0.645, 0.275, 0.05), hex_colour("#7a4a2b"), "product", line=False)
    paint.gleam(layer, ellipse(-0.22, -0.36, 0.035, 0.15, 0.06))


def _teapot(layer: Layer, paint: Paint) -> None:
    layer.stroke(arc(0.38, -0.33, 0.20, 0.20, -0.26, 0.26), paint.accent, 0.07, "trim")
    spout = limb(np.array([(-0.30, -0.26), (-0.47, -0.38), (-0.56, -0.60)]), 0.20, 0.08)
    layer.fill(spout, paint.main, "product", form=True)
    paint.body(layer, ellipse(0, -0.33, 0.42, 0.33))
    paint.trim(
        layer, blob([(-0.22, -0.62), (-0.10, -0.72), (0.10, -0.72), (0.22, -0.62), (0, -0.57)], 5)
    )
    paint.trim(layer, ellipse(0, -0.77, 0.055))
    paint.gleam(layer, ellipse(-0.22, -0.43, 0.05, 0.10, 0.5))


def _bottle(layer: Layer, paint: Paint) -> None:
    glass = blob(
        [
            (-0.09, -0.95),
            (0.09, -0.95),
            (0.10, -0.74),
            (0.25, -0.55),
            (0.25, -0.05),
            (0.17, 0),
            (-0.17, 0),
            (-0.25, -0.05),
            (-0.25, -0.55),
            (-0.10, -0.74),
        ],
        5,
    )
    paint.body(layer, glass)
    paint.trim(layer, rectangle(0, -0.95, 0.20, 0.12))
    layer.fill(rectangle(0, -0.30, 0.49, 0.24), _CREAM, "label", line=False)
    layer.fill(ellipse(0, -0.30, 0.075), paint.accent, "label", line=False)
    paint.gleam(layer, ellipse(-0.17, -0.47, 0.022, 0.11))


def _vase(layer: Layer, paint: Paint) -> None:
    for x, y, colour in (
        (-0.18, -0.93, "#f58fb0"),
        (0.02, -1.0, "#ffd34f"),
        (0.20, -0.90, "#f6623f"),
    ):
        layer.stroke(np.array([(x * 0.3, -0.52), (x * 0.8, -0.75), (x, y)]), _LEAF, 0.03, "trim")
        for k in range(5):
            t = 2 * np.pi * k / 5
            layer.fill(
                ellipse(x + 0.06 * np.cos(t), y + 0.06 * np.sin(t), 0.05),
                hex_colour(colour),
                "trim",
            )
        layer.fill(ellipse(x, y, 0.04), _CREAM, "trim", line=False)
    paint.body(
        layer,
        blob(
            [
                (-0.14, -0.56),
                (0.14, -0.56),
                (0.12, -0.44),
                (0.29, -0.24),
                (0.20, -0.02),
                (-0.20, -0.02),
                (-0.29, -0.24),
                (-0.12, -0.44),
            ],
            6,
        ),
    )
    paint.gleam(layer, ellipse(-0.17, -0.25, 0.03, 0.09, 0.2))


def _candle(layer: Layer, paint: Paint) -> None:
    layer.fill(
        blob([(0, -0.92), (0.07, -0.77), (0, -0.70), (-0.07, -0.77)], 6), _FLAME, "trim", line=False
    )
    layer.stroke(np.array([(0, -0.62), (0, -0.73)]), hex_colour("#4a4038"), 0.025, "trim")
    layer.fill(superellipse(0, -0.31, 0.33, 0.31, 5), _GLASS, "product", form=True)
    layer.fill(superellipse(0, -0.25, 0.29, 0.23, 5), paint.main, "product", line=False)
    layer.fill(rectangle(0, -0.27, 0.38, 0.22), _CREAM, "label", line=False)
    layer.fill(star(0, -0.27, 0.075), paint.accent, "label", line=False)
    layer.fill(ellipse(-0.24, -0.36, 0.025, 0.14), (1, 1, 1), "product", line=False, alpha=0.7)


def _jar(layer: Layer, paint: Paint) -> None:
    layer.fill(superellipse(0, -0.34, 0.34, 0.34, 4), _GLASS, "product", form=True)
    layer.fill(superellipse(0, -0.29, 0.30, 0.26, 4), paint.main, "product", line=False)
    paint.trim(layer, rectangle(0, -0.71, 0.52, 0.14))
    layer.fill(superellipse(0, -0.32, 0.20, 0.13, 4), _CREAM, "label", line=False)
    layer.fill(ellipse(0, -0.32, 0.065), paint.main, "label", line=False)


def _cushion(layer: Layer, paint: Paint) -> None:
    paint.body(
        layer,
        blob(
            [
                (-0.48, -0.66),
                (0, -0.60),
                (0.48, -0.66),
                (0.43, -0.33),
                (0.48, 0),
                (0, -0.05),
                (-0.48, 0),
                (-0.43, -0.33),
            ],
            7,
        ),
    )
    layer.fill(ellipse(0, -0.33, 0.04), darker(paint.main), "trim")


def _lamp(layer: Layer, paint: Paint) -> None:
    layer.fill(superellipse(0, -0.03, 0.22, 0.035, 3), paint.accent, "trim")
    layer.fill(
        blob(
            [(-0.05, -0.50), (0.05, -0.50), (0.13, -0.25), (0.06, -0.04), (-0.06, -0.04),
             (-0.13, -0.25)], 6,
        ),
        paint.accent, "trim", form=True,
    )  # fmt: skip
    paint.body(layer, np.array([(-0.20, -0.98), (0.20, -0.98), (0.38, -0.50), (-0.38, -0.50)]))


def _alarm_clock(layer: Layer, paint: Paint) -> None:
    for s in (-1, 1):
        layer.stroke(np.array([(s * 0.22, -0.12), (s * 0.32, 0)]), paint.accent, 0.07, "trim")
        layer.fill(ellipse(s * 0.24, -0.80, 0.15, 0.10, s * 0.6), paint.accent, "trim", form=True)
    paint.body(layer, ellipse(0, -0.43, 0.40))
    layer.fill(ellipse(0, -0.43, 0.30), _CREAM, "label")
    for end in ((0.0, -0.64), (0.15, -0.36)):
        layer.stroke(np.array([(0, -0.43), end]), hex_colour("#4b4540"), 0.035, "label")
    layer.fill(ellipse(0, -0.43, 0.03), paint.accent, "label", line=False)


def _potted_plant(layer: Layer, paint: Paint) -> None:
    for x, angle, size in (
        (-0.20, -0.7, 0.25),
        (0.20, 0.7, 0.25),
        (-0.09, -0.25, 0.31),
        (0.10, 0.25, 0.31),
        (0, 0.0, 0.34),
    ):
        layer.fill(
            ellipse(x, -0.62 - 0.1 * (0.34 - abs(x)), 0.10, size, angle), _LEAF, "trim", form=True
        )
    paint.body(layer, np.array([(-0.28, -0.38), (0.28, -0.38), (0.20, 0), (-0.20, 0)]))
    layer.fill(rectangle(0, -0.39, 0.64, 0.10), lighter(paint.main, 0.15), "product")


def _chair(layer: Layer, paint: Paint) -> None:
    for x in (-0.26, 0.26):
        layer.fill(rectangle(x * 0.85, -0.19, 0.05, 0.38), darker(_WOOD, 0.2), "trim")
        layer.fill(rectangle(x, -0.17, 0.06, 0.34), _WOOD, "trim")
    paint.body(layer, superellipse(0, -0.72, 0.30, 0.27, 4))
    layer.fill(
        superellipse(0, -0.39, 0.36, 0.09, 4), lighter(paint.main, 0.12), "product", form=True
    )


def _gift_box(layer: Layer, paint: Paint) -> None:
    paint.body(layer, rectangle(0, -0.28, 0.66, 0.56))
    layer.fill(rectangle(0, -0.28, 0.13, 0.56), paint.accent, "trim", line=False)
    layer.fill(rectangle(0, -0.60, 0.74, 0.15), lighter(paint.main, 0.15), "product")
    layer.fill(rectangle(0, -0.60, 0.14, 0.15), paint.accent, "trim", line=False)
    for s in (-1, 1):
        paint.trim(layer, ellipse(s * 0.14, -0.75, 0.14, 0.085, s * -0.4))


def _tin(layer: Layer, paint: Paint) -> None:
    layer.fill(rectangle(0, -0.35, 0.54, 0.66), _STEEL, "product", form=True)
    paint.body(layer, rectangle(0, -0.34, 0.54, 0.50))
    layer.fill(ellipse(0, -0.34, 0.16), _CREAM, "label", line=False)
    layer.fill(star(0, -0.34, 0.10), paint.accent, "label", line=False)
    layer.fill(ellipse(0, -0.68, 0.27, 0.055), lighter(_STEEL, 0.3), "product")


HOME = {
    "mug": _mug, "teapot": _teapot, "bottle": _bottle, "vase of flowers": _vase, "candle": _candle,
    "jar of jam": _jar, "cushion": _cushion, "table lamp": _lamp, "alarm clock": _alarm_clock,
    "potted plant": _potted_plant, "chair": _chair, "gift box": _gift_box, "tin can": _tin,
}  # fmt: skip
