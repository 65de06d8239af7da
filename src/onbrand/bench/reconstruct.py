"""What a pack's VAE keeps of a picture: reserved drawings, and a real mascot inside its alpha."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from onbrand.bench.record import Result
from onbrand.illustrator import RESERVED_IDS, character, illustrate, random_scene

if TYPE_CHECKING:
    from onbrand.models.diffusion import DiffusionModel

__all__ = ["drawn_psnr", "mascot_psnr", "psnr_db"]


def psnr_db(original: np.ndarray, restored: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal to noise ratio in dB of [h, w, 3] in [0, 1]: 10 · log10(1 / MSE).

    Over the pixels of `mask` [h, w] alone when it is given; at most 100 dB.
    """
    squared = (np.asarray(original, np.float64) - np.asarray(restored, np.float64)) ** 2
    error = float(squared.mean() if mask is None else squared[mask].mean())
    return 10 * float(np.log10(1 / max(error, 1e-10)))


def _restored(model: DiffusionModel, pictures: Sequence[Image.Image]) -> list[np.ndarray]:
    """Each picture through encoder and decoder: [h, w, 3] in [0, 1]."""
    import torch

    from onbrand.judging.looking import to_pixels

    rows: list[np.ndarray] = []
    with torch.inference_mode():
        for start in range(0, len(pictures), 8):
            pixels = to_pixels(pictures[start : start + 8], model.num_px)
            back = model.decode(model.encode_pixels(pixels)).clamp(-1, 1)
            rows.extend((back.permute(0, 2, 3, 1).float().numpy() + 1) / 2)
    return rows


def drawn_psnr(model: DiffusionModel, num: int, seed: int) -> Result:
    """Reserved characters in random scenes, reconstructed; grouped by character."""
    rng = np.random.default_rng([seed, 0xA1])
    ids = [int(i) for i in rng.choice(len(RESERVED_IDS), num)]
    pictures = [
        Image.fromarray(
            illustrate(character(i), random_scene(rng), size_px=model.num_px, seed=n).pixels
        )
        for n, i in enumerate(ids)
    ]
    originals = [np.asarray(picture) / 255.0 for picture in pictures]
    values = [
        psnr_db(one, other)
        for one, other in zip(originals, _restored(model, pictures), strict=True)
    ]
    return {"character": ids, "psnr": values}


def mascot_psnr(model: DiffusionModel, folder: Path, most: int) -> Result:
    """A real mascot's pictures on white, reconstructed; measured inside their alpha."""
    from onbrand.pixels import fit, flatten

    files = sorted(folder.glob("*.png"))[:most]
    opened = [Image.open(file).convert("RGBA") for file in files]
    side = model.num_px
    flat = [fit(flatten(picture), side) for picture in opened]
    masks = [
        np.asarray(fit(Image.merge("RGB", [p.getchannel("A")] * 3), side, (0, 0, 0)))[..., 0] > 127
        for p in opened
    ]
    values = [
        psnr_db(np.asarray(one) / 255.0, other, mask)
        for one, other, mask in zip(flat, _restored(model, flat), masks, strict=True)
    ]
    return {"file": [file.name for file in files], "psnr": values}
