"""What a mascot wears: outfits on the body, accessories on the head."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from onbrand.illustrator.body import Figure
from onbrand.illustrator.canvas import Layer
from onbrand.illustrator.colours import Colour, darker, hex_colour, lighter, named
from onbrand.illustrator.curves import arc, blob, ellipse, limb, rectangle, superellipse

__all__ = ["draw_accessory", "draw_cape", "draw_neckwear", "draw_outfit"]

_GOLD = hex_colour("#fbc531")


def draw_cape(f: Figure, layer: Layer) -> None:
    """A cape hangs behind the body."""
    if f.who.outfit != "cape":
        return
    colour = named(f.who.outfit_colour)
    top, low, w = f.shoulders_y, f.hips_y + 0.11, f.torso_width
    swing = -0.05 * f.turn
    cape = blob(
        [
            (-w * 0.7, top),
            (w * 0.7, top),
            (w * 1.5 + swing, (top + low) / 2),
            (w * 1.75 + swing, low),
            (swing, low - 0.02),
            (-w * 1.75 + swing, low),
            (-w * 1.5 + swing, (top + low) / 2),
        ]
    )
    layer.fill(cape, colour, "outfit", form=True)


def draw_outfit(f: Figure, layer: Layer) -> None:
    """Clothes on the torso."""
    kind, colour = f.who.outfit, named(f.who.outfit_colour)
    w, top, low = f.torso_width * 1.2, f.shoulders_y - 0.09, f.hips_y + 0.10
    if kind in ("t-shirt", "striped sweater"):
        hem = low - (0.085 if kind == "t-shirt" else 0.06)
        shirt = blob(
            [
                (-w, top),
                (w, top),
                (w, hem - 0.04),
                (w * 0.5, hem),
                (-w * 0.5, hem),
                (-w, hem - 0.04),
            ],
            4,
        )
        layer.fill(shirt, colour, "outfit", clip=f.torso, form=True)
        if kind == "striped sweater":
            for k in range(3):
                y = f.shoulders_y + 0.07 + 0.075 * k
                layer.fill(
                    rectangle(0, y, 2 * w, 0.030), lighter(colour, 0.6), "outfit", clip=f.torso
                )
        else:
            layer.fill(
                ellipse(0.03 * f.turn, f.shoulders_y + 0.13, 0.038),
                lighter(colour, 0.7),
                "outfit",
                line=False,
            )
    elif kind == "overalls":
        low_part = rectangle(0, (f.hips_y - 0.085 + low) / 2, 2 * w, low - f.hips_y + 0.085)
        layer.fill(low_part, colour, "outfit", clip=f.torso, form=True)
        bib = superellipse(0.03 * f.turn, f.hips_y - 0.10, f.torso_width * 0.58, 0.085, 4)
        layer.fill(bib, colour, "outfit", clip=f.torso)
        for side in (-1, 1):
            strap = np.array(
                [(side * f.torso_width * 0.42, f.hips_y - 0.15), (side * f.torso_width * 0.62, top)]
            )
            layer.stroke(
                strap + np.array([0.03 * f.turn, 0.0]),
                darker(colour, 0.18),
                0.034,
                "outfit",
                clip=f.torso,
            )
            layer.fill(
                ellipse(side * f.torso_width * 0.42 + 0.03 * f.turn, f.hips_y - 0.15, 0.016),
                _GOLD,
                "outfit",
                line=False,
            )
        layer.fill(
            superellipse(0.03 * f.turn, f.hips_y - 0.085, 0.052, 0.034, 4),
            darker(colour, 0.16),
            "outfit",
            line=False,
        )


def draw_neckwear(f: Figure, layer: Layer) -> None:
    """Scarf, bow tie or the cape's clasp: over the head's lower edge."""
    kind, colour = f.who.outfit, named(f.who.outfit_colour)
    x, y = f.head_x * 0.8, f.shoulders_y - 0.005
    if kind == "scarf":
        side = -1 if f.turn > 0 else 1
        tail = [(x + side * 0.05, y), (x + side * 0.10, y + 0.08), (x + side * 0.13, y + 0.17)]
        layer.fill(limb(np.array(tail), 0.075, 0.085), colour, "outfit", form=True)
        layer.stroke(
            np.array([(tail[2][0] - 0.04, y + 0.165), (tail[2][0] + 0.035, y + 0.150)]),
            lighter(colour, 0.6),
            0.02,
            "outfit",
        )
        layer.fill(superellipse(x, y, 0.185, 0.052, 2.8), colour, "outfit", form=True)
    elif kind == "bow tie":
        y += 0.045
        for side in (-1, 1):
            layer.fill(
                blob(
                    [
                        (x, y),
                        (x + side * 0.095, y - 0.052),
                        (x + side * 0.105, y),
                        (x + side * 0.095, y + 0.052),
                    ]
                ),
                colour,
                "outfit",
                form=True,
            )
        layer.fill(ellipse(x, y, 0.028), darker(colour, 0.2), "outfit")
    elif kind == "cape":
        layer.stroke(
            arc(x, y - 0.03, 0.15, 0.06, 0.04, 0.46), darker(colour, 0.12), 0.045, "outfit"
        )
        layer.fill(ellipse(x, y + 0.032, 0.03), _GOLD, "outfit")


def _glasses(f: Figure, layer: Layer, colour: Colour) -> None:
    x = f.head_x
    cx, y = x + 0.095 * f.turn, f.head_y + 0.008
    if f.kind == "frog":
        y = f.head_y - f.head_ry * 0.60
    for side in (-1, 1):
        ring = arc(cx + side * 0.138 * (1 - 0.1 * f.turn * side), y, 0.108, 0.108, 0, 1)
        layer.stroke(ring, darker(colour, 0.12), 0.030, "accessory")
    layer.stroke(
        np.array([(cx - 0.035, y - 0.005), (cx + 0.035, y - 0.005)]),
        darker(colour, 0.12),
        0.026,
        "accessory",
    )


def _cap(f: Figure, layer: Layer, colour: Colour) -> None:
    x = f.head_x
    top = f.head_y - f.head_ry
    dome = np.concatenate([arc(x, top + 0.135, f.head_rx * 0.86, 0.20, 0.5, 1.0)])
    layer.fill(dome, colour, "accessory", form=True)
    side = f.turn or 0.9
    brim = superellipse(x + side * 0.16, top + 0.135, 0.21, 0.034, 2.6)
    layer.fill(brim, darker(colour, 0.2), "accessory", form=True)
    layer.fill(ellipse(x, top - 0.06, 0.024), darker(colour, 0.2), "accessory")


def _beanie(f: Figure, layer: Layer, colour: Colour) -> None:
    x = f.head_x
    top = f.head_y - f.head_ry
    dome = np.concatenate([arc(x, top + 0.12, f.head_rx * 0.87, 0.21, 0.5, 1.0)])
    layer.fill(dome, colour, "accessory", form=True)
    layer.fill(
        superellipse(x, top + 0.115, f.head_rx * 0.90, 0.043, 4),
        lighter(colour, 0.4),
        "accessory",
        form=True,
    )
    layer.fill(ellipse(x, top - 0.10, 0.055), lighter(colour, 0.6), "accessory", form=True)


def _flower(f: Figure, layer: Layer, colour: Colour) -> None:
    x = f.head_x
    top = f.head_y - f.head_ry
    fx, fy = x + f.head_rx * 0.62, top + 0.085
    for k in range(5):
        t = 2 * np.pi * k / 5
        layer.fill(
            ellipse(fx + 0.055 * np.cos(t), fy + 0.055 * np.sin(t), 0.043), colour, "accessory"
        )
    layer.fill(
        ellipse(fx, fy, 0.036),
        _GOLD if f.who.accessory_colour != "yellow" else hex_colour("#a4622e"),
        "accessory",
        line=False,
    )


def _crown(f: Figure, layer: Layer, colour: Colour) -> None:
    x = f.head_x
    top = f.head_y - f.head_ry
    w, base = 0.155, top + 0.035
    crown = np.array(
        [
            (x - w, base),
            (x - w * 1.15, base - 0.14),
            (x - w * 0.5, base - 0.065),
            (x, base - 0.17),
            (x + w * 0.5, base - 0.065),
            (x + w * 1.15, base - 0.14),
            (x + w, base),
        ]
    )
    layer.fill(crown, _GOLD, "accessory", form=True)
    for k in (-1, 0, 1):
        layer.fill(ellipse(x + 0.085 * k, base - 0.032, 0.023), colour, "accessory", line=False)


def _headphones(f: Figure, layer: Layer, colour: Colour) -> None:
    x = f.head_x
    layer.stroke(
        arc(x, f.head_y - 0.01, f.head_rx * 1.0, f.head_ry * 1.12, 0.5, 1.0),
        darker(colour, 0.25),
        0.040,
        "accessory",
    )
    for side in (-1, 1):
        layer.fill(
            superellipse(x + side * f.head_rx * 1.0, f.head_y + 0.01, 0.052, 0.088, 3),
            colour,
            "accessory",
            form=True,
        )


def _party_hat(f: Figure, layer: Layer, colour: Colour) -> None:
    x = f.head_x
    top = f.head_y - f.head_ry
    brim_y = top + 0.045
    hat = np.array([(x - 0.125, brim_y), (x + 0.02, brim_y - 0.30), (x + 0.135, brim_y)])
    layer.fill(hat, colour, "accessory", form=True)
    for k in (0.25, 0.6):
        layer.fill(
            rectangle(x + 0.01 * k, brim_y - 0.28 * k, 0.4, 0.034, -0.12),
            lighter(colour, 0.65),
            "accessory",
            clip=hat,
        )
    layer.fill(ellipse(x + 0.02, brim_y - 0.295, 0.042), _GOLD, "accessory")


_ACCESSORIES: dict[str, Callable[[Figure, Layer, Colour], None]] = {
    "glasses": _glasses,
    "cap": _cap,
    "beanie": _beanie,
    "flower": _flower,
    "crown": _crown,
    "headphones": _headphones,
    "party hat": _party_hat,
}


def draw_accessory(f: Figure, layer: Layer) -> None:
    """What sits on the head or the nose, after the face."""
    if f.who.accessory != "none":
        _ACCESSORIES[f.who.accessory](f, layer, named(f.who.accessory_colour))
