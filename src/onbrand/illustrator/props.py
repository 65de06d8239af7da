"""Things a mascot holds. Each is drawn with the holding hand at the origin, y down."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from onbrand.illustrator.canvas import Layer
from onbrand.illustrator.colours import darker, hex_colour, lighter
from onbrand.illustrator.curves import arc, blob, ellipse, rectangle, star, superellipse

__all__ = ["PROPS"]

_WOOD = hex_colour("#a97142")
_RED, _GOLD, _BLUE = hex_colour("#ee4d5a"), hex_colour("#fbc531"), hex_colour("#4a90e2")
_GREEN, _PINK, _CREAM = hex_colour("#4cae5b"), hex_colour("#f58fb0"), hex_colour("#fff3dc")


def _balloon(layer: Layer, side: int) -> None:
    layer.stroke(
        np.array([(0, 0), (side * 0.02, -0.14), (side * 0.05, -0.26)]),
        (0.45, 0.4, 0.45),
        0.010,
        "prop",
    )
    layer.fill(ellipse(side * 0.07, -0.40, 0.125, 0.15, side * 0.1), _RED, "prop", form=True)
    layer.fill(
        ellipse(side * 0.07 - 0.045, -0.455, 0.026, 0.040, 0.5),
        lighter(_RED, 0.7),
        None,
        line=False,
    )


def _ice_cream(layer: Layer, side: int) -> None:
    layer.fill(
        np.array([(-0.062, -0.075), (0.062, -0.075), (0.0, 0.085)]),
        hex_colour("#e0a458"),
        "prop",
        form=True,
    )
    layer.fill(ellipse(0, -0.115, 0.078, 0.07), _PINK, "prop", form=True)
    layer.fill(ellipse(0, -0.195, 0.058, 0.055), _CREAM, "prop", form=True)
    layer.fill(ellipse(0, -0.258, 0.024), _RED, "prop")


def _umbrella(layer: Layer, side: int) -> None:
    layer.stroke(np.array([(0, 0.06), (0, -0.34)]), _WOOD, 0.024, "prop")
    dome = np.concatenate([arc(0, -0.30, 0.26, 0.20, 0.5, 1.0)])
    layer.fill(dome, _BLUE, "prop", form=True)
    layer.fill(
        np.concatenate([arc(0, -0.30, 0.095, 0.20, 0.5, 1.0)]),
        lighter(_BLUE, 0.5),
        "prop",
        clip=dome,
    )


def _flower(layer: Layer, side: int) -> None:
    layer.stroke(np.array([(0, 0.07), (0.01, -0.06), (0, -0.16)]), _GREEN, 0.022, "prop")
    layer.fill(ellipse(side * 0.045, -0.04, 0.045, 0.022, -0.6 * side), _GREEN, "prop")
    for k in range(6):
        t = 2 * np.pi * k / 6
        layer.fill(ellipse(0.062 * np.cos(t), -0.21 + 0.062 * np.sin(t), 0.044), _PINK, "prop")
    layer.fill(ellipse(0, -0.21, 0.040), _GOLD, "prop", line=False)


def _book(layer: Layer, side: int) -> None:
    layer.fill(
        rectangle(0, -0.06, 0.235, 0.19, 0.06 * side), hex_colour("#3f7f6c"), "prop", form=True
    )
    layer.fill(rectangle(0.012, -0.062, 0.195, 0.155, 0.06 * side), _CREAM, "prop", line=False)
    layer.stroke(np.array([(0.0, -0.145), (0.0, 0.02)]), darker(_CREAM, 0.3), 0.014, "prop")


def _cup(layer: Layer, side: int) -> None:
    layer.stroke(arc(side * 0.075, -0.06, 0.042, 0.048, 0, 1), hex_colour("#e9eef2"), 0.024, "prop")
    layer.fill(
        blob(
            [
                (-0.075, -0.135),
                (0.075, -0.135),
                (0.066, 0.0),
                (0.04, 0.025),
                (-0.04, 0.025),
                (-0.066, 0.0),
            ],
            4,
        ),
        hex_colour("#f2f5f7"),
        "prop",
        form=True,
    )
    layer.fill(ellipse(0, -0.132, 0.066, 0.022), hex_colour("#6f4427"), "prop", line=False)
    for k in (-1, 1):
        layer.stroke(
            np.array([(0.026 * k, -0.18), (0.026 * k + 0.015, -0.215), (0.026 * k, -0.25)]),
            (0.88, 0.88, 0.9),
            0.014,
            None,
            alpha=0.8,
        )


def _gift(layer: Layer, side: int) -> None:
    layer.fill(rectangle(0, -0.07, 0.20, 0.17), hex_colour("#8e6bd8"), "prop", form=True)
    layer.fill(rectangle(0, -0.07, 0.042, 0.17), _GOLD, "prop", line=False)
    layer.fill(rectangle(0, -0.085, 0.20, 0.036), _GOLD, "prop", line=False)
    for s in (-1, 1):
        layer.fill(ellipse(s * 0.048, -0.182, 0.048, 0.032, s * -0.4), _GOLD, "prop")


def _star(layer: Layer, side: int) -> None:
    layer.stroke(np.array([(0, 0.05), (0, -0.12)]), _WOOD, 0.026, "prop")
    layer.fill(star(0, -0.20, 0.135, inner=0.52), _GOLD, "prop", form=True)


def _lantern(layer: Layer, side: int) -> None:
    layer.stroke(np.array([(0, 0), (0, 0.05)]), _WOOD, 0.018, "prop")
    layer.fill(superellipse(0, 0.145, 0.085, 0.10, 3), hex_colour("#f6623f"), "prop", form=True)
    layer.fill(superellipse(0, 0.145, 0.042, 0.10, 3), hex_colour("#ffc46b"), "prop", line=False)
    for y in (0.045, 0.245):
        layer.fill(rectangle(0, y, 0.09, 0.026), hex_colour("#7a3b2e"), "prop", line=False)


def _ball(layer: Layer, side: int) -> None:
    layer.fill(ellipse(0, -0.085, 0.115), hex_colour("#f5f6f8"), "prop", form=True)
    ball = ellipse(0, -0.085, 0.110)
    layer.fill(ellipse(0.07, -0.085, 0.075, 0.115), _RED, "prop", clip=ball)
    layer.fill(ellipse(-0.095, -0.085, 0.06, 0.115), _BLUE, "prop", clip=ball)


def _flag(layer: Layer, side: int) -> None:
    layer.stroke(np.array([(0, 0.10), (0, -0.33)]), _WOOD, 0.024, "prop")
    s = side
    cloth = blob(
        [
            (0, -0.33),
            (s * 0.12, -0.30),
            (s * 0.25, -0.33),
            (s * 0.24, -0.17),
            (s * 0.12, -0.14),
            (0, -0.17),
        ],
        5,
    )
    layer.fill(cloth, hex_colour("#2fae74"), "prop", form=True)
    layer.fill(ellipse(s * 0.12, -0.235, 0.042), _CREAM, "prop", line=False)


PROPS: dict[str, Callable[[Layer, int], None]] = {
    "balloon": _balloon, "ice cream": _ice_cream, "umbrella": _umbrella, "flower": _flower,
    "book": _book, "cup": _cup, "gift": _gift, "star": _star, "lantern": _lantern, "ball": _ball,
    "flag": _flag,
}  # fmt: skip
