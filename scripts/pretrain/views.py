"""Augmented views, a batch at a time, on the device where the pictures are.

Pictures are float [b, c, h, w] in [0, 255] here, and [-1, 1] once they are views. Chances are drawn
on the CPU from the torch.Generator that is given (grain's alone are the device's), so that a batch
is the same wherever it is made.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from draw import Beside, Drawn
from numpy.typing import NDArray
from torch import Generator, Tensor

__all__ = [
    "Move",
    "Pictures",
    "between",
    "jpeg",
    "laid",
    "parts_moved",
    "relit",
    "some",
    "to_views",
    "turned_hue",
    "upright",
    "views",
    "without_place",
]

LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99, *(99,) * 32,
)  # fmt: skip
"""Quantisation of 8 x 8 blocks at quality 50 (ITU-T T.81, annex K)."""

YCBCR = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)  # JFIF


class Pictures:
    """Pictures by their rows: all of them on the device where that is a GPU (49 to 65 KB each),
    read from their files on the CPU."""

    def __init__(self, pixels: Any, device: str, num: int | None = None) -> None:
        """`pixels(i)` or `pixels[i]` is picture i, [h, w, c] or [h, w] uint8."""
        self._read = pixels if callable(pixels) else pixels.__getitem__
        num = len(pixels) if num is None else num
        self._kept: Tensor | None = None
        if torch.device(device).type == "cuda":
            parts = [self._stack(range(r, min(r + 1000, num))) for r in range(0, num, 1000)]
            self._kept = torch.cat([part.to(device) for part in parts])

    @staticmethod
    def both(drawn: Drawn | Beside, device: str) -> tuple[Pictures, Pictures]:
        """The pictures of a drawn set and their parts."""
        return (
            Pictures(drawn.pixels, device, len(drawn)),
            Pictures(drawn.parts, device, len(drawn)),
        )

    def _stack(self, rows: Any) -> Tensor:
        stack = torch.from_numpy(np.stack([np.asarray(self._read(int(r))) for r in rows]))
        return stack[:, None] if stack.ndim == 3 else stack.permute(0, 3, 1, 2).contiguous()

    def __call__(self, rows_b: Tensor) -> Tensor:
        """[b, c, h, w] uint8."""
        return self._stack(rows_b.tolist()) if self._kept is None else self._kept[rows_b]


def between(g: Generator, num: int, low: float, high: float) -> Tensor:
    """[num] float32, uniform."""
    return low + (high - low) * torch.rand(num, generator=g)


def some(g: Generator, num: int, share: float) -> Tensor:
    """[num] bool, True for about that share."""
    return torch.rand(num, generator=g) < share


@dataclass(frozen=True, slots=True)
class Move:
    """Where a batch's pictures go: mirrored, scaled, turned about their centre, then shifted."""

    linear_b22: Tensor
    shift_b2: Tensor
    """Both in units of half a side, y down."""

    @staticmethod
    def of(scale_b: Tensor, turn_b: Tensor, shift_b2: Tensor, mirrored_b: Tensor) -> Move:
        """Turns are in degrees."""
        angle = torch.deg2rad(turn_b)
        cos, sin = scale_b * angle.cos(), scale_b * angle.sin()
        sign = torch.where(mirrored_b, -1.0, 1.0)
        rows = torch.stack([sign * cos, sin, -sign * sin, cos], -1)
        return Move(rows.unflatten(-1, (2, 2)), shift_b2)

    @staticmethod
    def draw(g: Generator, num: int, warp: float, flip: bool) -> Move:
        """Eight in ten are moved: by .88 to 1.15, 8 degrees and .07 of a side, times `warp`; half
        are mirrored, if any."""
        on = some(g, num, 0.8).float() * warp
        scale = 1 + on * between(g, num, -0.12, 0.15)
        turn = on * between(g, num, -8, 8)
        shift = torch.stack([on * between(g, num, -0.14, 0.14) for _ in range(2)], -1)
        return Move.of(scale, turn, shift, some(g, num, 0.5 if flip else 0))

    def matrices(self, side: int) -> NDArray[np.float64]:
        """[b, 2, 3]: moves points (x, y) in pixels along."""
        linear, half = self.linear_b22.double(), (side - 1) / 2
        centre = torch.full((2,), half, dtype=torch.float64)
        shift = self.shift_b2.double() * side / 2 + centre - linear @ centre
        return torch.cat([linear, shift[..., None]], -1).numpy()

    def __call__(self, x_bchw: Tensor, mode: str = "bilinear", padding: str = "border") -> Tensor:
        """The moved pictures; float."""
        back = torch.linalg.inv(self.linear_b22)
        theta = torch.cat([back, -(back @ self.shift_b2[..., None])], -1).to(x_bchw.device)
        grid = F.affine_grid(theta, list(x_bchw.shape), align_corners=False)
        seen: Tensor = F.grid_sample(x_bchw.float(), grid, mode, padding, align_corners=False)
        return seen


