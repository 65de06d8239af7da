"""Plane geometry for drawing: points are float arrays of shape (n, 2), y down."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Points",
    "arc",
    "bezier",
    "blob",
    "ellipse",
    "heart",
    "limb",
    "place",
    "rectangle",
    "star",
    "superellipse",
]

Points = NDArray[np.float64]


@lru_cache(maxsize=64)
def _circle(num: int) -> Points:
    t = np.linspace(0.0, 2.0 * np.pi, num, endpoint=False)
    return np.stack([np.cos(t), np.sin(t)], axis=1)


@lru_cache(maxsize=16)
def _catmull_rom(num: int) -> NDArray[np.float64]:
    """Basis (num, 4) of a uniform Catmull-Rom segment between its two middle points."""
    t = np.linspace(0.0, 1.0, num, endpoint=False)
    return 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3],
        axis=1,
    )


def place(
    points: Points, x: float = 0.0, y: float = 0.0, scale: float = 1.0, angle: float = 0.0
) -> Points:
    """Scale, then turn by `angle` radians (clockwise on screen), then move to (x, y)."""
    if angle:
        c, s = np.cos(angle), np.sin(angle)
        points = points @ np.array([[c, s], [-s, c]])
    return points * scale + (x, y)


def ellipse(
    x: float, y: float, rx: float, ry: float | None = None, angle: float = 0.0, num: int = 32
) -> Points:
    """An ellipse around (x, y)."""
    points = _circle(num) * (rx, rx if ry is None else ry)
    return place(points, x, y, angle=angle)


def superellipse(x: float, y: float, rx: float, ry: float, power: float = 2.6) -> Points:
    """A rounded box |x/rx|^p + |y/ry|^p = 1: `power` 2 is an ellipse, 4 a squircle."""
    unit = _circle(48)
    box: Points = np.sign(unit) * np.abs(unit) ** (2.0 / power) * (rx, ry) + (x, y)
    return box


def blob(points: list[tuple[float, float]] | Points, num: int = 7) -> Points:
    """A smooth closed curve through the given points (Catmull-Rom)."""
    p = np.asarray(points, dtype=np.float64)
    control = np.stack([np.roll(p, 1, 0), p, np.roll(p, -1, 0), np.roll(p, -2, 0)])  # 4, n, 2
    curve: Points = np.einsum("kc,cnd->nkd", _catmull_rom(num), control).reshape(-1, 2)
    return curve


_T = np.linspace(0.0, 1.0, 12)
_BERNSTEIN = np.stack([(1 - _T) ** 2, 2 * _T * (1 - _T), _T**2], axis=1)


def bezier(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> Points:
    """Twelve points of the quadratic Bézier from a to c, drawn towards b."""
    curve: Points = _BERNSTEIN @ np.array([a, b, c])
    return curve


_CAP = np.stack([np.cos(np.pi * np.arange(1, 6) / 6), np.sin(np.pi * np.arange(1, 6) / 6)], axis=1)


def limb(path: Points, start_width: float, end_width: float) -> Points:
    """The closed outline of a round-ended brush stroke along an open path."""
    d = np.empty_like(path)
    d[1:-1] = path[2:] - path[:-2]
    d[0], d[-1] = path[1] - path[0], path[-1] - path[-2]
    n = d[:, ::-1] * (-1.0, 1.0)
    n /= np.sqrt((n * n).sum(1, keepdims=True)) + 1e-9
    w = np.linspace(start_width, end_width, len(path))[:, None] / 2
    side, other = path + n * w, path - n * w

    def cap(k: int, half: float, sign: float) -> Points:
        forward = sign * np.array([n[k, 1], -n[k, 0]])
        points: Points = path[k] + half * (sign * _CAP[:, :1] * n[k] + _CAP[:, 1:] * forward)
        return points

    end, start = cap(-1, end_width / 2, 1.0), cap(0, start_width / 2, -1.0)
    return np.concatenate([side, end, other[::-1], start])


def arc(x: float, y: float, rx: float, ry: float, start: float, stop: float) -> Points:
    """Fourteen points of an elliptic arc; angles in turns, 0 = right, 0.25 = down."""
    t = np.linspace(start, stop, 14) * 2 * np.pi
    return np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], axis=1)


def star(x: float, y: float, r: float, num: int = 5, inner: float = 0.5) -> Points:
    """A star of `num` points standing on two of them."""
    t = np.arange(2 * num) * np.pi / num - np.pi / 2
    radius = np.where(np.arange(2 * num) % 2 == 0, r, r * inner)
    return np.stack([x + radius * np.cos(t), y + radius * np.sin(t)], axis=1)


def heart(x: float, y: float, r: float) -> Points:
    """A heart about 2r wide."""
    t = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    px = np.sin(t) ** 3
    py = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16
    return np.stack([x + r * px, y + r * py], axis=1)


def rectangle(x: float, y: float, width: float, height: float, angle: float = 0.0) -> Points:
    """A box centred at (x, y)."""
    w, h = width / 2, height / 2
    return place(np.array([[-w, -h], [w, -h], [w, h], [-w, h]]), x, y, angle=angle)
