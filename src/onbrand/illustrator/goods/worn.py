"""Goods to wear and to carry. Each stands on the origin, about 1 high or wide, y down."""

from __future__ import annotations

import numpy as np

from onbrand.illustrator.canvas import Layer
from onbrand.illustrator.colours import darker, hex_colour, lighter
from onbrand.illustrator.curves import arc, blob, ellipse, rectangle, superellipse
from onbrand.illustrator.goods.paint import Paint

__all__ = ["WORN"]

_GOLD, _STEEL, _SOLE = hex_colour("#e8b84a"), hex_colour("#c3cad3"), hex_colour("#f6f3ec")
_DARK = hex_colour("#454a55")


def _handbag(layer: Layer, paint: Paint) -> None:
    layer.stroke(arc(0, -0.52, 0.24, 0.36, 0.5, 1.0), paint.accent, 0.055, "trim")
    paint.body(
        layer,
        blob(
            [(-0.36, -0.56), (0.36, -0.56), (0.44, -0.06), (0.36, 0), (-0.36, 0), (-0.44, -0.06)], 5
        ),
    )
    paint.trim(
        layer, blob([(-0.37, -0.57), (0.37, -0.57), (0.34, -0.34), (0, -0.26), (-0.34, -0.34)], 5)
    )
    layer.fill(superellipse(0, -0.29, 0.055, 0.055, 4), _GOLD, "trim")


def _backpack(layer: Layer, paint: Paint) -> None:
    layer.stroke(arc(0, -0.90, 0.10, 0.10, 0.5, 1.0), paint.accent, 0.05, "trim")
    for s in (-1, 1):
        layer.fill(
            superellipse(s * 0.37, -0.22, 0.10, 0.17, 4), darker(paint.main, 0.15), "product"
        )
    paint.body(
        layer,
        blob(
            [
                (-0.25, -0.92),
                (0.25, -0.92),
                (0.37, -0.66),
                (0.38, -0.05),
                (0.28, 0),
                (-0.28, 0),
                (-0.38, -0.05),
                (-0.37, -0.66),
            ],
            5,
        ),
    )
    paint.trim(layer, superellipse(0, -0.23, 0.26, 0.19, 5))
    layer.stroke(
        np.array([(-0.20, -0.33), (0.20, -0.33)]), darker(paint.accent, 0.35), 0.025, "trim"
    )
    layer.stroke(arc(0, -0.60, 0.30, 0.18, 0.5, 1.0), darker(paint.main, 0.3), 0.022, "product")


def _suitcase(layer: Layer, paint: Paint) -> None:
    for s in (-1, 1):
        layer.stroke(np.array([(s * 0.12, -0.76), (s * 0.12, -0.98)]), _STEEL, 0.03, "trim")
        layer.fill(ellipse(s * 0.25, -0.035, 0.055), _DARK, "trim")
    layer.stroke(np.array([(-0.14, -0.98), (0.14, -0.98)]), _DARK, 0.05, "trim")
    paint.body(layer, superellipse(0, -0.42, 0.34, 0.36, 6))
    for x in (-0.17, 0.17):
        layer.stroke(np.array([(x, -0.75), (x, -0.09)]), darker(paint.main, 0.25), 0.022, "product")
    layer.fill(superellipse(0, -0.43, 0.07, 0.05, 4), paint.accent, "label")


def _sneaker(layer: Layer, paint: Paint) -> None:
    upper = blob(
        [
            (-0.46, -0.46),
            (-0.22, -0.50),
            (0.0, -0.40),
            (0.22, -0.26),
            (0.47, -0.20),
            (0.49, -0.08),
            (-0.46, -0.08),
        ],
        6,
    )
    paint.body(layer, upper)
    layer.fill(
        blob([(-0.46, -0.47), (-0.24, -0.51), (-0.22, -0.42), (-0.44, -0.38)], 5),
        paint.accent,
        "trim",
    )
    layer.fill(superellipse(0.01, -0.055, 0.50, 0.065, 5), _SOLE, "trim")
    for x, y in ((-0.14, -0.43), (-0.04, -0.38), (0.06, -0.33), (0.15, -0.28)):
        layer.stroke(np.array([(x - 0.05, y + 0.09), (x + 0.05, y)]), _SOLE, 0.03, "trim")
    layer.fill(
        blob([(-0.30, -0.14), (-0.05, -0.28), (0.10, -0.13), (-0.06, -0.19)], 5),
        paint.accent,
        "label",
        line=False,
    )


def _boot(layer: Layer, paint: Paint) -> None:
    paint.body(
        layer,
        blob(
            [
                (-0.30, -0.92),
                (0.10, -0.92),
                (0.11, -0.42),
                (0.38, -0.28),
                (0.42, -0.10),
                (-0.30, -0.10),
            ],
            5,
        ),
    )
    layer.fill(superellipse(0.05, -0.055, 0.38, 0.055, 5), darker(paint.main, 0.45), "trim")
    layer.fill(rectangle(-0.10, -0.90, 0.46, 0.12), paint.accent, "trim", form=True)
    for y in (-0.68, -0.56, -0.44):
        layer.stroke(np.array([(-0.05, y), (0.09, y)]), _SOLE, 0.03, "trim")


