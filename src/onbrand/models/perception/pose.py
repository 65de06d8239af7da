"""Where the joints of the figure in a picture are (role "pose"): COCO-17's, mascots' included.

Any segmenter of transformers whose labels are the joints, in their order. Each joint's cells
compete with one more, "not in the picture", whose logit is 0: a softmax over them all tells where
it is and whether it is there. Its place is the mean of the cells around the peak, finer than a cell
(as DARK reads heat maps, arXiv 1910.06278, but by a mean instead of a Taylor series).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from onbrand.errors import WeightsError
from onbrand.illustrator.skeleton import COCO_17
from onbrand.models.packs import Pack
from onbrand.models.perception.network import Network, architecture
from onbrand.models.perception.parsing import names_of

__all__ = ["CELL_PX", "Pose", "PoseEstimator", "cells", "heat_of", "joints_of", "load_pose"]

CELL_PX = 4
REACH = 2  # cells around the peak


def cells(logits_bjhw: Tensor) -> Tensor:
    """A segmenter's logits, a channel for each joint, as logits of cells of CELL_PX: [b, j, n + 1],
    row by row, the last for "not in the picture"."""
    small = F.avg_pool2d(logits_bjhw.float(), CELL_PX).flatten(2)
    return torch.cat([small, torch.zeros_like(small[..., :1])], dim=-1)


def heat_of(logits_bjhw: Tensor) -> Tensor:
    """Probability of each joint in each cell, [b, j, h / CELL_PX, w / CELL_PX]."""
    rows, columns = (side // CELL_PX for side in logits_bjhw.shape[-2:])
    return cast(Tensor, cells(logits_bjhw).softmax(-1)[..., :-1].unflatten(-1, (rows, columns)))


def joints_of(heat_bjhw: Tensor) -> Tensor:
    """Joints [b, j, 3] of shares of cells, which sum to at most 1 per joint: x, y as shares of the
    sides, and how sure it is that the joint is there."""
    h, w = heat_bjhw.shape[-2:]
    peak = heat_bjhw.flatten(2).argmax(-1)
    rows, columns = torch.arange(h, device=peak.device), torch.arange(w, device=peak.device)
    near_y = (rows - (peak // w)[..., None]).abs() <= REACH
    near_x = (columns - (peak % w)[..., None]).abs() <= REACH
    near = heat_bjhw * near_y[..., :, None] * near_x[..., None, :]
    whole = near.sum((-2, -1)).clamp_min(1e-12)
    x = (near.sum(-2) * (columns + 0.5)).sum(-1) / whole / w
    y = (near.sum(-1) * (rows + 0.5)).sum(-1) / whole / h
    return torch.stack([x, y, heat_bjhw.sum((-2, -1))], dim=-1)


class Pose(Protocol):
    """COCO-17's joints of the figure in each picture."""

    def heat(self, pixels_bchw: Tensor) -> Tensor:
        """Probability of each joint's cells, [b, 17, h, w]; differentiable with respect to the
        pixels [b, 3, h, w] in [-1, 1]."""
        ...

    def joints(self, pixels_bchw: Tensor) -> Tensor:
        """[b, 17, 3]: x, y in pixels of what was passed, and how sure it is there, in [0, 1]."""
        ...


class PoseEstimator(Network):
    """`Pose` by a segmenter whose labels are the joints. Raises WeightsError for other labels."""

    role = "pose"
    class_name = "AutoModelForSemanticSegmentation"

    def __init__(self, pack: Pack, *, device: str = "cpu") -> None:
        super().__init__(pack, device=device)
        labels = names_of(self.module.config.id2label)
        if labels != COCO_17:
            raise WeightsError(
                f"the role '{self.role}' in {pack.role(self.role)} tells {_few(labels)}; needed "
                f"are COCO's {len(COCO_17)} joints in their order: {_few(COCO_17)}."
            )

    def heat(self, pixels_bchw: Tensor) -> Tensor:
        """See `Pose.heat`."""
        return heat_of(self.module(self.ready(pixels_bchw)).logits)

    @torch.no_grad()
    def joints(self, pixels_bchw: Tensor) -> Tensor:
        """See `Pose.joints`."""
        found = joints_of(self.heat(pixels_bchw))
        sides = found.new_tensor([pixels_bchw.shape[-1], pixels_bchw.shape[-2]])
        return torch.cat([found[..., :2] * sides - 0.5, found[..., 2:]], dim=-1)


def _few(labels: Sequence[str]) -> str:
    return ", ".join(labels[:4]) + (", …" if len(labels) > 4 else "")


def load_pose(pack: Pack, *, device: str = "cpu") -> Pose:
    """The pack's pose estimator: a segmenter whose labels are joints, or ViTPose, which looks at
    the person that the role "person_detector" (RT-DETR) finds."""
    if architecture(pack, "pose") == "VitPoseForPoseEstimation":
        from onbrand.models.perception.hub import TopDownPose

        return TopDownPose(pack, device=device)
    return PoseEstimator(pack, device=device)
