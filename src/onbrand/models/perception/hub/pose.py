"""ViTPose: joints of the one person that a detector finds in each picture.

The network sees a window around the person, of its own shape and a quarter larger than the box, and
answers with heat maps of that window. Window, normalisation and decoding (arg-max, then DARK's
Taylor step, arXiv 1910.06278, on the unbiased grid of arXiv 1911.07524) are those of transformers'
VitPoseImageProcessor, in torch, so that a loss on the heat reaches the pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from onbrand.errors import WeightsError
from onbrand.illustrator.skeleton import COCO_17
from onbrand.models.packs import Pack
from onbrand.models.perception.hub.network import HubNetwork
from onbrand.models.perception.processor import IMAGENET, UNIT

__all__ = ["HEAT_CELLS", "PersonDetector", "TopDownPose", "dark", "frames", "window"]

HEAT_CELLS = 64
SURE = 0.3
ROOM = 1.25  # of the box's sides
BLUR = 0.8  # deviation in cells, cut at REACH
REACH = 5
LEAST, MOST = 1e-3, 50.0


class PersonDetector(HubNetwork):
    """Boxes of people by an RTDetrForObjectDetection. Raises WeightsError when it has no label
    "person"."""

    role = "person_detector"
    class_names = ("RTDetrForObjectDetection",)
    statistics = UNIT
    default_px = 640

    def __init__(self, pack: Pack, *, device: str = "cpu") -> None:
        super().__init__(pack, device=device)
        labels = {str(name).lower(): int(i) for i, name in self.module.config.id2label.items()}
        if "person" not in labels:
            raise WeightsError(
                f"the role '{self.role}' of pack '{pack.name}' knows {', '.join(labels)}, but no "
                "'person'; a detector of COCO's labels is needed."
            )
        self._person = labels["person"]

    @torch.no_grad()
    def best(self, pixels_bchw: Tensor) -> Tensor:
        """The surest person of each picture, [b, 5]: left, top, right, bottom in pixels of what was
        passed, and how sure."""
        found = self.module(pixel_values=self.ready(pixels_bchw))
        score, which = found.logits[..., self._person].sigmoid().max(-1)
        x, y, w, h = found.pred_boxes[torch.arange(len(which)), which].unbind(-1)
        tall, wide = pixels_bchw.shape[-2:]
        corners = [(x - w / 2) * wide, (y - h / 2) * tall, (x + w / 2) * wide, (y + h / 2) * tall]
        return torch.stack([*corners, score], dim=-1)


class TopDownPose(HubNetwork):
    """`Pose` by a VitPoseForPoseEstimation, of the surest person that the pack's role
    "person_detector" finds; where it finds none, or the pack has no such role, of the picture.
    Raises WeightsError when it has another number of joints than COCO's."""

    role = "pose"
    class_names = ("VitPoseForPoseEstimation",)
    statistics = IMAGENET

    def __init__(self, pack: Pack, *, device: str = "cpu") -> None:
        super().__init__(pack, device=device)
        num = int(self.module.config.num_labels)
        if num != len(COCO_17):
            raise WeightsError(
                f"the role '{self.role}' in {pack.role(self.role)} finds {num} joints; a ViTPose "
                f"of COCO's {len(COCO_17)} is needed."
            )
        body = self.module.config.backbone_config
        size = body.image_size
        self.window_size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        self._experts = int(getattr(body, "num_experts", 1))
        asked = "person_detector" in pack.roles
        self.detector = PersonDetector(pack, device=device) if asked else None

    def boxes(self, pixels_bchw: Tensor) -> Tensor:
        """Left, top, right, bottom [b, 4] of whom to look at, in pixels of what was passed."""
        h, w = pixels_bchw.shape[-2:]
        whole = torch.tensor([0.0, 0.0, w, h], device=self.device).expand(len(pixels_bchw), 4)
        if self.detector is None:
            return whole
        best = self.detector.best(pixels_bchw)
        return torch.where(best[:, 4:] > SURE, best[:, :4], whole)

    def window_heat(self, pixels_bchw: Tensor, frames_b4: Tensor) -> Tensor:
        """The network's own heat maps [b, joints, h, w] of the windows in these `frames`: Gaussians
        about each joint, 1 high where it is sure."""
        seen = window(pixels_bchw.float().to(self.device), frames_b4, self.window_size)
        experts = {}
        if self._experts > 1:  # 0 is COCO's
            experts["dataset_index"] = torch.zeros(len(seen), dtype=torch.long, device=self.device)
        heat: Tensor = self.module((seen - self._mean) / self._deviation, **experts).heatmaps
        return heat

    def heat(self, pixels_bchw: Tensor) -> Tensor:
        """Probability of each joint's cells, [b, 17, HEAT_CELLS, HEAT_CELLS], over the whole
        picture: the window's heat put back in its place, scaled so that a joint's cells sum to how
        sure it is there, as `joints_of` reads them; differentiable with respect to the pixels.
        `joints` is finer: it reads the window's own cells."""
        places = self._frames(pixels_bchw)
        heat = self.window_heat(pixels_bchw, places).clamp(0, 1)
        h, w = pixels_bchw.shape[-2:]
        spread = F.avg_pool2d(_put_back(heat, places, (h, w), 2 * HEAT_CELLS), 2)
        sure = heat.amax((2, 3), keepdim=True)
        return spread / spread.sum((2, 3), keepdim=True).clamp_min(1e-6) * sure

    @torch.no_grad()
    def joints(self, pixels_bchw: Tensor) -> Tensor:
        """See `Pose.joints`; how sure it is there is the height of the peak, as ViTPose says it."""
        places = self._frames(pixels_bchw)
        heat = self.window_heat(pixels_bchw, places)
        at, sure = dark(heat)
        steps = places.new_tensor([heat.shape[-1] - 1, heat.shape[-2] - 1])
        centre, sides = places[:, None, :2], places[:, None, 2:]
        at = at * sides / steps + centre - sides / 2
        return torch.cat([at, sure.clamp(0, 1)[..., None]], dim=-1)

    def _frames(self, pixels_bchw: Tensor) -> Tensor:
        h, w = self.window_size
        return frames(self.boxes(pixels_bchw), w / h)


