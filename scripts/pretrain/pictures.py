"""What pretraining looks at: the packed emoji and drawn sets, compositing, crops and PSNR.

A packed set is a folder with pixels.npy (uint8 memmap) and labels.jsonl, one line per picture.
The emoji (MIT, microsoft/fluentui-emoji) are RGBA [n, 128, 128, 4]; drawn pictures RGB.
Every function draws its randomness from the numpy Generator it is given.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from onbrand.bench.emoji import HELD_OUT_EVERY

__all__ = [
    "composite",
    "emoji_batch",
    "evaluation_emoji",
    "evaluation_folder",
    "jitter",
    "pack_emoji",
    "psnr",
    "read_labels",
    "to_tensor",
]

Pixels = NDArray[np.uint8]


def read_labels(root: Path) -> list[dict[str, Any]]:
    """The lines of root/labels.jsonl."""
    return [json.loads(line) for line in (root / "labels.jsonl").read_text("utf-8").splitlines()]


def pack_emoji(source: Path, root: Path) -> tuple[Pixels, list[dict[str, Any]]]:
    """Decode the WebP emoji once into root/pixels.npy [n, 128, 128, 4]; later calls map it."""
    path = root / "pixels.npy"
    if not path.exists():
        root.mkdir(parents=True, exist_ok=True)
        lines = (source / "metadata.jsonl").read_text("utf-8").splitlines()
        things = sorted((json.loads(line) for line in lines), key=lambda t: t["file_name"])
        pixels = np.stack(
            [np.asarray(Image.open(source / t["file_name"]).convert("RGBA")) for t in things]
        )
        (root / "labels.jsonl").write_text("".join(json.dumps(t) + "\n" for t in things), "utf-8")
        fresh = root / "fresh.npy"
        np.save(fresh, pixels)
        fresh.replace(path)
    return np.load(path, mmap_mode="r"), read_labels(root)


def _backdrop(rng: np.random.Generator, size_px: int) -> NDArray[np.float32]:
    """A flat colour, a gradient in any direction, or two bands, [h, w, 3] in [0, 255]."""
    one, two = rng.uniform(0, 255, (2, 3)).astype(np.float32)
    kind = rng.integers(4)
    if kind == 0:
        return np.broadcast_to(one, (size_px, size_px, 3)).copy()
    if kind == 1 and rng.random() < 0.7:
        return np.full((size_px, size_px, 3), 255, np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    axis = np.linspace(-1, 1, size_px, dtype=np.float32)
    ramp = 0.5 + 0.5 * (axis[None] * np.cos(angle) + axis[:, None] * np.sin(angle))
    if kind == 2:
        ramp = (ramp > rng.uniform(0.3, 0.7)).astype(np.float32)
    mix = np.clip(ramp, 0, 1)[..., None].astype(np.float32)
    out: NDArray[np.float32] = one * (1 - mix) + two * mix
    return out


def composite(
    rgba: Pixels, rng: np.random.Generator, size_px: int, scale: tuple[float, float]
) -> Pixels:
    """Lay one RGBA picture on a random backdrop: random scale, place, turn and flip; [s, s, 3]."""
    factor = rng.uniform(*scale) * size_px / rgba.shape[0]
    turn = rng.uniform(-15, 15) if rng.random() < 0.3 else 0.0
    side = rgba.shape[0]
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), turn, factor)
    if rng.random() < 0.5:
        matrix = matrix @ np.array([[-1, 0, side - 1], [0, 1, 0], [0, 0, 1]], np.float64)
    reach = size_px * 0.15 * rng.uniform(-1, 1, 2)
    matrix[:, 2] += size_px / 2 - side / 2 + reach
    alpha = rgba[..., 3:].astype(np.float32) / 255
    whole = np.concatenate([rgba[..., :3] * alpha, alpha], -1)
    moved = cv2.warpAffine(whole, matrix, (size_px, size_px), flags=cv2.INTER_LINEAR)
    back = _backdrop(rng, size_px)
    flat: Pixels = (moved[..., :3] + back * (1 - moved[..., 3:])).clip(0, 255).astype(np.uint8)
    return flat


def jitter(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Change hues by permuting the channels, and scale each of them, half of the time each."""
    if rng.random() < 0.5:
        pixels = pixels[..., rng.permutation(3)]
    gain = rng.uniform(0.7, 1.15, 3) if rng.random() < 0.5 else np.ones(3)
    out: Pixels = (pixels * gain.astype(np.float32)).clip(0, 255).astype(np.uint8)
    return out


def emoji_batch(emoji: Pixels, rng: np.random.Generator, num: int, crop_px: int) -> Pixels:
    """`num` crops [num, crop, crop, 3] of composited emoji; held-out emoji never appear."""
    crops: list[Pixels] = []
    while len(crops) < num:
        index = int(rng.integers(len(emoji)))
        if index % HELD_OUT_EVERY == 0:
            continue
        scale = (0.6, 1.1) if crop_px >= 96 else (0.8, 2.2)
        crops.append(jitter(composite(emoji[index], rng, crop_px, scale), rng))
    return np.stack(crops)


def evaluation_emoji(emoji: Pixels, num: int = 32) -> Pixels:
    """`num` held-out emoji, evenly spread, on fixed backdrops, [num, 128, 128, 3]."""
    rng = np.random.default_rng(0)
    indices = list(range(0, len(emoji), HELD_OUT_EVERY))
    indices = [indices[i] for i in np.linspace(0, len(indices) - 1, num).astype(int)]
    return np.stack([composite(emoji[i], rng, 128, (0.7, 0.95)) for i in indices])


def evaluation_folder(folder: Path, size_px: int = 128) -> tuple[Pixels, NDArray[np.bool_]]:
    """A folder's PNGs fitted on white, [n, s, s, 3], and where they are opaque [n, s, s]."""
    pictures, masks = [], []
    for path in sorted(folder.glob("*.png")):
        image = Image.open(path).convert("RGBA")
        image.thumbnail((size_px, size_px), Image.Resampling.LANCZOS)
        square = Image.new("RGBA", (size_px, size_px), (255, 255, 255, 0))
        square.paste(image, ((size_px - image.width) // 2, (size_px - image.height) // 2))
        masks.append(np.asarray(square)[..., 3] > 127)
        white = Image.new("RGBA", square.size, (255, 255, 255, 255))
        pictures.append(np.asarray(Image.alpha_composite(white, square).convert("RGB")))
    return np.stack(pictures), np.stack(masks)


def to_tensor(pixels: Pixels | Sequence[Pixels]) -> torch.Tensor:
    """uint8 [b, h, w, 3] -> float32 [b, 3, h, w] in [-1, 1], channels last in memory."""
    tensor = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2)
    return tensor.float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)


def psnr(
    one_bchw: torch.Tensor, two_bchw: torch.Tensor, mask_bhw: torch.Tensor | None = None
) -> float:
    """Mean over pictures of 10 log10(255^2 / MSE) in 8-bit terms, for values in [-1, 1]; dB."""
    error = ((one_bchw.clamp(-1, 1) - two_bchw) / 2).square().mean(1)
    if mask_bhw is None:
        mean = error.mean((1, 2))
    else:
        mean = (error * mask_bhw).sum((1, 2)) / mask_bhw.sum((1, 2)).clamp_min(1)
    return float((-10 * mean.clamp_min(1e-10).log10()).mean())
