"""The mask of a thing from clicks on it, and beside it where too much was taken (role "clicks")."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from onbrand.errors import WeightsError
from onbrand.models.packs import Pack
from onbrand.models.perception.network import Network, architecture, resize

__all__ = ["SPOT", "ClickSegmenter", "Clicks", "load_clicks", "spots"]

SPOT = 0.025  # deviation of a click's Gaussian, share of the picture's side


class Clicks(Protocol):
    """Masks from clicks."""

    def mask(self, pixels_bchw: Tensor, points_bn2: Tensor, on_bn: Tensor) -> Tensor:
        """How sure it is that a pixel belongs to what was clicked, [b, h, w] in [0, 1].

        Points are x, y in pixels of the pictures (in [-1, 1]); `on` is 1 for a click on the thing,
        0 for one beside it, -1 for none (so that pictures may have different numbers of clicks).
        """
        ...


def spots(points_bn2: Tensor, on_bn: Tensor, size: tuple[int, int], size_px: int) -> Tensor:
    """Clicks as two maps [b, 2, size_px, size_px]: those on the thing, those beside it; Gaussians
    of height 1 about points given in pixels of pictures of that (height, width)."""
    h, w = size
    at = (torch.arange(size_px, device=points_bn2.device) + 0.5) / size_px
    x, y = ((points_bn2[..., k] + 0.5) / side for k, side in ((0, w), (1, h)))
    across = torch.exp(-((at - x[..., None]) ** 2) / (2 * SPOT**2))
    down = torch.exp(-((at - y[..., None]) ** 2) / (2 * SPOT**2))
    maps = down[..., :, None] * across[..., None, :]  # [b, n, size, size]
    kinds = [(maps * (on_bn == kind)[..., None, None]).amax(1) for kind in (1, 0)]
    return torch.stack(kinds, dim=1)


class ClickSegmenter(Network):
    """`Clicks` by a segmenter of one label over five channels: the picture's three and `spots`."""

    role = "clicks"
    class_name = "AutoModelForSemanticSegmentation"

    def __init__(self, pack: Pack, *, device: str = "cpu") -> None:
        super().__init__(pack, device=device)
        body = getattr(self.module.config, "backbone_config", self.module.config)
        if int(getattr(body, "num_channels", 3)) != 5:
            raise WeightsError(
                f"the role 'clicks' of pack '{pack.name}' reads {body.num_channels} channels; a "
                "click segmenter reads 5: red, green, blue, clicks on the thing, clicks beside it."
            )

    def mask(self, pixels_bchw: Tensor, points_bn2: Tensor, on_bn: Tensor) -> Tensor:
        """See `Clicks.mask`."""
        size = (pixels_bchw.shape[-2], pixels_bchw.shape[-1])
        points, on = points_bn2.to(self.device), on_bn.to(self.device)
        marks = spots(points.float(), on, size, self.size_px)
        pixels = resize(pixels_bchw.to(self.device), self.size_px)
        logits = self.module(torch.cat([pixels, marks], dim=1)).logits
        whole = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        return whole[:, 0].sigmoid()


def load_clicks(pack: Pack, *, device: str = "cpu") -> Clicks:
    """The pack's click segmenter: five channels, or SAM."""
    if architecture(pack, "clicks") == "SamModel":
        from onbrand.models.perception.hub import SamClicks

        return SamClicks(pack, device=device)
    return ClickSegmenter(pack, device=device)
