"""Ears, and what species have instead of them: horns, gills, an antenna."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from onbrand.illustrator.body import Figure
from onbrand.illustrator.canvas import Layer
from onbrand.illustrator.colours import Colour, darker, hex_colour, mix
from onbrand.illustrator.curves import blob, ellipse, limb, superellipse
from onbrand.illustrator.species import SPECIES

__all__ = ["draw_ears"]

_BLUSH = hex_colour("#f58a8a")
_EAR_SIZE = {"usual": 1.0, "big": 1.38, "small": 0.68, "folded": 1.0}


def draw_ears(f: Figure, layer: Layer) -> None:
    """Ears (or what the species has instead), behind the head. Their keypoints are the same two
    points of the head for all species: beside some ears, and a penguin, without any, has them."""
    kind = SPECIES[f.kind].ears
    size, folded = _EAR_SIZE[f.who.ears], f.who.ears == "folded"
    inner = mix(f.pale, _BLUSH, 0.35)
    for side in (-1, 1):
        squeeze = 1.0 - 0.16 * f.turn * side  # the far ear narrows
        x = f.head_x + side * f.head_rx * 0.66 - 0.03 * f.turn
        y = f.head_y - f.head_ry * 0.70
        _EARS[kind](f, layer, side, x, y, size * squeeze, size, folded, inner)
        layer.keypoints["left_ear" if side < 0 else "right_ear"] = (x, y - 0.1 * size)


EarPainter = Callable[[Figure, Layer, int, float, float, float, float, bool, Colour], None]


def _pointed(f: Figure, layer: Layer, s: int, x: float, y: float, w: float, h: float,
             folded: bool, inner: Colour) -> None:  # fmt: skip
    tip = (x + s * 0.06 * w, y - 0.19 * h) if not folded else (x + s * 0.16 * w, y - 0.03)
    ear = blob(
        [
            (x - s * 0.13 * w, y + 0.02),
            (tip[0] - s * 0.02, tip[1] + 0.01),
            tip,
            (x + s * 0.10 * w, y + 0.02),
            (x + s * 0.09 * w, y + 0.13),
            (x - s * 0.05, y + 0.12),
        ],
        6,
    )
    layer.fill(ear, f.main, "ears", form=True)
    if folded:
        flap = blob(
            [
                (x - s * 0.10 * w, y - 0.02),
                (x + s * 0.02, y - 0.10),
                (x + s * 0.15 * w, y - 0.02),
                (x + s * 0.05, y + 0.03),
            ]
        )
        layer.fill(flap, darker(f.main, 0.14), "ears")
    else:
        c = np.array([x, y])
        layer.fill((ear - c) * 0.55 + c + (s * 0.005, -0.005), inner, "ears", line=False)


def _round(f: Figure, layer: Layer, s: int, x: float, y: float, w: float, h: float,
           folded: bool, inner: Colour) -> None:  # fmt: skip
    big = 1.35 if f.kind in ("mouse", "koala") else 1.0
    colour = f.dark if f.kind == "panda" else f.main
    cx, cy = x + s * 0.045 * big, y - 0.02
    layer.fill(ellipse(cx, cy, 0.105 * w * big, 0.105 * h * big), colour, "ears", form=True)
    if folded:
        layer.fill(
            ellipse(cx - s * 0.01, cy - 0.05, 0.10 * big, 0.05), darker(colour, 0.16), "ears"
        )
    else:
        layer.fill(
            ellipse(cx, cy + 0.008, 0.062 * w * big, 0.062 * h * big), inner, "ears", line=False
        )


def _long(f: Figure, layer: Layer, s: int, x: float, y: float, w: float, h: float,
          folded: bool, inner: Colour) -> None:  # fmt: skip
    x -= s * 0.06
    if folded:
        path = np.array(
            [
                (x, y + 0.03),
                (x + s * 0.04, y - 0.16),
                (x + s * 0.15, y - 0.19),
                (x + s * 0.21, y - 0.06),
            ]
        )
        layer.fill(limb(blob(path)[:21], 0.10, 0.115), f.main, "ears", form=True)
        return
    layer.fill(
        ellipse(x + s * 0.03, y - 0.13 * h, 0.066 * w, 0.21 * h, s * 0.14),
        f.main,
        "ears",
        form=True,
    )
    layer.fill(
        ellipse(x + s * 0.03, y - 0.12 * h, 0.034 * w, 0.145 * h, s * 0.14),
        inner,
        "ears",
        line=False,
    )


def _floppy(f: Figure, layer: Layer, s: int, x: float, y: float, w: float, h: float,
            folded: bool, inner: Colour) -> None:  # fmt: skip
    x += s * 0.06
    drop = 0.10 if folded else 0.17
    ear = blob(
        [
            (x - s * 0.07, y - 0.03),
            (x + s * 0.05 * w, y - 0.01),
            (x + s * 0.115 * w, y + drop * h),
            (x + s * 0.03, y + (drop + 0.06) * h),
            (x - s * 0.02, y + 0.10),
        ]
    )
    layer.fill(ear, darker(f.main, 0.22), "ears", form=True)


def _tufts(f: Figure, layer: Layer, s: int, x: float, y: float, w: float, h: float,
           folded: bool, inner: Colour) -> None:  # fmt: skip
    tip = (x + s * 0.13, y - (0.02 if folded else 0.13 * h))
    layer.fill(
        np.array([(x - s * 0.12 * w, y + 0.02), tip, (x + s * 0.09, y + 0.11)]),
        darker(f.main, 0.18),
        "ears",
    )


def _horns(f: Figure, layer: Layer, s: int, x: float, y: float, w: float, h: float,
           folded: bool, inner: Colour) -> None:  # fmt: skip
    path = np.array(
        [
            (x - s * 0.02, y + 0.04),
            (x + s * 0.02, y - 0.07 * h),
            (x + s * (0.02 if not folded else 0.12), y - 0.17 * h),
        ]
    )
    layer.fill(limb(path, 0.085 * w, 0.025), hex_colour("#fbe8c2"), "ears", form=True)
    layer.fill(
        blob(
            [
                (x + s * 0.08, y + 0.12),
                (x + s * 0.24 * w, y + 0.03),
                (x + s * 0.20, y + 0.14),
                (x + s * 0.10, y + 0.20),
            ]
        ),
        f.dark,
        "ears",
    )


def _antenna(f: Figure, layer: Layer, s: int, x: float, y: float, w: float, h: float,
             folded: bool, inner: Colour) -> None:  # fmt: skip
    layer.fill(
        superellipse(f.head_x + s * f.head_rx * 1.02, f.head_y + 0.02, 0.045 * w, 0.085 * h, 4),
        f.dark,
        "ears",
    )
    if s > 0:
        top = f.head_y - f.head_ry
        bend = 0.07 if folded else 0.0
        layer.stroke(
            np.array([(f.head_x, top + 0.02), (f.head_x + bend, top - 0.11 * h)]),
            f.dark,
            0.028,
            "ears",
        )
        layer.fill(
            ellipse(f.head_x + bend, top - 0.12 * h, 0.042 * h), hex_colour("#ffd34f"), "ears"
        )


def _gills(f: Figure, layer: Layer, s: int, x: float, y: float, w: float, h: float,
           folded: bool, inner: Colour) -> None:  # fmt: skip
    base_x = f.head_x + s * f.head_rx * 0.86
    colour = darker(mix(f.main, hex_colour("#ef5d77"), 0.45), 0.1)
    for k, angle in enumerate((-0.75, -0.2, 0.35)):
        droop = 0.45 if folded else 0.0
        by = f.head_y - 0.06 + 0.07 * k
        end = (base_x + s * np.cos(angle + droop) * 0.17 * w, by + np.sin(angle + droop) * 0.17 * h)
        layer.fill(
            limb(
                np.array([(base_x, by), ((base_x + end[0]) / 2, (by + end[1]) / 2), end]),
                0.062,
                0.036,
            ),
            colour,
            "ears",
        )


def _frog(f: Figure, layer: Layer, s: int, x: float, y: float, w: float, h: float,
          folded: bool, inner: Colour) -> None:  # fmt: skip
    layer.fill(ellipse(x - s * 0.03, y - 0.005, 0.105 * w, 0.10 * h), f.main, "ears", form=True)


def _none(f: Figure, layer: Layer, s: int, x: float, y: float, w: float, h: float,
          folded: bool, inner: Colour) -> None:  # fmt: skip
    return


_EARS: dict[str, EarPainter] = {
    "pointed": _pointed, "round": _round, "long": _long, "floppy": _floppy, "tufts": _tufts,
    "horns": _horns, "antenna": _antenna, "gills": _gills, "frog": _frog, "none": _none,
}  # fmt: skip
