"""Models as plain callables: pictures in, numpy out. Which models, is their caller's to say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.pixels import fit, flatten

if TYPE_CHECKING:
    import torch

    from onbrand.models.perception import Alignment

__all__ = ["Align", "Embed", "ReadAttributes", "aligning", "as_seen", "batched", "to_pixels"]

Embed = Callable[[Sequence[Image.Image]], NDArray[np.float64]]
"""pictures → [n, d], each row of length 1"""

Align = Callable[
    [Sequence[Image.Image], Sequence[str]], tuple[NDArray[np.float64], NDArray[np.float64]]
]
"""pictures and a text for each → [n, d] and [n, d] of one space, each row of length 1"""

ReadAttributes = Callable[[Sequence[Image.Image]], list[dict[str, str]]]
"""pictures → what is seen on each: {"pose": "waving", …}"""


def as_seen(picture: Image.Image, size_px: int) -> Image.Image:
    """The picture as the eyes see it, RGB: flat on white, letterboxed to a square of their size.
    What they say of a place, a mask or a share, is of this one."""
    return fit(flatten(picture), size_px)


def to_pixels(pictures: Sequence[Image.Image], size_px: int) -> torch.Tensor:
    """The pictures `as_seen`, scaled to [-1, 1]: [n, 3, size_px, size_px]."""
    import torch

    arrays = [np.asarray(as_seen(picture, size_px), np.float32) for picture in pictures]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 127.5 - 1.0


def batched(
    look: Callable[[torch.Tensor], torch.Tensor], size_px: int, batch_size: int
) -> Callable[[Sequence[Image.Image]], NDArray[np.float64]]:
    """Wrap a torch function of pixels as a function of pictures, in bounded memory."""

    def run(pictures: Sequence[Image.Image]) -> NDArray[np.float64]:
        import torch

        rows = []
        with torch.inference_mode():
            for start in range(0, len(pictures), batch_size):
                pixels = to_pixels(pictures[start : start + batch_size], size_px)
                rows.append(look(pixels).float().cpu().numpy().astype(np.float64))
        return np.concatenate(rows) if rows else np.zeros((0, 1))

    return run


def aligning(scorer: Alignment, size_px: int, batch_size: int) -> Align:
    """Wrap a scorer as a function of pictures and a text for each."""
    look = batched(scorer.embed_pixels, size_px, batch_size)

    def align(
        pictures: Sequence[Image.Image], texts: Sequence[str]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        import torch

        once = list(dict.fromkeys(texts))
        with torch.inference_mode():
            told = scorer.embed_texts(once).float().cpu().numpy().astype(np.float64)
        return look(pictures), told[[once.index(text) for text in texts]]

    return align