def frames(boxes_b4: Tensor, aspect: float) -> Tensor:
    """Centre x, y, width and height [b, 4] of windows of that width by height around boxes (left,
    top, right, bottom), a quarter larger."""
    centre = (boxes_b4[:, :2] + boxes_b4[:, 2:]) / 2
    w, h = (boxes_b4[:, 2:] - boxes_b4[:, :2]).unbind(-1)
    w = torch.maximum(w, aspect * h)
    return torch.cat([centre, torch.stack([w, w / aspect], dim=-1) * ROOM], dim=-1)


def window(pixels_bchw: Tensor, frames_b4: Tensor, size: tuple[int, int]) -> Tensor:
    """[b, 3, *size] of pixels in [-1, 1] inside the `frames`, black beyond the picture; the first
    and last sample lie on the frame's sides. Differentiable with respect to the pixels."""
    h, w = pixels_bchw.shape[-2:]
    x, y = (
        frames_b4[:, k, None]
        + frames_b4[:, 2 + k, None] * torch.linspace(-0.5, 0.5, num, device=frames_b4.device)
        for k, num in ((0, size[1]), (1, size[0]))
    )
    return _sample((pixels_bchw + 1) / 2, (x + 0.5) / w, (y + 0.5) / h) * 2 - 1


def dark(heat_bjhw: Tensor) -> tuple[Tensor, Tensor]:
    """The peaks of heat maps: x, y in cells [b, j, 2], finer than a cell, and their heights [b, j].

    A step of Newton's from the highest cell on the logarithm of the blurred map, which is exact
    for a Gaussian; none where the map has no summit there, and never more than a cell.
    """
    h, w = heat_bjhw.shape[-2:]
    height, peak = heat_bjhw.flatten(2).max(-1)
    at = torch.stack([peak % w, peak // w], dim=-1)
    smooth = _blur(h, heat_bjhw) @ heat_bjhw @ _blur(w, heat_bjhw).T
    around = F.pad(smooth.clamp(LEAST, MOST).log(), (1, 1, 1, 1), mode="replicate").flatten(2)
    first = peak // w * (w + 2) + peak % w
    steps = torch.arange(3, device=peak.device)
    cells = first[..., None] + (steps[:, None] * (w + 2) + steps).flatten()
    near = around.gather(-1, cells).unflatten(-1, (3, 3))  # [b, j, y, x]
    up, mid, down = near.unbind(-2)
    slope_x, slope_y = (mid[..., 2] - mid[..., 0]) / 2, (down[..., 1] - up[..., 1]) / 2
    xx = mid[..., 2] - 2 * mid[..., 1] + mid[..., 0]
    yy = down[..., 1] - 2 * mid[..., 1] + up[..., 1]
    sides = mid[..., 2] + mid[..., 0] + down[..., 1] + up[..., 1]
    xy = (down[..., 2] + 2 * mid[..., 1] + up[..., 0] - sides) / 2
    det = xx * yy - xy * xy
    summit = (det > 1e-9) & (xx < 0)
    steep = torch.where(summit, det, 1.0)
    step = torch.stack([xy * slope_y - yy * slope_x, xy * slope_x - xx * slope_y], dim=-1)
    step = (step / steep[..., None]).clamp(-1, 1)
    return at + torch.where(summit[..., None], step, 0.0), height


def _blur(num: int, like: Tensor) -> Tensor:
    """[num, num] that blurs along one side, mirrored at its ends."""
    offsets = torch.arange(-REACH, REACH + 1, device=like.device)
    weights = torch.exp(-(offsets.to(like.dtype) ** 2) / (2 * BLUR**2))
    at = (torch.arange(num, device=like.device)[:, None] + offsets) % (2 * num)
    at = torch.where(at < num, at, 2 * num - 1 - at)
    matrix = torch.zeros(num, num, device=like.device, dtype=like.dtype)
    return matrix.scatter_add_(1, at, (weights / weights.sum()).expand(num, -1))


def _put_back(heat_bjhw: Tensor, frames_b4: Tensor, size: tuple[int, int], num: int) -> Tensor:
    """[b, j, num, num] over a picture of that height and width: zero outside the window."""
    rows, columns = heat_bjhw.shape[-2:]
    cells = (torch.arange(num, device=frames_b4.device) + 0.5) / num
    places = []
    for k, side, across in ((0, size[1], columns), (1, size[0], rows)):
        inside = (cells * side - 0.5 - frames_b4[:, k, None]) / frames_b4[:, 2 + k, None] + 0.5
        places.append((inside * (across - 1) + 0.5) / across)
    return _sample(heat_bjhw, *places)


def _sample(maps_bchw: Tensor, x_bw: Tensor, y_bh: Tensor) -> Tensor:
    """[b, c, h, w] at these shares of the sides, zero beyond them; bilinear."""
    w, h = x_bw.shape[1], y_bh.shape[1]
    grid = torch.stack(
        [x_bw[:, None, :].expand(-1, h, -1), y_bh[:, :, None].expand(-1, -1, w)], dim=-1
    )
    return F.grid_sample(
        maps_bchw, grid * 2 - 1, mode="bilinear", padding_mode="zeros", align_corners=False
    )
