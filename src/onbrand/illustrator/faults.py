"""Faults as image models make them, planted on purpose: the nine tags of the judging standard.

The same seed without the fault gives the same picture without it, so a judge can learn from pairs,
and a negative prompt from pictures whose captions name what is wrong. But pencil sketches wobble
anew, and the rest of their captions is put in other words.
A new fault is a function and a line in FAULTS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from onbrand.illustrator.canvas import PARTS, STYLES, Canvas, Shape
from onbrand.illustrator.colours import lighter
from onbrand.illustrator.curves import Points, limb
from onbrand.illustrator.places import draw_light
from onbrand.illustrator.setting import Setting
from onbrand.illustrator.subject import Shadow, Subject

__all__ = ["FAULTS", "Fault", "name_faults", "paint_subject", "possible_faults"]

GOODS = ("product", "trim", "label", "dress", "shirt", "t-shirt", "sweater", "skirt", "trousers",
         "coat", "prop", "outfit", "accessory")  # fmt: skip
FACE = ("eyes", "mouth", "muzzle", "face")
_PAPER, _INK = (0.97, 0.96, 0.93), (0.17, 0.15, 0.22)
_LIMBS = ("arms", "skin", "mannequin")

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Fault:
    """A tag of FAULTS and how bad it is: 1 slight, 2 clear, 3 severe."""

    tag: str
    severity: int = 2

    def __post_init__(self) -> None:
        if self.tag not in FAULTS:
            raise ValueError(f"a fault is one of {', '.join(FAULTS)}; got {self.tag!r}")
        if self.severity not in (1, 2, 3):
            raise ValueError(f"severity is 1, 2 or 3, got {self.severity}")


# -- before painting: what is drawn ----------------------------------------------------------------
def _hand(subject: Subject, severity: int, rng: Rng) -> None:
    """Too many fingers, too long. They are hardly seen before a garment of their colour, and not
    at all where the hand is out of the picture."""
    points = subject.layer.keypoints
    sides = ["left", "right"] if severity == 3 else [("left", "right")[int(rng.integers(2))]]
    for side in sides:
        hand, elbow = np.array(_hand_of(points, side)), np.array(points[f"{side}_elbow"])
        away = np.arctan2(*(hand - elbow)[::-1])
        length = subject.limb * (0.8, 1.15, 1.6)[severity - 1]
        num = 4 + 2 * severity
        for angle in away + np.linspace(-1.3, 1.3, num) + rng.normal(0, 0.08, num):
            tip = hand + length * rng.uniform(0.8, 1.15) * np.array([np.cos(angle), np.sin(angle)])
            finger = limb(np.stack([hand, tip]), subject.limb * 0.30, subject.limb * 0.2)
            subject.layer.fill(finger, lighter(_skin(subject), 0.12), _limb_part(subject))


def _body(subject: Subject, severity: int, rng: Rng) -> None:
    """An arm too many: a stump, a whole one, one on each side."""
    points = subject.layer.keypoints
    sides = ["left", "right"] if severity == 3 else [("left", "right")[int(rng.integers(2))]]
    for side in sides:
        path = np.array(
            [points[f"{side}_shoulder"], points[f"{side}_elbow"], _hand_of(points, side)]
        )
        outward = np.sign(path[0, 0] - subject.ground[0]) or 1.0
        turned = [_turned(path, angle) for angle in (-1.15, 1.15)]
        path = max(turned, key=lambda way: outward * (way[-1, 0] - way[0, 0]))
        path = path[0] + (path - path[0]) * (0.75, 1.1, 1.25)[severity - 1]
        outline = limb(path, subject.limb, subject.limb * 0.85)
        subject.layer.fill(outline, _skin(subject), _limb_part(subject), form=True)


def _contact(subject: Subject, severity: int, rng: Rng) -> None:
    """It floats above its shadow. Of a jumping mascot this is but a higher jump: it is off the
    ground already, by more than any severity adds."""
    subject.layer = subject.layer.placed(0.0, -(0.03, 0.065, 0.11)[severity - 1], 1.0)


def _scale(subject: Subject, severity: int, rng: Rng) -> None:
    """A dwarf or a giant beside what surrounds it."""
    small = severity == 3 or rng.random() < 0.6
    k = ((1.18, 1.34, 1.0), (0.72, 0.52, 0.34))[small][severity - 1]
    x, y = subject.ground
    subject.layer = subject.layer.placed(x * (1 - k), y * (1 - k), k)
    subject.shadows = [
        Shadow(x + (s.x - x) * k, y + (s.y - y) * k, s.rx * k, s.ry * k, s.alpha, s.colour)
        for s in subject.shadows
    ]  # fmt: skip
    subject.limb *= k


def _shadow(subject: Subject, severity: int, rng: Rng) -> None:
    """A second, hard shadow, thrown towards the light (which comes from the upper left)."""
    x, y = subject.ground
    reach = max((s.rx for s in subject.shadows), default=0.2)
    for k in range(5 + 2 * severity):
        way = k * reach * 0.28
        subject.shadows.append(
            Shadow(x - way, y - way * 0.22, reach * 0.55, reach * 0.22, 0.10 + 0.13 * severity)
        )


def _text(subject: Subject, severity: int, rng: Rng) -> None:
    """Lettering that no alphabet has. Worse is more of it, in smaller letters: a clear one may
    cover less of the picture than a slight one."""
    outlines = [s.points for s in subject.layer.shapes if s.part in GOODS]
    if outlines:
        low, high = _box(max(outlines, key=_area))
        centre, width = (low + high) / 2, 0.7 * min(float(high[0] - low[0]), 0.6)
    else:
        centre, width = np.array([0.5, 0.93]), 0.5
    num, rows = 4 + 2 * severity, (1, 1, 2)[severity - 1]
    cell = width / num
    for row in range(rows):
        for k in range(num):
            x = centre[0] - width / 2 + (k + 0.5) * cell
            y = centre[1] + (row - (rows - 1) / 2) * cell * 2.0
            glyph = rng.uniform(-0.5, 0.5, (int(rng.integers(3, 6)), 2)) * (cell * 0.8, cell * 1.5)
            for colour, pen in ((_PAPER, 0.42), (_INK, 0.18)):
                subject.layer.stroke(glyph + np.array([x, y]), colour, cell * pen, "label")


# -- after painting: what became of it -------------------------------------------------------------
def _fusion(canvas: Canvas, severity: int, rng: Rng) -> None:
    """Cut out and pasted: a pale fringe, and a light that is not the scene's."""
    mask = _mask(canvas, tuple(p for p in PARTS if p not in ("background", "stand")))
    reach = 2 * max(1, round((0.008, 0.013, 0.020)[severity - 1] * canvas.side)) + 1
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    ring = cv2.dilate(mask, disk).astype(np.float32) - mask
    warm = rng.random() < 0.5
    gain = np.array([1.0, 0.94, 0.80] if warm else [0.78, 0.92, 1.0], np.float32)
    strength = (0.45, 0.75, 1.1)[severity - 1]
    pixels = canvas.pixels.astype(np.float32)
    lit = np.clip(pixels * (1 - strength * (1 - gain)) + 10 * severity, 0, 255)
    pixels += (lit - pixels) * (mask[..., None] / 255)
    pixels += (245 - pixels) * (ring[..., None] / 255) * 0.9
    canvas.pixels = np.round(pixels).clip(0, 255).astype(np.uint8)


