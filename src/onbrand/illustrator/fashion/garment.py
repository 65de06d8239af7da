"""What is sold: a garment with its colours, print, sleeves, length, sheer parts; how it hangs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from onbrand.illustrator.canvas import Layer
from onbrand.illustrator.chance import pick, unreserved
from onbrand.illustrator.character import RESERVED_IDS
from onbrand.illustrator.colours import COLOURS, Colour, darker, named
from onbrand.illustrator.curves import Points, bezier, blob, ellipse, limb
from onbrand.illustrator.fashion.body import Body, sleeve, torso
from onbrand.illustrator.goods import PRINT_WORDS, PRINTS, Paint

__all__ = [
    "GARMENT_TRAITS",
    "Garment",
    "describe_garment",
    "draw_sleeves",
    "garment",
    "pretraining_garment",
    "wear",
]

GARMENT_TRAITS: dict[str, tuple[str, ...]] = {
    "kind": ("dress", "shirt", "t-shirt", "sweater", "skirt", "trousers", "coat"),
    "colour": tuple(COLOURS),
    "accent": tuple(COLOURS),
    "pattern": PRINTS,
    "sleeves": ("none", "short", "long"),
    "length": ("short", "knee-length", "long"),
    "sheer": ("no", "yes"),
}
_SLEEVES = {"dress": ("none", "short", "long"), "shirt": ("long", "short"), "t-shirt": ("short",),
            "sweater": ("long",), "coat": ("long",)}  # fmt: skip
_LENGTHS = {"dress": ("short", "knee-length", "long"), "skirt": ("short", "knee-length", "long"),
            "trousers": ("short", "long"), "coat": ("short", "knee-length")}  # fmt: skip
_SHEER = ("dress", "skirt", "shirt")
_HEM_Y = {"short": -0.375, "knee-length": -0.25, "long": -0.085}


@dataclass(frozen=True, slots=True)
class Garment:
    """Fixed traits, each a word of GARMENT_TRAITS; `tone` picks a neighbouring tone of the colour.
    A kind that has no sleeves, length or sheer part keeps the first word."""

    id: int
    kind: str
    colour: str
    accent: str
    pattern: str = "plain"
    sleeves: str = "none"
    length: str = "short"
    sheer: str = "no"
    tone: int = 0

    @property
    def look(self) -> tuple[str, ...]:
        """What tells it from others in words."""
        return (self.kind, self.colour, self.accent, self.pattern, self.sleeves, self.length,
                self.sheer)  # fmt: skip

    @property
    def covers(self) -> str:
        """ "top", "bottom" or "both"."""
        return {"dress": "both", "skirt": "bottom", "trousers": "bottom"}.get(self.kind, "top")


def garment(identity: int) -> Garment:
    """The garment of an id, always the same; ids of RESERVED_IDS are kept for evaluation."""
    rng = np.random.default_rng((identity, 0x6A))

    kind = GARMENT_TRAITS["kind"][identity % len(GARMENT_TRAITS["kind"])]
    colour, accent = (list(COLOURS)[int(k)] for k in rng.choice(len(COLOURS), 2, replace=False))
    pattern = PRINTS[int(rng.choice(len(PRINTS), p=(0.44, 0.14, 0.14, 0.14, 0.14)))]
    sleeves, length = (
        pick(rng, _SLEEVES.get(kind, ("none",))),
        pick(rng, _LENGTHS.get(kind, ("short",))),
    )
    sheer = "yes" if kind in _SHEER and rng.random() < 0.25 else "no"
    tone = int(rng.integers(3))
    return Garment(identity, kind, colour, accent, pattern, sleeves, length, sheer, tone)


@lru_cache(maxsize=1)
def _reserved_looks() -> frozenset[tuple[str, ...]]:
    return frozenset(garment(identity).look for identity in RESERVED_IDS)


def pretraining_garment(number: int) -> Garment:
    """The n-th garment that models may learn from: none that looks like a reserved one."""
    return unreserved(garment, lambda made: made.look, _reserved_looks(), number)


def describe_garment(what: Garment) -> str:
    """A noun phrase: 'a long red dress with white dots and short sleeves'."""
    words = [what.length] if what.kind in _LENGTHS else []
    plural = what.kind == "trousers"
    extras = [f"{what.accent} {PRINT_WORDS[what.pattern]}"] if what.pattern in PRINT_WORDS else []
    if what.kind in ("dress", "shirt"):
        extras.append("no sleeves" if what.sleeves == "none" else f"{what.sleeves} sleeves")
    if what.sheer == "yes":
        extras.append("a sheer hem" if what.kind != "shirt" else "sheer sleeves")
    noun = " ".join([*words, what.colour, what.kind])
    article = "" if plural else "an " if noun[0] in "aeiou" else "a "
    return article + noun + (" with " + " and ".join(extras) if extras else "")


def wear(layer: Layer, b: Body, what: Garment) -> None:
    """Draw the garment on the body, but for its sleeves."""
    _KINDS[what.kind](layer, b, what, _paint(what))


def _paint(what: Garment) -> Paint:
    return Paint(named(what.colour, what.tone), named(what.accent), what.pattern, what.kind, 0.05)


def _folds(layer: Layer, colour: Colour, lines: list[Points], part: str) -> None:
    for line in lines:
        layer.stroke(line, darker(colour, 0.22), 0.006, part)


_SLEEVE_WIDTHS = {"dress": 0.050, "shirt": 0.054, "t-shirt": 0.054, "sweater": 0.062, "coat": 0.064}


def draw_sleeves(layer: Layer, b: Body, what: Garment) -> None:
    """The garment's sleeves; they come after the arms."""
    if what.sleeves == "none":
        return
    paint, width = _paint(what), _SLEEVE_WIDTHS[what.kind]
    for side in ("left", "right"):
        outline = sleeve(b, side, 0.5 if what.sleeves == "short" else 1.0, width)
        if what.sheer == "yes" and what.kind == "shirt":
            layer.fill(outline, paint.main, paint.part, alpha=0.5)
        else:
            paint.body(layer, outline)


