"""A display list of shapes, and the painter that renders it in a drawing style.

Coordinates are shares of the picture's side (0..1, y down). Colour is painted at twice the wanted
size and averaged down; the parts map is painted at the wanted size, so labels stay exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from onbrand.illustrator.colours import Colour, darker, ink, lighter, mix
from onbrand.illustrator.curves import Points

__all__ = ["PARTS", "STYLES", "Canvas", "Layer", "Shape", "Style"]

PARTS: tuple[str, ...] = (
    "background", "tail", "legs", "body", "belly", "arms", "outfit", "ears", "head", "muzzle",
    "mouth", "eyes", "mark", "accessory", "prop", "product", "trim", "label", "stand",
    "skin", "face", "hair", "shoes", "mannequin", "dress", "shirt", "t-shirt", "sweater", "skirt",
    "trousers", "coat",
)  # fmt: skip
_PART_IDS = {name: k for k, name in enumerate(PARTS)}
_SHIFT = 4  # cv2 takes points in 1/16 pixel
_PAPER: Colour = (0.975, 0.96, 0.925)


@dataclass(frozen=True, slots=True)
class Style:
    """How a display list becomes paint. Widths are shares of the picture's side."""

    name: str
    phrase: str
    outline: float = 0.0
    tone: float = 0.0  # strength of a hard-edged shadow tone
    gradient: float = 0.0  # strength of a soft light-to-dark gradient
    border: float = 0.0  # white cut-out border
    paper: float = 0.0  # how far colours fade into drawing paper
    wobble: float = 0.0


STYLES: dict[str, Style] = {
    s.name: s
    for s in (
        Style("flat", "flat illustration"),
        Style("outlined", "outlined cartoon", outline=0.0105, tone=0.20),
        Style("shaded", "soft shaded illustration", gradient=1.0),
        Style("sketch", "pencil sketch", outline=0.008, paper=0.45, wobble=0.0035),
        Style("sticker", "die-cut sticker", outline=0.0075, tone=0.12, border=0.028),
    )
}


@dataclass(frozen=True, slots=True)
class Shape:
    """One brush action: a filled outline, or an open line when `width` is set."""

    points: Points
    colour: Colour
    part: str | None = None
    width: float | None = None
    clip: Points | None = None
    alpha: float = 1.0
    line: bool = True  # may be outlined
    form: bool = False  # a round volume: takes the shadow tone or the gradient
    glow: Colour | None = None  # a vertical gradient from `colour` to this


@dataclass(slots=True)
class Layer:
    """Shapes in painting order, and the named points on them."""

    shapes: list[Shape] = field(default_factory=list)
    keypoints: dict[str, tuple[float, float]] = field(default_factory=dict)

    def fill(self, points: Points, colour: Colour, part: str | None = None, *,
             clip: Points | None = None, alpha: float = 1.0, line: bool = True,
             form: bool = False, glow: Colour | None = None) -> None:  # fmt: skip
        """Add a filled closed outline."""
        self.shapes.append(
            Shape(points, colour, part, None, clip, alpha, line and clip is None, form, glow)
        )

    def stroke(self, points: Points, colour: Colour, width: float, part: str | None = None, *,
               clip: Points | None = None, alpha: float = 1.0) -> None:  # fmt: skip
        """Add an open line with round ends."""
        self.shapes.append(Shape(points, colour, part, width, clip, alpha, False))

    def points_px(self, size_px: int) -> dict[str, tuple[float, float, bool]]:
        """The named points of a placed drawing: name -> (x_px, y_px, inside the picture)."""
        return {
            name: (x * size_px, y * size_px, bool(0 <= x < 1 and 0 <= y < 1))
            for name, (x, y) in self.keypoints.items()
        }

    def placed(self, x: float, y: float, scale: float, angle: float = 0.0) -> Layer:
        """The same drawing, scaled, turned about its origin by `angle` and moved to (x, y)."""
        c, s = np.cos(angle) * scale, np.sin(angle) * scale
        turn, shift = np.array([[c, s], [-s, c]]), np.array([x, y])
        outlines = [old.points for old in self.shapes]
        outlines += [old.clip for old in self.shapes if old.clip is not None]
        moved = np.concatenate(outlines) @ turn + shift if outlines else np.zeros((0, 2))
        parts = iter(np.split(moved, np.cumsum([len(p) for p in outlines])[:-1]))
        new = [(old, next(parts)) for old in self.shapes]
        shapes = [
            Shape(
                points, old.colour, old.part,
                None if old.width is None else old.width * scale,
                None if old.clip is None else next(parts),
                old.alpha, old.line, old.form, old.glow,
            )
            for old, points in new
        ]  # fmt: skip
        names = list(self.keypoints)
        places = np.array([self.keypoints[k] for k in names]).reshape(-1, 2) @ turn + shift
        return Layer(
            shapes, {k: (float(u), float(v)) for k, (u, v) in zip(names, places, strict=True)}
        )


