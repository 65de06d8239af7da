"""A mascot's head: marks, muzzle, eyes, mouth. Features slide with the turn of the head."""

from __future__ import annotations

import numpy as np

from onbrand.illustrator.body import Figure
from onbrand.illustrator.canvas import Layer
from onbrand.illustrator.colours import Colour, darker, hex_colour, ink, lighter, mix
from onbrand.illustrator.curves import arc, blob, ellipse, star, superellipse
from onbrand.illustrator.species import SPECIES

__all__ = ["draw_face", "draw_head", "head_outline"]

_INK: Colour = (0.16, 0.12, 0.19)
_BLUSH = hex_colour("#f58a8a")
_IRIS = {"brown": "#8a5a34", "green": "#3fa35b", "blue": "#3d7fe0", "purple": "#8656c9"}
_DEEP = {"dragon", "axolotl", "frog"}


def head_outline(f: Figure) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The outline of the head by the character's head shape."""
    x, y, rx, ry = f.head_x, f.head_y, f.head_rx, f.head_ry
    if f.who.head == "square" or f.kind == "robot":
        return superellipse(x, y, rx, ry, 4.2)
    if f.who.head == "wide":
        return blob([(x, y - ry), (x + rx * 0.72, y - ry * 0.72), (x + rx * 1.02, y + ry * 0.22),
                     (x + rx * 0.6, y + ry * 0.9), (x, y + ry), (x - rx * 0.6, y + ry * 0.9),
                     (x - rx * 1.02, y + ry * 0.22), (x - rx * 0.72, y - ry * 0.72)])  # fmt: skip
    return superellipse(x, y, rx, ry, 2.25)


def draw_head(f: Figure, layer: Layer) -> None:
    """The head itself and the marks on it."""
    outline = head_outline(f)
    layer.fill(outline, f.main, "head", form=True)
    x, y, rx, ry = f.head_x + 0.075 * f.turn, f.head_y, f.head_rx, f.head_ry
    species = SPECIES[f.kind]
    if f.kind in ("penguin", "owl"):
        for side in (-1, 1):
            layer.fill(
                ellipse(x + side * 0.105, y + 0.02, 0.135, 0.16), f.pale, "muzzle", clip=outline
            )
    elif species.mask:
        for side in (-1, 1):
            cheek = blob(
                [
                    (x, y + ry * 0.25),
                    (x + side * rx * 0.75, y + ry * 0.10),
                    (x + side * rx * 1.2, y + ry * 0.5),
                    (x + side * rx * 0.6, y + ry * 1.2),
                    (x, y + ry * 1.1),
                ]
            )
            layer.fill(cheek, f.pale, "muzzle", clip=outline)
    mark = f.who.mark
    if mark == "forehead star":
        layer.fill(star(x, y - ry * 0.62, 0.062), hex_colour("#ffd34f"), "mark", line=False)
    elif mark == "forehead blaze":
        blaze = blob(
            [
                (x - 0.045, y - ry * 1.05),
                (x + 0.045, y - ry * 1.05),
                (x + 0.028, y - ry * 0.2),
                (x, y),
                (x - 0.028, y - ry * 0.2),
            ]
        )
        layer.fill(blaze, lighter(f.main, 0.75), "mark", clip=outline)
    elif mark == "stripes":
        for k in (-1, 0, 1):
            layer.stroke(
                np.array([(x + 0.075 * k, y - ry * 1.0), (x + 0.062 * k, y - ry * 0.62)]),
                f.dark,
                0.034,
                "mark",
                clip=outline,
            )
    if species.patches:
        for side in (-1, 1):
            layer.fill(
                ellipse(x + side * 0.138, y + 0.01, 0.092, 0.108, side * 0.5),
                f.dark,
                "mark",
                clip=outline,
            )
    elif mark == "eye patch":
        patch = (
            darker(f.main, 0.42) if f.who.colour not in ("black", "brown") else lighter(f.main, 0.6)
        )
        layer.fill(ellipse(x + 0.138, y + 0.005, 0.112, 0.125), patch, "mark", clip=outline)
    layer.keypoints["head_top"] = (f.head_x, y - ry)
    layer.keypoints["chin"] = (f.head_x, y + ry)


def draw_face(f: Figure, layer: Layer, expression: str) -> None:
    """Muzzle, mouth, eyes, brows, cheeks."""
    x, y = f.head_x + 0.095 * f.turn, f.head_y
    if SPECIES[f.kind].muzzle == "screen":
        layer.fill(
            superellipse(
                x * 0.55 + f.head_x * 0.45, y + 0.015, f.head_rx * 0.80, f.head_ry * 0.66, 4
            ),
            hex_colour("#2b3350"),
            "muzzle",
        )
    mouth_y = _muzzle(f, layer, x, y, expression)
    _mouth(f, layer, x, mouth_y, expression)
    if f.who.mark == "freckles":
        for side in (-1, 1):
            for k in (-1, 0, 1):
                layer.fill(
                    ellipse(x + side * 0.185 + 0.03 * k, y + 0.085 + 0.018 * abs(k), 0.0115),
                    darker(f.main, 0.4),
                    "mark",
                    line=False,
                )
    else:
        for side in (-1, 1):
            layer.fill(
                ellipse(x + side * f.head_rx * 0.66, y + 0.085, 0.042, 0.028),
                _BLUSH,
                None,
                alpha=0.55,
                line=False,
            )
    spread = 0.138 if f.kind != "frog" else 0.150
    eye_y = y + 0.005 if f.kind != "frog" else y - f.head_ry * 0.62
    for side in (-1, 1):
        ex = x + side * spread * (1 - 0.10 * f.turn * side)
        _eye(f, layer, ex, eye_y, side, expression)
        layer.keypoints["left_eye" if side < 0 else "right_eye"] = (ex, eye_y)


