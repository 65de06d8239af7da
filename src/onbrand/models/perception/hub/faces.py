"""OpenCV's YuNet: faces of people, fast on a processor without a graphics card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor

from onbrand.errors import PackError, WeightsError
from onbrand.models.layout import said
from onbrand.models.packs import Pack

__all__ = ["YuNetFaces"]

SURE = 0.6
OVERLAP = 0.3  # of two boxes, above which the surer one stands for both
MOST = 100
ADVICE = "Put face_detection_yunet_2023mar.onnx of OpenCV's model zoo there."


class YuNetFaces:
    """`FaceFinder` by the one .onnx file in the folder of the pack's role "faces".

    Raises PackError when the pack has no such role, WeightsError when the folder holds no .onnx
    file or several, or one that OpenCV cannot read.
    """

    def __init__(self, pack: Pack) -> None:
        folder = pack.roles.get("faces")
        if folder is None:
            raise PackError(f"pack '{pack.name}' has no role 'faces'.")
        self.path = _only_file(folder)
        try:
            self._detector: Any = cv2.FaceDetectorYN.create(
                str(self.path), "", (320, 320), SURE, OVERLAP, MOST
            )
        except cv2.error as error:
            raise WeightsError(
                f"{self.path} is no face detector that OpenCV can read: {said(error)}. {ADVICE}"
            ) from error

    @torch.no_grad()
    def boxes(self, pixels_bchw: Tensor) -> list[Tensor]:
        """See `FaceFinder.boxes`. Boxes are cut at the picture's sides. Raises WeightsError when
        the network's outputs are not YuNet's."""
        h, w = pixels_bchw.shape[-2:]
        drawn = ((pixels_bchw.detach().float().cpu() + 1) * 127.5).round().clamp(0, 255)
        colours = drawn.to(torch.uint8).permute(0, 2, 3, 1).flip(-1)  # OpenCV's are blue first
        self._detector.setInputSize((w, h))
        return [self._boxes(picture.contiguous().numpy(), (h, w)) for picture in colours]

    def _boxes(self, picture_hwc: Any, size: tuple[int, int]) -> Tensor:
        """[n, 5] of one picture."""
        try:
            _, rows = self._detector.detect(picture_hwc)
        except cv2.error as error:
            raise WeightsError(
                f"{self.path} does not answer as YuNet does: {said(error)}. {ADVICE}"
            ) from error
        if rows is None:
            return torch.zeros(0, 5)
        found = torch.from_numpy(rows).float()
        corners = torch.cat([found[:, :2], found[:, :2] + found[:, 2:4]], dim=1)
        h, w = size
        corners = corners.clamp_min(0).minimum(torch.tensor([w, h, w, h]).float())
        return torch.cat([corners, found[:, -1:]], dim=1)[found[:, -1].argsort(descending=True)]


def _only_file(folder: Path) -> Path:
    """The folder's .onnx file."""
    files = sorted(folder.glob("*.onnx"))
    if len(files) != 1:
        listed = ", ".join(path.name for path in files) or "none"
        raise WeightsError(
            f"the role 'faces' needs one .onnx file in {folder}; there: {listed}. {ADVICE}"
        )
    return files[0]
