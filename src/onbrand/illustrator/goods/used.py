"""Goods to work and play with. Each stands on the origin, about 1 high or wide, y down."""

from __future__ import annotations

import numpy as np

from onbrand.illustrator.canvas import Layer
from onbrand.illustrator.colours import darker, hex_colour, lighter
from onbrand.illustrator.curves import arc, blob, ellipse, rectangle, superellipse
from onbrand.illustrator.goods.paint import Paint

__all__ = ["USED"]

_DARK, _STEEL, _CREAM = hex_colour("#454a55"), hex_colour("#c3cad3"), hex_colour("#fff3dc")
_WOOD, _SCREEN = hex_colour("#b07a4a"), hex_colour("#9fd4ea")


def _headphones(layer: Layer, paint: Paint) -> None:
    layer.stroke(arc(0, -0.42, 0.36, 0.44, 0.5, 1.0), paint.main, 0.09, "product")
    for s in (-1, 1):
        layer.fill(superellipse(s * 0.36, -0.24, 0.13, 0.21, 3), paint.main, "product", form=True)
        layer.fill(superellipse(s * 0.29, -0.24, 0.07, 0.18, 3), paint.accent, "trim", form=True)


def _camera(layer: Layer, paint: Paint) -> None:
    paint.trim(layer, superellipse(-0.20, -0.62, 0.16, 0.07, 4))
    paint.body(layer, superellipse(0, -0.30, 0.46, 0.30, 6))
    layer.fill(rectangle(0, -0.49, 0.90, 0.10), paint.accent, "trim", line=False)
    layer.fill(ellipse(0.05, -0.27, 0.22), _DARK, "trim", form=True)
    layer.fill(ellipse(0.05, -0.27, 0.14), hex_colour("#6db6d6"), "trim")
    layer.fill(ellipse(0.00, -0.32, 0.04), (1, 1, 1), "trim", line=False, alpha=0.8)
    layer.fill(ellipse(0.34, -0.49, 0.045), _CREAM, "trim")