def views(
    pictures: tuple[Pictures, Pictures], rows_b: Tensor, g: Generator, *,
    blackout: float = 0.0, warp: float = 1.0, flip: bool = True,
) -> Tensor:  # fmt: skip
    """Views [b, 3, h, w] in [-1, 1] of drawn pictures: background gone at times, moved, scaled,
    turned, mirrored, lit anew."""
    x, parts = pictures[0](rows_b).float(), pictures[1](rows_b)
    return to_views(x, parts, g, blackout=blackout, warp=warp, flip=flip)


def upright(drawn: Beside, options: argparse.Namespace) -> Callable[..., tuple[Tensor, ...]]:
    """`see` of eyes.fit for readers of attributes: (chances, rows, truth) -> views and the truth.
    Never mirrored: left and right are read; backgrounds stay: they are read too."""
    pictures = Pictures.both(drawn, options.device)
    return lambda g, rows, known: (views(pictures, rows, g, warp=options.warp, flip=False), known)


def to_views(
    x_bchw: Tensor, parts_b1hw: Tensor | None, g: Generator, *,
    blackout: float = 0.0, warp: float = 1.0, flip: bool = True,
) -> Tensor:  # fmt: skip
    """The same of pictures that are at hand."""
    if parts_b1hw is not None and blackout:
        x_bchw = without_place(x_bchw, parts_b1hw, g, blackout)
    return relit(Move.draw(g, len(x_bchw), warp, flip)(x_bchw), g)


def parts_moved(move: Move, parts_b1hw: Tensor) -> Tensor:
    """[b, h, w] int64: the parts where their pictures went."""
    return move(parts_b1hw, mode="nearest")[:, 0].round().long()


def without_place(x_bchw: Tensor, parts_b1hw: Tensor, g: Generator, share: float) -> Tensor:
    """The subject on one shade, half of the time black, instead of its background, a share of the
    time."""
    num = len(x_bchw)
    shade = torch.rand((num, 3), generator=g) * 255 * some(g, num, 0.5)[:, None]
    gone = some(g, num, share).to(x_bchw.device)[:, None, None, None] & (parts_b1hw == 0)
    return torch.where(gone, shade.to(x_bchw)[:, :, None, None], x_bchw)


def relit(x_bchw: Tensor, g: Generator) -> Tensor:
    """Views in [-1, 1], channels last: a quarter blurred, a quarter compressed, three tenths
    brighter or darker, three tenths grainy."""
    num, device = len(x_bchw), x_bchw.device
    roll = torch.rand(num, generator=g)
    x = x_bchw.clone()
    sigma, quality = between(g, num, 0.4, 1.2), between(g, num, 40, 95).floor()
    soft, packed = (roll < 0.25).nonzero()[:, 0], ((roll >= 0.25) & (roll < 0.5)).nonzero()[:, 0]
    if len(soft):
        at = soft.to(device)
        x[at] = blurred(x[at], sigma[soft].to(device))
    if len(packed):
        at = packed.to(device)
        x[at] = jpeg(x[at], quality[packed].to(device))
    on = some(g, num, 0.3)
    gain = torch.where(on, between(g, num, 0.88, 1.12), 1.0)
    lift = torch.where(on, between(g, num, -12, 12), 0.0)
    grain = torch.where(some(g, num, 0.3), between(g, num, 1, 6), 0.0)
    gain, lift, grain = (v.to(device)[:, None, None, None] for v in (gain, lift, grain))
    chance = Generator(device).manual_seed(int(torch.randint(2**62, (), generator=g)))
    noise = torch.randn(x.shape, generator=chance, device=device)
    x = (x * gain + lift + grain * noise).clamp(0, 255)
    return x.div(127.5).sub(1).contiguous(memory_format=torch.channels_last)


def blurred(x_bchw: Tensor, sigma_b: Tensor) -> Tensor:
    """A Gaussian of 3 x 3."""
    beside = torch.exp(-0.5 / sigma_b.square())[:, None, None, None]
    for axis, dims in ((3, (1, 1, 0, 0)), (2, (0, 0, 1, 1))):
        wide, side = F.pad(x_bchw, dims, mode="replicate"), x_bchw.shape[axis]
        near = wide.narrow(axis, 0, side) + wide.narrow(axis, 2, side)
        x_bchw = (x_bchw + beside * near) / (1 + 2 * beside)
    return x_bchw


@cache
def _cosines(device: torch.device) -> Tensor:
    """[8, 8]: the orthonormal cosine transform of 8 samples."""
    k = torch.arange(8.0)
    rows = torch.cos((2 * k[None] + 1) * k[:, None] * torch.pi / 16) / 2
    rows[0] /= 2**0.5
    return rows.to(device)


