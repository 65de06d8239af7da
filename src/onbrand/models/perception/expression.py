"""What a face shows (role "expression"): read from a crop around the face, as large as it can be.

Any image classifier whose labels are expressions. Where no face is found, nothing is said.
"""

from __future__ import annotations

import torch
from torch import Tensor

from onbrand.models.packs import Pack
from onbrand.models.perception.faces import FaceFinder, crops, largest, load_faces
from onbrand.models.perception.network import Classifier
from onbrand.models.perception.parsing import names_of

__all__ = ["MARGIN", "ExpressionReader", "load_expression"]

MARGIN = 0.12  # of the face's longer side, around it


class ExpressionReader(Classifier):
    """Expressions of the largest face of each picture."""

    role = "expression"

    def __init__(
        self, pack: Pack, finder: FaceFinder | None = None, *, device: str = "cpu"
    ) -> None:
        super().__init__(pack, device=device)
        self.finder = finder or load_faces(pack, device=device)

    @property
    def labels(self) -> tuple[str, ...]:
        """The expressions in lower case, in the order of the logits."""
        return names_of(self.module.config.id2label)

    def faces(self, pixels_bchw: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes [b, 4] of each picture's largest face, the whole picture where there is none, and
        whether there is one, [b]; where the pixels are."""
        h, w = pixels_bchw.shape[-2:]
        whole = torch.tensor([0.0, 0.0, w, h])
        boxes = [largest(found) for found in self.finder.boxes(pixels_bchw)]
        there = torch.tensor([box is not None for box in boxes], device=pixels_bchw.device)
        found = torch.stack([whole if box is None else box[:4].cpu() for box in boxes])
        return found.to(pixels_bchw), there

    def face_logits(self, pixels_bchw: Tensor, boxes_b4: Tensor) -> Tensor:
        """[b, labels] of the faces in these boxes; differentiable with respect to the pixels."""
        pixels = crops(pixels_bchw.to(self.device), boxes_b4, self.size_px, MARGIN)
        return self.logits(pixels)

    @torch.no_grad()
    def read(self, pixels_bchw: Tensor) -> list[dict[str, float]]:
        """Per picture: expression -> probability, summing to 1; {} where no face is found."""
        boxes, there = self.faces(pixels_bchw)
        shares = self.face_logits(pixels_bchw, boxes).softmax(-1).tolist()
        return [
            dict(zip(self.labels, row, strict=True)) if seen else {}
            for row, seen in zip(shares, there.tolist(), strict=True)
        ]


def load_expression(pack: Pack, *, device: str = "cpu") -> ExpressionReader:
    """The pack's expression reader, of any architecture."""
    return ExpressionReader(pack, device=device)