def _muzzle(f: Figure, layer: Layer, x: float, y: float, expression: str) -> float:
    """Draw nose and muzzle; return the height of the mouth."""
    kind = SPECIES[f.kind].muzzle
    x += 0.03 * f.turn
    nose = _INK if f.kind not in _DEEP else ink(f.main)
    layer.keypoints["nose"] = (x, y + 0.07)
    if kind == "snout":
        layer.fill(
            ellipse(x, y + 0.125, 0.105, 0.078), f.pale, "muzzle", line=f.who.belly == "same"
        )
        if f.kind == "dragon":
            for side in (-1, 1):
                layer.fill(ellipse(x + side * 0.03, y + 0.085, 0.013), nose, "muzzle", line=False)
        else:
            layer.fill(
                blob([(x - 0.04, y + 0.068), (x + 0.04, y + 0.068), (x, y + 0.108)]),
                nose,
                "muzzle",
                line=False,
            )
        return y + 0.138
    if kind in ("cat", "rabbit"):
        layer.fill(
            blob([(x - 0.026, y + 0.066), (x + 0.026, y + 0.066), (x, y + 0.092)]),
            darker(_BLUSH, 0.18),
            "muzzle",
            line=False,
        )
        if kind == "rabbit" and expression not in ("surprised", "laughing", "sad", "angry"):
            layer.fill(superellipse(x, y + 0.150, 0.030, 0.032, 4), (1, 1, 1), "muzzle", line=True)
        return y + 0.118
    if kind == "koala":
        layer.fill(
            superellipse(x, y + 0.055, 0.052, 0.075, 2.6),
            mix(_INK, f.main, 0.25),
            "muzzle",
            form=True,
        )
        return y + 0.152
    if kind == "disc":
        layer.fill(
            ellipse(x, y + 0.085, 0.082, 0.058),
            darker(mix(f.main, _BLUSH, 0.3), 0.08),
            "muzzle",
            form=True,
        )
        for side in (-1, 1):
            layer.fill(
                ellipse(x + side * 0.03, y + 0.085, 0.014, 0.021), ink(f.main), "muzzle", line=False
            )
        return y + 0.165
    if kind == "beak":
        if expression in ("laughing", "surprised"):
            layer.fill(
                blob([(x - 0.05, y + 0.10), (x + 0.05, y + 0.10), (x, y + 0.175)]),
                hex_colour("#c9552b"),
                "mouth",
            )
        layer.fill(
            blob([(x - 0.062, y + 0.085), (x, y + 0.055), (x + 0.062, y + 0.085), (x, y + 0.130)]),
            hex_colour("#f7a928"),
            "muzzle",
            form=True,
        )
        return y + 0.150
    return y + (0.10 if kind == "wide" else 0.095)


def _mouth(f: Figure, layer: Layer, x: float, y: float, expression: str) -> None:
    kind = SPECIES[f.kind].muzzle
    x += 0.03 * f.turn
    line = (
        hex_colour("#7fe3ff")
        if kind == "screen"
        else (_INK if f.who.colour != "black" or kind in ("snout", "koala") else (0.08, 0.07, 0.1))
    )
    if f.who.colour == "black" and kind in ("cat", "rabbit", "wide", "disc"):
        line = lighter(f.main, 0.75)
    wide = {"wide": 0.125, "screen": 0.095, "beak": 0.055}.get(kind, 0.074)
    width = 0.027
    if expression in ("happy", "winking"):
        if kind == "cat":
            for side in (-1, 1):
                layer.stroke(
                    arc(x + side * 0.034, y - 0.004, 0.034, 0.034, 0.0, 0.5), line, width, "mouth"
                )
        else:
            layer.stroke(arc(x, y - 0.022, wide, 0.048, 0.04, 0.46), line, width, "mouth")
    elif expression == "laughing":
        if kind != "beak":
            mouth = np.concatenate([arc(x, y - 0.012, wide * 1.12, 0.098, 0.0, 0.5)])
            layer.fill(mouth, hex_colour("#8f2f45"), "mouth")
            layer.fill(
                ellipse(x, y + 0.072, wide * 0.62, 0.036),
                hex_colour("#f2808f"),
                "mouth",
                clip=mouth,
            )
    elif expression in ("sad", "angry"):
        layer.stroke(arc(x, y + 0.042, wide * 0.9, 0.048, 0.56, 0.94), line, width, "mouth")
    elif expression == "surprised":
        if kind != "beak":
            layer.fill(ellipse(x, y + 0.022, 0.034, 0.044), hex_colour("#8f2f45"), "mouth")
    elif expression == "sleepy":
        layer.fill(
            ellipse(x + 0.008, y + 0.012, 0.020, 0.015), darker(_BLUSH, 0.3), "mouth", line=False
        )
    else:
        layer.stroke(
            np.array([(x - wide * 0.6, y + 0.006), (x + wide * 0.6, y + 0.006)]),
            line,
            width,
            "mouth",
        )