def _skirt_outline(b: Body, top_y: float, hem_y: float, flare: float) -> Points:
    """From the waist over the hips to a hem that is `flare` wider than legs and hips."""
    left, right = b.side_at(top_y)
    legs = b.leg_x(hem_y)
    low_left = min(min(legs) - flare, b.hip_x - b.hip_out - flare * 0.6)
    low_right = max(max(legs) + flare, b.hip_x + b.hip_out + flare * 0.6)
    hips = b.hip_out + 0.012
    return np.concatenate(
        [
            bezier((low_left, hem_y), (b.hip_x - hips * 1.12, b.hip_y), (left - 0.003, top_y)),
            bezier((right + 0.003, top_y), (b.hip_x + hips * 1.12, b.hip_y), (low_right, hem_y)),
            bezier((low_right, hem_y), (b.hip_x, hem_y + 0.03), (low_left, hem_y)),
        ]
    )


def _skirt(layer: Layer, b: Body, what: Garment, paint: Paint) -> None:
    hem = _HEM_Y[what.length]
    _drape(layer, b, what, paint, b.waist_y + 0.02, hem)
    band = blob(
        [
            (b.side_at(b.waist_y)[0] - 0.004, b.waist_y + 0.005),
            (b.side_at(b.waist_y)[1] + 0.004, b.waist_y + 0.005),
            (b.side_at(b.waist_y + 0.03)[1] + 0.005, b.waist_y + 0.032),
            (b.side_at(b.waist_y + 0.03)[0] - 0.005, b.waist_y + 0.032),
        ],
        4,
    )
    layer.fill(band, paint.accent, paint.part)


def _drape(layer: Layer, b: Body, what: Garment, paint: Paint, top: float, hem: float) -> None:
    """The skirt of a skirt or dress; a sheer one ends in a veil through which legs are seen."""
    flare = {"short": 0.05, "knee-length": 0.06, "long": 0.07}[what.length]
    if what.sheer == "yes":
        veil = _skirt_outline(b, top, hem, flare + 0.01)
        layer.fill(veil, paint.main, paint.part, alpha=0.45, line=False)
        hem = hem + (top - hem) * 0.38
    outline = _skirt_outline(b, top, hem, flare)
    paint.body(layer, outline)
    x0 = b.hip_x
    _folds(
        layer, paint.main,
        [
            np.array([(x0 + 0.9 * x, hem - 0.45 * (hem - top)), (x0 + 1.5 * x, hem - 0.004)])
            for x in (-0.05, 0.0, 0.05)
        ],
        paint.part,
    )  # fmt: skip


def _dress(layer: Layer, b: Body, what: Garment, paint: Paint) -> None:
    _drape(layer, b, what, paint, b.waist_y - 0.005, _HEM_Y[what.length])
    paint.body(layer, torso(b, 0.004, b.waist_y + 0.012, neck=0.045))
    left, right = b.side_at(b.waist_y)
    belt = blob(
        [
            (left - 0.005, b.waist_y - 0.012),
            (right + 0.005, b.waist_y - 0.012),
            (right + 0.006, b.waist_y + 0.012),
            (left - 0.006, b.waist_y + 0.012),
        ],
        4,
    )
    layer.fill(belt, paint.accent, paint.part)