def _melt(canvas: Canvas, parts: Sequence[str], strength: float, knots: int, rng: Rng) -> None:
    """Bend the picture where the parts are, by `strength` of their size: smoothly, but for the
    edges of their box, where the bend is cut off. Keypoints stay where they were."""
    mask = _mask(canvas, parts)
    ys, xs = np.nonzero(mask)
    if not len(xs):
        return
    x0, y0, extent = xs.min(), ys.min(), float(max(int(np.ptp(xs)), int(np.ptp(ys)), 8))
    knot = rng.normal(0, 1, (knots, knots, 2)).astype(np.float32)
    knot[::2, ::2] *= -1  # changes nothing in kind, but stored pictures were drawn with it
    size = int(extent) + 1
    field = np.zeros((canvas.side, canvas.side, 2), np.float32)
    bent = cv2.resize(knot, (size, size), interpolation=cv2.INTER_CUBIC)
    rows, columns = min(size, canvas.side - y0), min(size, canvas.side - x0)
    field[y0 : y0 + rows, x0 : x0 + columns] = bent[:rows, :columns]
    wide = round(0.06 * extent) * 2 + 1
    soft = cv2.GaussianBlur(cv2.dilate(mask, np.ones((wide, wide), np.uint8)), (0, 0), wide / 3)
    field *= (soft.astype(np.float32) / 255)[..., None] * (strength * extent)
    canvas.bend(field)


def _face(canvas: Canvas, severity: int, rng: Rng) -> None:
    _melt(canvas, FACE, (0.05, 0.09, 0.15)[severity - 1], 4, rng)


def _product(canvas: Canvas, severity: int, rng: Rng) -> None:
    _melt(canvas, GOODS, (0.030, 0.055, 0.095)[severity - 1], 5, rng)