def _phone(layer: Layer, paint: Paint) -> None:
    paint.body(layer, superellipse(0, -0.46, 0.25, 0.46, 8))
    layer.fill(superellipse(0, -0.46, 0.215, 0.41, 9), _SCREEN, "label", glow=hex_colour("#e9dcf7"))
    for k in range(6):
        x, y = -0.10 + 0.10 * (k % 3), -0.70 + 0.12 * (k // 3)
        layer.fill(
            superellipse(x, y, 0.034, 0.034, 4),
            (paint.main, paint.accent)[k % 2],
            "label",
            line=False,
        )


def _laptop(layer: Layer, paint: Paint) -> None:
    paint.body(layer, superellipse(0, -0.38, 0.42, 0.30, 9))
    layer.fill(rectangle(0, -0.39, 0.74, 0.50), _SCREEN, "label", glow=hex_colour("#fbe3d0"))
    layer.fill(ellipse(0.10, -0.36, 0.13), paint.accent, "label", line=False)
    layer.fill(
        np.array([(-0.42, -0.09), (0.42, -0.09), (0.52, 0), (-0.52, 0)]),
        lighter(paint.main, 0.3),
        "product",
    )


def _book(layer: Layer, paint: Paint) -> None:
    layer.fill(rectangle(0.03, -0.44, 0.60, 0.84), _CREAM, "trim")
    paint.body(layer, rectangle(0, -0.46, 0.62, 0.88))
    layer.fill(rectangle(-0.26, -0.46, 0.07, 0.88), darker(paint.main, 0.22), "product", line=False)
    layer.fill(rectangle(0.05, -0.62, 0.38, 0.17), _CREAM, "label", line=False)
    for y in (-0.65, -0.60):
        layer.stroke(np.array([(-0.07, y), (0.17, y)]), darker(_CREAM, 0.5), 0.02, "label")


def _pencil_cup(layer: Layer, paint: Paint) -> None:
    for x, angle, colour in (
        (-0.15, -0.16, "#f7c844"),
        (-0.03, -0.03, "#57b368"),
        (0.09, 0.08, "#e5484d"),
        (0.19, 0.2, "#4a86e8"),
    ):
        layer.fill(
            rectangle(x * 1.2, -0.66, 0.07, 0.52, angle), hex_colour(colour), "trim", form=True
        )
        tip = (x * 1.2 + 0.26 * np.sin(angle), -0.66 - 0.26 * np.cos(angle))
        layer.fill(ellipse(tip[0], tip[1], 0.035, 0.05, angle), _CREAM, "trim")
    paint.body(
        layer,
        blob(
            [(-0.29, -0.50), (0.29, -0.50), (0.26, -0.04), (0.20, 0), (-0.20, 0), (-0.26, -0.04)], 4
        ),
    )


def _skateboard(layer: Layer, paint: Paint) -> None:
    for s in (-1, 1):
        layer.fill(ellipse(s * 0.30, -0.075, 0.085), paint.accent, "trim", form=True)
        layer.fill(ellipse(s * 0.30, -0.075, 0.03), _STEEL, "trim", line=False)
        layer.fill(rectangle(s * 0.30, -0.15, 0.10, 0.06), _STEEL, "trim")
    board = blob(
        [
            (-0.60, -0.33),
            (-0.44, -0.24),
            (0.44, -0.24),
            (0.60, -0.33),
            (0.57, -0.25),
            (0.42, -0.15),
            (-0.42, -0.15),
            (-0.57, -0.25),
        ],
        6,
    )
    paint.body(layer, board)


def _guitar(layer: Layer, paint: Paint) -> None:
    layer.fill(rectangle(0, -0.72, 0.085, 0.44), darker(_WOOD, 0.3), "trim")
    layer.fill(superellipse(0, -0.96, 0.075, 0.08, 4), _WOOD, "trim")
    paint.body(
        layer,
        blob(
            [
                (-0.09, -0.55),
                (0.09, -0.55),
                (0.19, -0.45),
                (0.15, -0.34),
                (0.27, -0.17),
                (0.15, 0),
                (-0.15, 0),
                (-0.27, -0.17),
                (-0.15, -0.34),
                (-0.19, -0.45),
            ],
            6,
        ),
    )
    layer.fill(ellipse(0, -0.30, 0.085), _DARK, "trim", line=False)
    layer.fill(rectangle(0, -0.12, 0.18, 0.04), darker(_WOOD, 0.4), "trim", line=False)
    for x in (-0.02, 0.02):
        layer.stroke(np.array([(x, -0.94), (x, -0.12)]), _CREAM, 0.009, "trim")


def _ball(layer: Layer, paint: Paint) -> None:
    ball = ellipse(0, -0.42, 0.42)
    paint.body(layer, ball)
    if paint.pattern == "plain":
        layer.fill(ellipse(0.22, -0.42, 0.24, 0.44), paint.accent, "trim", clip=ball)
        layer.fill(ellipse(-0.36, -0.42, 0.18, 0.44), _CREAM, "trim", clip=ball)
    paint.gleam(layer, ellipse(-0.16, -0.62, 0.06, 0.04, -0.5))


def _toy_car(layer: Layer, paint: Paint) -> None:
    cabin = blob([(-0.28, -0.34), (-0.18, -0.56), (0.16, -0.56), (0.30, -0.34)], 5)
    layer.fill(cabin, lighter(paint.main, 0.12), "product", form=True)
    for x, width in ((-0.10, 0.17), (0.12, 0.17)):
        layer.fill(superellipse(x, -0.44, width / 2, 0.075, 4), hex_colour("#dff1f5"), "trim")
    paint.body(layer, superellipse(0, -0.24, 0.52, 0.145, 5))
    for x in (-0.29, 0.29):
        layer.fill(ellipse(x, -0.115, 0.115), _DARK, "trim")
        layer.fill(ellipse(x, -0.115, 0.055), paint.accent, "trim")
    layer.fill(ellipse(0.47, -0.26, 0.04), hex_colour("#ffe9a8"), "trim")


def _perfume(layer: Layer, paint: Paint) -> None:
    paint.trim(layer, superellipse(0, -0.80, 0.12, 0.12, 5))
    layer.fill(rectangle(0, -0.665, 0.14, 0.06), hex_colour("#e8b84a"), "trim")
    paint.body(layer, superellipse(0, -0.32, 0.34, 0.32, 5))
    layer.fill(
        superellipse(0, -0.27, 0.26, 0.21, 5),
        lighter(paint.main, 0.45),
        "product",
        line=False,
        alpha=0.7,
    )
    layer.fill(rectangle(0, -0.30, 0.30, 0.14), _CREAM, "label", line=False)
    paint.gleam(layer, ellipse(-0.26, -0.40, 0.022, 0.14))


def _lipstick(layer: Layer, paint: Paint) -> None:
    layer.fill(
        np.array([(-0.10, -0.60), (-0.10, -0.86), (0.10, -0.98), (0.10, -0.60)]),
        paint.main,
        "product",
        form=True,
    )
    layer.fill(rectangle(0, -0.54, 0.24, 0.18), hex_colour("#e8b84a"), "trim", form=True)
    paint.trim(layer, superellipse(0, -0.23, 0.17, 0.23, 7))


def _soap_dispenser(layer: Layer, paint: Paint) -> None:
    layer.stroke(
        np.array([(0, -0.70), (0, -0.90), (-0.20, -0.90), (-0.22, -0.83)]),
        paint.accent,
        0.06,
        "trim",
    )
    layer.fill(rectangle(0, -0.70, 0.22, 0.09), paint.accent, "trim")
    paint.body(layer, superellipse(0, -0.33, 0.27, 0.33, 5))
    layer.fill(superellipse(0, -0.32, 0.17, 0.14, 4), _CREAM, "label", line=False)
    layer.fill(
        blob([(0, -0.42), (0.07, -0.29), (0, -0.24), (-0.07, -0.29)], 5),
        paint.main,
        "label",
        line=False,
    )


def _game_controller(layer: Layer, paint: Paint) -> None:
    paint.body(
        layer,
        blob(
            [
                (-0.34, -0.46),
                (0.34, -0.46),
                (0.52, -0.14),
                (0.44, -0.02),
                (0.22, -0.18),
                (-0.22, -0.18),
                (-0.44, -0.02),
                (-0.52, -0.14),
            ],
            6,
        ),
    )
    layer.fill(rectangle(-0.26, -0.32, 0.17, 0.05), _DARK, "trim", line=False)
    layer.fill(rectangle(-0.26, -0.32, 0.05, 0.17), _DARK, "trim", line=False)
    for k, colour in enumerate(("#e5484d", "#f7c844", "#57b368", "#4a86e8")):
        t = k * np.pi / 2
        layer.fill(
            ellipse(0.26 + 0.07 * np.cos(t), -0.32 + 0.07 * np.sin(t), 0.035),
            hex_colour(colour),
            "trim",
            line=False,
        )
    layer.fill(ellipse(0, -0.33, 0.045), paint.accent, "trim")


USED = {
    "pair of headphones": _headphones, "camera": _camera, "phone": _phone, "laptop": _laptop,
    "book": _book, "pencil cup": _pencil_cup, "skateboard": _skateboard, "guitar": _guitar,
    "ball": _ball, "toy car": _toy_car, "perfume bottle": _perfume, "lipstick": _lipstick,
    "soap dispenser": _soap_dispenser, "game controller": _game_controller,
}  # fmt: skip