def _top(layer: Layer, b: Body, what: Garment, paint: Paint) -> None:
    loose = {"shirt": 0.008, "t-shirt": 0.008, "sweater": 0.014}[what.kind]
    hem = b.hip_y + {"shirt": 0.045, "t-shirt": 0.03, "sweater": 0.05}[what.kind]
    paint.body(layer, torso(b, loose, hem, neck=0.030))
    x, y = b.neck
    if what.kind == "shirt":
        layer.stroke(
            np.array([(x, y + 0.03), (b.hip_x, hem - 0.004)]),
            darker(paint.main, 0.25),
            0.006,
            paint.part,
        )
        for t in (0.25, 0.5, 0.75):
            layer.fill(
                ellipse(x + (b.hip_x - x) * t, y + 0.03 + (hem - y - 0.03) * t, 0.007),
                paint.accent,
                paint.part,
                line=False,
            )
        for s in (-1, 1):
            layer.fill(
                np.array([(x, y + 0.03), (x + s * 0.042, y - 0.012), (x + s * 0.05, y + 0.03)]),
                paint.main,
                paint.part,
            )
    else:
        layer.stroke(
            np.array(
                [(x - 0.034, y), (x - 0.015, y + 0.02), (x + 0.015, y + 0.02), (x + 0.034, y)]
            ),
            paint.accent,
            0.012,
            paint.part,
        )
    if what.kind == "sweater":
        left, right = b.side_at(b.hip_y)
        layer.stroke(
            np.array([(left - 0.008, hem - 0.012), (right + 0.008, hem - 0.012)]),
            paint.accent,
            0.02,
            paint.part,
        )


def _hip_block(b: Body, inset: float) -> Points:
    """From the belt to the crotch."""
    top = b.waist_y + 0.01 + inset
    left, right = b.side_at(top)
    out = b.hip_out + 0.002 - inset
    return blob(
        [
            (left + inset, top), (right - inset, top), (b.hip_x + out, b.hip_y),
            (b.hip_x + out * 0.97, b.hip_y + 0.06), (b.hip_x, b.hip_y + 0.075),
            (b.hip_x - out * 0.97, b.hip_y + 0.06), (b.hip_x - out, b.hip_y),
        ],
        5,
    )  # fmt: skip


def _trousers(layer: Layer, b: Body, what: Garment, paint: Paint) -> None:
    ends = 0.55 if what.length == "short" else 0.97
    paint.body(layer, _hip_block(b, 0.0))
    for side in ("right", "left"):
        paint.body(layer, limb(b.leg(side, ends), 0.100, 0.078 if ends < 0.6 else 0.062))
    paint.body(layer, _hip_block(b, 0.008), line=False)  # hides where the legs begin
    left, right = b.side_at(b.waist_y + 0.02)
    belt = np.array([(left, b.waist_y + 0.018), (right, b.waist_y + 0.018)])
    layer.stroke(belt, paint.accent, 0.018, paint.part)
    fly = np.array([(b.hip_x, b.hip_y - 0.05), (b.hip_x, b.hip_y + 0.06)])
    layer.stroke(fly, darker(paint.main, 0.25), 0.005, paint.part)


def _coat(layer: Layer, b: Body, what: Garment, paint: Paint) -> None:
    hem = _HEM_Y[what.length]
    x, y = b.neck
    for s in (-1, 1):  # two fronts, open between
        shoulder = b.at["left_shoulder" if s > 0 else "right_shoulder"]
        side = b.side_at(b.waist_y)[1 if s > 0 else 0]
        front = blob(
            [
                (x + s * 0.028, y - 0.008), (shoulder[0] + s * 0.022, shoulder[1] - 0.004),
                (side + s * 0.020, b.waist_y), (b.hip_x + s * (b.hip_out + 0.022), b.hip_y + 0.03),
                (b.hip_x + s * (b.hip_out + 0.03), hem), (b.hip_x + s * 0.038, hem + 0.008),
                (b.hip_x + s * 0.030, b.hip_y), (x + s * 0.026, y + 0.12),
            ],
            5,
        )  # fmt: skip
        paint.body(layer, front)
        lapel = np.array(
            [(x + s * 0.028, y - 0.006), (x + s * 0.062, y + 0.05), (x + s * 0.030, y + 0.12)]
        )
        layer.fill(lapel, paint.accent, paint.part)


_KINDS = {
    "dress": _dress, "skirt": _skirt, "trousers": _trousers, "shirt": _top, "t-shirt": _top,
    "sweater": _top, "coat": _coat,
}  # fmt: skip