def _cap(layer: Layer, paint: Paint) -> None:
    layer.fill(
        blob([(0.10, -0.16), (0.54, -0.11), (0.52, -0.02), (0.05, -0.05)], 6),
        paint.accent,
        "trim",
        form=True,
    )
    paint.body(
        layer,
        np.concatenate(
            [arc(-0.08, -0.05, 0.40, 0.44, 0.5, 1.0), np.array([(0.30, -0.03), (-0.46, -0.03)])]
        ),
    )
    layer.fill(ellipse(-0.08, -0.49, 0.045, 0.03), paint.accent, "trim")
    layer.fill(ellipse(0.02, -0.25, 0.095), hex_colour("#fff3dc"), "label", line=False)


def _sun_hat(layer: Layer, paint: Paint) -> None:
    layer.fill(ellipse(0, -0.10, 0.55, 0.12), lighter(paint.main, 0.1), "product", form=True)
    paint.body(
        layer,
        np.concatenate([arc(0, -0.12, 0.31, 0.38, 0.5, 1.0), arc(0, -0.12, 0.31, 0.07, 0.0, 0.5)]),
    )
    crown = np.concatenate(
        [arc(0, -0.12, 0.31, 0.38, 0.5, 1.0), arc(0, -0.12, 0.31, 0.07, 0.0, 0.5)]
    )
    layer.fill(ellipse(0, -0.16, 0.36, 0.10), paint.accent, "trim", clip=crown)


def _sunglasses(layer: Layer, paint: Paint) -> None:
    layer.stroke(arc(0, -0.26, 0.07, 0.05, 0.5, 1.0), paint.main, 0.045, "product")
    for s in (-1, 1):
        layer.stroke(np.array([(s * 0.46, -0.30), (s * 0.53, -0.36)]), paint.main, 0.05, "product")
        layer.fill(superellipse(s * 0.27, -0.20, 0.225, 0.185, 3), paint.main, "product", form=True)
        lens = superellipse(s * 0.27, -0.20, 0.165, 0.13, 3)
        layer.fill(
            lens, darker(paint.accent, 0.35), "trim", line=False, glow=lighter(paint.accent, 0.3)
        )
        layer.fill(
            ellipse(s * 0.27 - 0.06, -0.24, 0.045, 0.02, -0.5),
            (1, 1, 1),
            "trim",
            line=False,
            alpha=0.7,
        )


def _wristwatch(layer: Layer, paint: Paint) -> None:
    paint.body(layer, superellipse(0, -0.48, 0.15, 0.48, 6))
    layer.fill(ellipse(0.27, -0.48, 0.04, 0.05), _GOLD, "trim")
    layer.fill(ellipse(0, -0.48, 0.26), _GOLD, "trim", form=True)
    layer.fill(ellipse(0, -0.48, 0.20), hex_colour("#fff8ea"), "label")
    for end in ((0.0, -0.62), (0.10, -0.44)):
        layer.stroke(np.array([(0, -0.48), end]), _DARK, 0.028, "label")


def _umbrella(layer: Layer, paint: Paint) -> None:
    layer.stroke(np.array([(0, -0.86), (0, -0.10)]), hex_colour("#8a6a4c"), 0.035, "trim")
    layer.stroke(arc(0.07, -0.09, 0.07, 0.08, 0.0, 0.5), hex_colour("#8a6a4c"), 0.045, "trim")
    scallop = np.concatenate([arc(x, -0.50, 0.1725, 0.05, 1.0, 0.5) for x in (0.345, 0.0, -0.345)])
    paint.body(layer, np.concatenate([arc(0, -0.50, 0.52, 0.42, 0.5, 1.0), scallop]))
    layer.fill(ellipse(0, -0.93, 0.03, 0.05), paint.accent, "trim")


def _dress(layer: Layer, paint: Paint) -> None:
    layer.stroke(arc(0, -0.99, 0.05, 0.05, 0.4, 1.1), _STEEL, 0.022, "trim")
    layer.stroke(
        np.array([(-0.19, -0.88), (0, -0.94), (0.19, -0.88)]), hex_colour("#a97142"), 0.04, "trim"
    )
    paint.body(
        layer,
        blob(
            [
                (-0.20, -0.89),
                (-0.08, -0.84),
                (0.08, -0.84),
                (0.20, -0.89),
                (0.16, -0.56),
                (0.40, -0.10),
                (0, -0.05),
                (-0.40, -0.10),
                (-0.16, -0.56),
            ],
            5,
        ),
    )
    layer.fill(rectangle(0, -0.56, 0.30, 0.06), paint.accent, "trim")


def _t_shirt(layer: Layer, paint: Paint) -> None:
    paint.body(
        layer,
        blob(
            [
                (-0.16, -0.80),
                (0, -0.74),
                (0.16, -0.80),
                (0.32, -0.75),
                (0.50, -0.52),
                (0.36, -0.42),
                (0.28, -0.50),
                (0.29, 0),
                (-0.29, 0),
                (-0.28, -0.50),
                (-0.36, -0.42),
                (-0.50, -0.52),
                (-0.32, -0.75),
            ],
            4,
        ),
    )
    layer.stroke(arc(0, -0.80, 0.15, 0.09, 0.02, 0.48), paint.accent, 0.04, "trim")
    layer.fill(ellipse(0, -0.42, 0.12), paint.accent, "label", line=False)


WORN = {
    "handbag": _handbag, "backpack": _backpack, "suitcase": _suitcase, "sneaker": _sneaker,
    "boot": _boot, "cap": _cap, "sun hat": _sun_hat, "pair of sunglasses": _sunglasses,
    "wristwatch": _wristwatch, "umbrella": _umbrella, "dress": _dress, "t-shirt": _t_shirt,
}  # fmt: skip