@dataclass(frozen=True, slots=True)
class _Kind:
    words: str  # as a caption or a negative prompt names it
    plant: Callable[[Subject, int, Rng], None] | None = None
    spoil: Callable[[Canvas, int, Rng], None] | None = None


FAULTS: dict[str, _Kind] = {
    "fusion": _Kind("pasted onto the background", spoil=_fusion),
    "hand": _Kind("deformed hands with too many fingers", plant=_hand),
    "face": _Kind("a deformed face", spoil=_face),
    "body": _Kind("an extra arm", plant=_body),
    "product": _Kind("a deformed product", spoil=_product),
    "contact": _Kind("floating above the ground", plant=_contact),
    "scale": _Kind("wrong scale", plant=_scale),
    "shadow": _Kind("a wrong shadow", plant=_shadow),
    "text": _Kind("garbled text", plant=_text),
}


def possible_faults(
    setting: Setting, *, near: bool, limbs: bool, face: bool, goods: bool
) -> tuple[str, ...]:
    """The tags that could be seen in a picture: nobody floats in a close-up or on a sticker.

    This goes by what is drawn, not by what of it falls into the frame: there a "product" or "hand"
    fault may change nothing and is named all the same.
    """
    pasted = bool(STYLES[setting.style].border)  # a sticker is, by design
    seen = {
        "fusion": not pasted, "hand": limbs and not near, "face": face,
        "body": limbs and not near, "product": goods, "contact": not near and not pasted,
        "scale": not near and setting.place != "plain", "shadow": not near and not pasted,
        "text": True,
    }  # fmt: skip
    return tuple(tag for tag in FAULTS if seen[tag])


def name_faults(caption: str, faults: Sequence[Fault]) -> str:
    """The caption, with the faults named at its end."""
    return ", ".join([caption, *(FAULTS[fault.tag].words for fault in faults)])


def paint_subject(
    canvas: Canvas,
    subject: Subject,
    setting: Setting,
    *,
    possible: Sequence[str],
    faults: Sequence[Fault],
    seed: int,
) -> None:
    """Paint a subject into its place and light it, with the faults wanted planted in both.

    Raises:
        ValueError: for a fault that could not be seen in this picture, or two of one tag.
    """
    tags = [fault.tag for fault in faults]
    if len(set(tags)) < len(tags):
        raise ValueError(f"a tag is planted once in a picture, got {', '.join(tags)}")
    for fault in faults:
        if fault.tag not in possible:
            raise ValueError(
                f"no {fault.tag!r} fault can be seen in this picture, but {', '.join(possible)}"
            )
    style = STYLES[setting.style]
    chances = [np.random.default_rng((seed, list(FAULTS).index(f.tag), 0xFA17)) for f in faults]
    for fault, rng in zip(faults, chances, strict=True):
        if (plant := FAULTS[fault.tag].plant) is not None:
            plant(subject, fault.severity, rng)
    subject.paint(canvas, style)
    draw_light(canvas, setting)
    for fault, rng in zip(faults, chances, strict=True):
        if (spoil := FAULTS[fault.tag].spoil) is not None:
            spoil(canvas, fault.severity, rng)


def _hand_of(points: dict[str, tuple[float, float]], side: str) -> tuple[float, float]:
    return points[f"{side}_hand"] if f"{side}_hand" in points else points[f"{side}_wrist"]


def _limb_shape(subject: Subject) -> Shape:
    return next(s for s in reversed(subject.layer.shapes) if s.part in _LIMBS and s.form)


def _skin(subject: Subject) -> tuple[float, float, float]:
    return _limb_shape(subject).colour


def _limb_part(subject: Subject) -> str | None:
    return _limb_shape(subject).part


def _turned(path: Points, angle: float) -> Points:
    c, s = np.cos(angle), np.sin(angle)
    turned: Points = (path - path[0]) @ np.array([[c, s], [-s, c]]) + path[0]
    return turned


def _area(points: Points) -> float:
    return float(np.ptp(points[:, 0])) * float(np.ptp(points[:, 1]))


def _box(points: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.clip(points.min(0), 0, 1), np.clip(points.max(0), 0, 1)


def _mask(canvas: Canvas, parts: Sequence[str]) -> NDArray[np.uint8]:
    """255 where the parts are, at the canvas's painting size."""
    small = np.isin(canvas.parts, [PARTS.index(part) for part in parts]).astype(np.uint8) * 255
    side = (canvas.side, canvas.side)
    return np.asarray(cv2.resize(small, side, interpolation=cv2.INTER_LINEAR), np.uint8)