class Canvas:
    """A square picture being painted: `pixels` (S, S, 3) uint8 at `scale` times the final size.

    Raises ValueError for a final size below 16 px.
    """

    def __init__(self, size_px: int, rng: np.random.Generator) -> None:
        if size_px < 16:
            raise ValueError(f"size_px is 16 or more, got {size_px}")
        self.size_px = size_px
        self.scale = 2 if size_px <= 512 else 1
        self.side = size_px * self.scale
        self.rng = rng
        self.pixels: NDArray[np.uint8] = np.zeros((self.side, self.side, 3), np.uint8)
        self.parts: NDArray[np.uint8] = np.zeros((size_px, size_px), np.uint8)

    # -- whole-picture paint -------------------------------------------------------------------
    def sky(self, top: Colour, bottom: Colour, until: float = 1.0) -> None:
        """A vertical gradient from the upper edge to height `until`, then plain."""
        t = np.clip(np.linspace(0, 1, self.side) / until, 0, 1)[:, None]
        rows = np.asarray(top) * (1 - t) + np.asarray(bottom) * t
        self.pixels[:] = np.round(rows * 255).astype(np.uint8)[:, None, :]

    def soft(self, x: float, y: float, rx: float, ry: float, colour: Colour, alpha: float) -> None:
        """A blurred spot: a contact shadow, a lamp's glow."""
        side = self.side
        x0, x1 = (int(np.clip((x + k * rx) * side, 0, side)) for k in (-1, 1))
        y0, y1 = (int(np.clip((y + k * ry) * side, 0, side)) for k in (-1, 1))
        if x1 <= x0 or y1 <= y0:
            return
        u = ((np.arange(x0, x1) + 0.5) / side - x) / rx
        v = ((np.arange(y0, y1) + 0.5) / side - y) / ry
        fall = np.clip(1 - u[None, :] ** 2 - v[:, None] ** 2, 0, 1)
        self._blend(slice(y0, y1), slice(x0, x1), fall * alpha, np.asarray(colour) * 255)

    def grade(self, colour: Colour, strength: float) -> None:
        """Multiply the whole picture towards a light's colour."""
        gain = 1 - strength * (1 - np.asarray(colour))
        table = np.round(np.arange(256)[:, None] * gain).clip(0, 255).astype(np.uint8)
        graded = cv2.LUT(self.pixels, table[:, None, :].reshape(256, 1, 3))
        self.pixels = np.asarray(graded, np.uint8)

    def bend(self, shift: NDArray[np.float32]) -> None:
        """Take every pixel, and its part, from `shift` (side, side, 2) away: (dx, dy) in pixels."""
        rows, columns = np.mgrid[: self.side, : self.side].astype(np.float32)
        x, y = columns + shift[..., 0], rows + shift[..., 1]
        bent = cv2.remap(self.pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        self.pixels = np.asarray(bent, np.uint8)
        step = self.scale
        x, y = (np.ascontiguousarray(v[::step, ::step]) / step for v in (x, y))
        parts = cv2.remap(self.parts, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
        self.parts = np.asarray(parts, np.uint8)

    # -- shapes ----------------------------------------------------------------------------------
    def paint(self, layer: Layer, style: Style, *, labelled: bool = True) -> None:
        """Paint a display list; parts are written to the label map when `labelled`."""
        if style.border:
            self._cut_out(layer, style.border)
        for shape in layer.shapes:
            self._shape(shape, style)
            if labelled and shape.part is not None:
                self._label(shape)

    def finish(self) -> NDArray[np.uint8]:
        """The picture at its final size, (size, size, 3) uint8."""
        if self.scale == 1:
            return self.pixels
        size = (self.size_px, self.size_px)
        return np.asarray(cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)

    def _fixed(self, points: Points, side: int) -> NDArray[np.int32]:
        return (points * (side << _SHIFT) - ((1 << _SHIFT) / 2 - 0.5)).astype(np.int32)

    def _mask(self, points: Points, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        x0, y0, x1, y1 = box
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        fixed = self._fixed(points, self.side) - (np.array([x0, y0], np.int32) << _SHIFT)
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, _SHIFT)
        return mask

    def _box(self, points: Points) -> tuple[int, int, int, int] | None:
        low = np.clip(np.floor(points.min(0) * self.side) - 2, 0, self.side).astype(int)
        high = np.clip(np.ceil(points.max(0) * self.side) + 2, 0, self.side).astype(int)
        if (high <= low).any():
            return None
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _blend(
        self, rows: slice, columns: slice, alpha: NDArray[np.float64] | NDArray[np.float32],
        colour: NDArray[np.float64] | NDArray[np.float32],
    ) -> None:  # fmt: skip
        here = self.pixels[rows, columns].astype(np.float32)
        change = np.asarray(colour, np.float32) - here
        change *= np.asarray(alpha, np.float32)[..., None]
        here += change
        here += 0.5
        self.pixels[rows, columns] = here

    def _shape(self, shape: Shape, style: Style) -> None:
        colour = mix(shape.colour, _PAPER, style.paper * 0.7) if style.paper else shape.colour
        if shape.width is not None:
            self._line(shape, colour, style)
            return
        soft = shape.form and style.gradient > 0
        if shape.clip is None and shape.alpha == 1.0 and shape.glow is None and not soft:
            fixed = self._fixed(shape.points, self.side)
            cv2.fillPoly(self.pixels, [fixed], _rgb(colour), cv2.LINE_AA, _SHIFT)
        else:
            self._mixed_fill(shape, colour, style, soft)
        if shape.form and style.tone:
            self._tone(shape, colour, style.tone)
        if shape.line and style.outline and shape.part is not None:
            self._outline(shape, style)

    def _mixed_fill(self, shape: Shape, colour: Colour, style: Style, soft: bool) -> None:
        box = self._box(shape.points)
        if box is None:
            return
        x0, y0, x1, y1 = box
        alpha = self._mask(shape.points, box).astype(np.float32) * (shape.alpha / 255)
        if shape.clip is not None:
            alpha *= self._mask(shape.clip, box).astype(np.float32) / 255
        paint = np.asarray(colour, np.float32) * 255
        if soft or shape.glow is not None:
            light, dark = (
                (colour, shape.glow)
                if shape.glow is not None
                else (lighter(colour, 0.22 * style.gradient), darker(colour, 0.26 * style.gradient))
            )
            u = np.linspace(0, 1, x1 - x0, dtype=np.float32)[None, :]
            v = np.linspace(0, 1, y1 - y0, dtype=np.float32)[:, None]
            t = v + 0 * u if shape.glow is not None else np.clip(0.38 * u + 0.62 * v, 0, 1) ** 1.4
            a, b = np.asarray(light, np.float32), np.asarray(dark, np.float32)
            paint = (a + (b - a) * t[..., None]) * 255
        self._blend(slice(y0, y1), slice(x0, x1), alpha, paint)

    def _tone(self, shape: Shape, colour: Colour, strength: float) -> None:
        """A crescent of shadow on the side away from the light (upper left)."""
        box = self._box(shape.points)
        if box is None:
            return
        x0, y0, x1, y1 = box
        whole = self._mask(shape.points, box)
        extent = np.ptp(shape.points, axis=0)
        lit = self._mask(shape.points - extent.min() * np.array([0.10, 0.13]), box)
        alpha = cv2.subtract(whole, lit).astype(np.float32) / 255
        if shape.clip is not None:
            alpha *= self._mask(shape.clip, box).astype(np.float32) / 255
        paint = np.asarray(darker(colour, strength * 1.3), np.float32) * 255
        self._blend(slice(y0, y1), slice(x0, x1), alpha, paint)

    def _outline(self, shape: Shape, style: Style) -> None:
        colour = ink(shape.colour)
        if style.wobble:
            colour = mix(colour, (0.35, 0.33, 0.36), 0.5)
            for _ in range(2):
                self._pencil(np.concatenate([shape.points, shape.points[:1]]), colour, style)
            return
        width = max(1, round(style.outline * self.side))
        fixed = self._fixed(shape.points, self.side)
        cv2.polylines(self.pixels, [fixed], True, _rgb(colour), width, cv2.LINE_AA, _SHIFT)

    def _pencil(self, points: Points, colour: Colour, style: Style) -> None:
        knots = self.rng.normal(0, style.wobble, (6, 2))
        grid = np.linspace(0, 5, len(points))
        shift = np.stack([np.interp(grid, np.arange(6), knots[:, k]) for k in (0, 1)], axis=1)
        width = max(1, round(style.outline * self.side * 0.5))
        fixed = self._fixed(points + shift, self.side)
        cv2.polylines(self.pixels, [fixed], False, _rgb(colour), width, cv2.LINE_AA, _SHIFT)

    def _line(self, shape: Shape, colour: Colour, style: Style) -> None:
        assert shape.width is not None
        width = max(1, round(shape.width * self.side))
        fixed = self._fixed(shape.points, self.side)
        if shape.clip is None and shape.alpha == 1.0:
            cv2.polylines(self.pixels, [fixed], False, _rgb(colour), width, cv2.LINE_AA, _SHIFT)
            return
        mask = np.zeros((self.side, self.side), np.uint8)
        cv2.polylines(mask, [fixed], False, 255, width, cv2.LINE_AA, _SHIFT)
        box = self._box(np.concatenate([shape.points - shape.width, shape.points + shape.width]))
        if box is None:
            return
        x0, y0, x1, y1 = box
        alpha = mask[y0:y1, x0:x1].astype(np.float32) * (shape.alpha / 255)
        if shape.clip is not None:
            alpha *= self._mask(shape.clip, box).astype(np.float32) / 255
        self._blend(slice(y0, y1), slice(x0, x1), alpha, np.asarray(colour, np.float32) * 255)

    def _label(self, shape: Shape) -> None:
        assert shape.part is not None
        value = _PART_IDS[shape.part]
        target = self.parts if shape.clip is None else np.zeros_like(self.parts)
        fixed = self._fixed(shape.points, self.size_px)
        if shape.width is None:
            cv2.fillPoly(target, [fixed], value, cv2.LINE_8, _SHIFT)
        else:
            width = max(1, round(shape.width * self.size_px))
            cv2.polylines(target, [fixed], False, value, width, cv2.LINE_8, _SHIFT)
        if shape.clip is not None:
            inside = np.zeros_like(self.parts)
            cv2.fillPoly(inside, [self._fixed(shape.clip, self.size_px)], 1, cv2.LINE_8, _SHIFT)
            self.parts = np.where((target > 0) & (inside > 0), target, self.parts)

    def _cut_out(self, layer: Layer, border: float) -> None:
        """A soft drop shadow and a white border round the union of all labelled shapes."""
        mask = np.zeros((self.side, self.side), np.uint8)
        for shape in layer.shapes:
            if shape.part is None or shape.clip is not None:
                continue
            fixed = self._fixed(shape.points, self.side)
            if shape.width is None:
                cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, _SHIFT)
            else:
                width = max(1, round(shape.width * self.side))
                cv2.polylines(mask, [fixed], False, 255, width, cv2.LINE_AA, _SHIFT)
        reach = 2 * round(border * self.side) + 1
        disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        mask = np.asarray(cv2.dilate(mask, disk), np.uint8)
        blur = max(3, round(0.02 * self.side)) | 1
        smooth = cv2.GaussianBlur(mask, (blur, blur), 0)
        fall = np.array([[1, 0, 0.008 * self.side], [0, 1, 0.014 * self.side]])
        drop = cv2.warpAffine(smooth, fall, (self.side, self.side))
        whole = slice(0, self.side)
        self._blend(whole, whole, drop.astype(np.float32) * (0.28 / 255), np.array([64.0, 54, 92]))
        edge = np.clip((smooth.astype(np.float32) - 96) / 64, 0, 1)
        self._blend(whole, whole, edge, np.array([255.0, 255, 255]))


def _rgb(colour: Colour) -> tuple[float, float, float]:
    return colour[0] * 255, colour[1] * 255, colour[2] * 255
