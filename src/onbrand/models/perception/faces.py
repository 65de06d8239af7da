"""Where heads are (role "faces"): boxes, of mascots' faces too.

A pack without the role finds them through its parser: what is head, eyes or mouth and hangs
together is one face.
"""

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from onbrand.errors import PackError
from onbrand.models.packs import Pack
from onbrand.models.parts import PARTS
from onbrand.models.perception.parsing import Parsing, load_parsing, mask_of

__all__ = ["FACE_PARTS", "FaceFinder", "ParsedFaces", "crops", "largest", "load_faces"]

FACE_PARTS = PARTS["head"]
APART = 0.05  # of the longer side: pieces that are nearer are one face
SMALLEST = 0.0015  # share of the picture's pixels: 5 x 5 of 128 x 128


class FaceFinder(Protocol):
    """Boxes of faces."""

    def boxes(self, pixels_bchw: Tensor) -> list[Tensor]:
        """Per picture [n, 5]: left, top, right, bottom in pixels of what was passed, and how sure;
        the surest first. Pixels are in [-1, 1]."""
        ...


class ParsedFaces:
    """`FaceFinder` by a parser that knows parts of faces. Raises PackError when it knows none."""

    def __init__(self, parsing: Parsing) -> None:
        self.parsing = parsing
        self.names = [name for name in FACE_PARTS if name in parsing.labels]
        if not self.names:
            raise PackError(
                f"faces cannot be found: the parser knows {', '.join(parsing.labels)}, but none of "
                f"{', '.join(FACE_PARTS)}. Name a face finder for the role 'faces' in pack.toml."
            )

    @torch.no_grad()
    def boxes(self, pixels_bchw: Tensor) -> list[Tensor]:
        """See `FaceFinder.boxes`."""
        shares = mask_of(self.parsing, pixels_bchw, self.names).float().cpu().numpy()
        return [torch.tensor(_boxes(share), dtype=torch.float32).reshape(-1, 5) for share in shares]


def _boxes(share_hw: Any) -> list[tuple[float, ...]]:
    """What hangs together above one half; glasses or a hat's brim part no face."""
    held = share_hw > 0.5
    across = round(APART * max(held.shape)) | 1
    joined = cv2.morphologyEx(
        held.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((across, across), np.uint8)
    )
    num, where = cv2.connectedComponents(joined, connectivity=8)
    found = []
    for k in range(1, num):
        mine = held & (where == k)
        if mine.sum() >= SMALLEST * held.size:
            rows, columns = np.nonzero(mine)
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            found.append((*map(float, box), float(share_hw[mine].mean())))
    return sorted(found, key=lambda box: -box[4])


def largest(boxes_n5: Tensor) -> Tensor | None:
    """The box [5] of the largest area; None where there is none."""
    if not len(boxes_n5):
        return None
    sides = boxes_n5[:, 2:4] - boxes_n5[:, :2]
    return boxes_n5[sides.prod(1).argmax()]


def crops(pixels_bchw: Tensor, boxes_b4: Tensor, size_px: int, margin: float = 0.25) -> Tensor:
    """Squares [b, 3, size, size] around one box of each picture, `margin` of its longer side added
    on each side; beyond the picture its edge is repeated. Differentiable with respect to the
    pixels. Two samples of each cell are averaged, so that small crops do not alias."""
    h, w = pixels_bchw.shape[-2:]
    boxes = boxes_b4.to(pixels_bchw)
    centre = (boxes[:, :2] + boxes[:, 2:4]) / 2
    half = (boxes[:, 2:4] - boxes[:, :2]).amax(1) * (0.5 + margin)
    fine = 2 * size_px
    steps = (torch.arange(fine, device=pixels_bchw.device) + 0.5) / fine * 2 - 1
    x = (centre[:, 0, None] + half[:, None] * steps) / w * 2 - 1
    y = (centre[:, 1, None] + half[:, None] * steps) / h * 2 - 1
    grid = torch.stack(
        [x[:, None, :].expand(-1, fine, -1), y[:, :, None].expand(-1, -1, fine)], dim=-1
    )
    seen = F.grid_sample(
        pixels_bchw.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return F.avg_pool2d(seen, 2)


def load_faces(pack: Pack, *, device: str = "cpu") -> FaceFinder:
    """The pack's face finder: OpenCV's YuNet where the role "faces" holds its ONNX file, else what
    its parser knows of faces."""
    if "faces" in pack.roles:
        from onbrand.models.perception.hub import YuNetFaces

        return YuNetFaces(pack)
    return ParsedFaces(load_parsing(pack, device=device))