def jpeg(x_bchw: Tensor, quality_b: Tensor) -> Tensor:
    """What JPEG leaves of pictures [b, 3, h, w] whose sides are multiples of 16: luminance and
    halved chrominance, quantised in blocks (ITU-T T.81; libjpeg's scale of qualities)."""
    colours = YCBCR.to(x_bchw)
    ycc = torch.einsum("kc,bchw->bkhw", colours, x_bchw)
    scale = torch.where(quality_b < 50, 5000 / quality_b, 200 - 2 * quality_b) / 100
    bright = _quantised(ycc[:, :1] - 128, LUMINANCE, scale) + 128
    tones = F.interpolate(_quantised(F.avg_pool2d(ycc[:, 1:], 2), CHROMINANCE, scale),
                          scale_factor=2, mode="bilinear", align_corners=False)  # fmt: skip
    back = torch.linalg.inv(YCBCR).to(x_bchw)
    return torch.einsum("ck,bkhw->bchw", back, torch.cat([bright, tones], 1)).clamp(0, 255)


def _quantised(planes_bchw: Tensor, table: tuple[int, ...], scale_b: Tensor) -> Tensor:
    """Each 8 x 8 block's cosine coefficients rounded to multiples of the table's."""
    steps = torch.tensor(table, dtype=torch.float32, device=planes_bchw.device).view(8, 8)
    steps = (steps * scale_b[:, None, None] + 0.5).floor().clamp(1, 255)[:, None, None, None]
    d = _cosines(planes_bchw.device)
    blocks = planes_bchw.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)
    known = (d @ blocks @ d.T / steps).round() * steps
    planes: Tensor = (d.T @ known @ d).transpose(3, 4).flatten(4, 5).flatten(2, 3)
    return planes


def laid(
    rgba_b4hw: Tensor, scale: tuple[float, float], g: Generator, share: int = 1
) -> tuple[Tensor, Tensor]:
    """Opaque pictures [b, 3, h, w]: each on a backdrop of its own, scaled, at times turned or
    mirrored, shifted by up to .15 of a side; and how opaque what lies there is, [b, 1, h, w] in
    [0, 1]. Equal parts of the batch, `share` of them, lie in the same scenes."""
    num = len(rgba_b4hw) // share
    turn = between(g, num, -15, 15) * some(g, num, 0.3)
    shift = torch.stack([between(g, num, -0.3, 0.3) for _ in range(2)], -1)
    move = Move.of(between(g, num, *scale), turn, shift, some(g, num, 0.5))
    move = Move(move.linear_b22.repeat(share, 1, 1), move.shift_b2.repeat(share, 1))
    opacity = rgba_b4hw[:, 3:].float() / 255
    seen = move(torch.cat([rgba_b4hw[:, :3] * opacity, opacity], 1), padding="zeros")
    back = backdrops(g, num, rgba_b4hw.shape[-1]).to(seen.device).repeat(share, 1, 1, 1)
    return (seen[:, :3] + back * (1 - seen[:, 3:])).clamp(0, 255), seen[:, 3:]


def backdrops(g: Generator, num: int, side: int) -> Tensor:
    """[num, 3, side, side] in [0, 255]: in equal parts one shade, mostly white, two bands, a ramp
    in any direction."""
    one, two = torch.rand((2, num, 3, 1, 1), generator=g) * 255
    kind = torch.randint(4, (num,), generator=g)
    white = (kind == 1) & some(g, num, 0.7)
    angle = between(g, num, 0, 2 * torch.pi)[:, None, None]
    axis = torch.linspace(-1, 1, side)
    ramp = 0.5 + 0.5 * (axis[None, None] * angle.cos() + axis[None, :, None] * angle.sin())
    edge = between(g, num, 0.3, 0.7)[:, None, None]
    ramp = torch.where((kind == 2)[:, None, None], (ramp > edge).float(), ramp.clamp(0, 1))
    mix = torch.where((kind == 0)[:, None, None], 0.0, ramp)[:, None]
    return torch.where(white[:, None, None, None], 255.0, one * (1 - mix) + two * mix)


def turned_hue(rgb_b3hw: Tensor, turn_b: Tensor) -> Tensor:
    """Pictures in [0, 255] with their hues turned by shares of a circle, value and chroma kept."""
    high, low = rgb_b3hw.amax(1), rgb_b3hw.amin(1)
    r, g, b = rgb_b3hw.unbind(1)
    chroma = (high - low).clamp_min(1e-6)
    hue = torch.where(
        high == r,
        (g - b) / chroma,
        torch.where(high == g, (b - r) / chroma + 2, (r - g) / chroma + 4),
    )
    hue = hue + 6 * turn_b.to(hue)[:, None, None]
    ways = torch.tensor([5.0, 3.0, 1.0], device=hue.device)[None, :, None, None]
    k = (ways + hue[:, None]) % 6
    away = torch.minimum(k, 4 - k).clamp(0, 1)
    return high[:, None] - (high - low)[:, None] * away