def _eye(f: Figure, layer: Layer, x: float, y: float, side: int, expression: str) -> None:
    screen = SPECIES[f.kind].muzzle == "screen"
    dark_face = f.who.colour == "black" and f.kind not in ("penguin", "owl")
    patched = SPECIES[f.kind].patches or (f.who.mark == "eye patch" and side > 0)
    line = (
        hex_colour("#7fe3ff")
        if screen
        else (
            (1.0, 0.98, 0.94)
            if dark_face != (patched and f.who.mark == "eye patch") or SPECIES[f.kind].patches
            else _INK
        )
    )
    closed = expression in ("laughing", "sleepy") or (expression == "winking" and side > 0)
    if closed:
        start = (0.54, 0.96) if expression != "sleepy" else (0.06, 0.44)
        shift = 0.022 if expression != "sleepy" else -0.018
        layer.stroke(arc(x, y + shift, 0.064, 0.060, *start), line, 0.030, "eyes")
        return
    scale = 1.34 if expression == "surprised" else 1.12
    _open_eye(f, layer, x, y, scale, line, screen, bright=line[0] > 0.9 and not screen)
    if expression in ("angry", "sad"):
        tilt = side * (0.5 if expression == "angry" else -0.45)
        brow = np.array([(-0.072, 0.0), (0.072, 0.0)])
        c, s = np.cos(tilt), np.sin(tilt)
        brow = brow @ np.array([[c, -s], [s, c]]) + (x, y - 0.112)
        layer.stroke(brow, line if (screen or line[0] > 0.9) else ink(f.main), 0.030, "eyes")
        if expression == "sad" and side < 0:
            layer.fill(
                blob(
                    [
                        (x - 0.01, y + 0.07),
                        (x + 0.018, y + 0.125),
                        (x - 0.01, y + 0.145),
                        (x - 0.038, y + 0.125),
                    ]
                ),
                hex_colour("#7cc4f5"),
                "eyes",
                line=False,
            )
    elif expression == "surprised":
        layer.stroke(
            arc(x, y - 0.075, 0.05, 0.04, 0.58, 0.92),
            line if (screen or line[0] > 0.9) else ink(f.main),
            0.022,
            "eyes",
        )


def _open_eye(
    f: Figure, layer: Layer, x: float, y: float, k: float, line: Colour, screen: bool, bright: bool
) -> None:
    iris = hex_colour(_IRIS[f.who.eye_colour])
    look = 0.012 * f.turn
    white: Colour = (1.0, 1.0, 1.0)
    if screen:
        layer.fill(superellipse(x, y, 0.042 * k, 0.052 * k, 3.2), line, "eyes", line=False)
        return
    style = f.who.eyes
    if style == "dot":
        layer.fill(ellipse(x + look, y, 0.040 * k, 0.046 * k), line, "eyes", line=False)
        layer.fill(
            ellipse(x - 0.013 + look, y - 0.017, 0.014), _INK if bright else white, None, line=False
        )
    elif style == "tall":
        layer.fill(ellipse(x + look, y, 0.038 * k, 0.070 * k), line, "eyes", line=False)
        layer.fill(
            ellipse(x - 0.010 + look, y - 0.032, 0.015, 0.020),
            _INK if bright else white,
            None,
            line=False,
        )
    elif style == "round":
        layer.fill(ellipse(x, y, 0.070 * k), white, "eyes")
        layer.fill(ellipse(x + look * 1.6, y + 0.004, 0.045), iris, "eyes", line=False)
        layer.fill(ellipse(x + look * 1.8, y + 0.006, 0.027), _INK, "eyes", line=False)
        layer.fill(ellipse(x - 0.016 + look, y - 0.018, 0.014), white, None, line=False)
    else:
        layer.fill(
            ellipse(x, y, 0.066 * k, 0.080 * k), _INK if not bright else white, "eyes", line=False
        )
        layer.fill(ellipse(x + look, y + 0.014, 0.052, 0.058), iris, "eyes", line=False)
        layer.fill(ellipse(x + look, y - 0.004, 0.034, 0.042), _INK, "eyes", line=False)
        layer.fill(ellipse(x - 0.020 + look, y - 0.030, 0.021), white, None, line=False)
        layer.fill(ellipse(x + 0.020 + look, y + 0.030, 0.012), white, None, line=False)
