"""Segment Anything: a thing's mask from clicks, at any size of the picture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from onbrand.models.perception.hub.network import HubNetwork
from onbrand.models.perception.processor import IMAGENET

__all__ = ["SamClicks"]

NEVER = -1e4  # a logit whose sigmoid is 0


class SamClicks(HubNetwork):
    """`Clicks` by a SamModel: the best of its masks by its own estimate of their quality.

    A picture without any click has an empty mask.
    """

    role = "clicks"
    class_names = ("SamModel",)
    statistics = IMAGENET
    default_px = 1024

    def ready(self, pixels_bchw: Tensor) -> Tensor:
        """[b, 3, size, size]: the longest side resized, normalised, zeros below or to the right."""
        inner = self.inner_size(pixels_bchw)
        pixels = F.interpolate(
            pixels_bchw.float().to(self.device),
            inner,
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        pixels = (pixels - self._mean) / self._deviation
        return F.pad(pixels, (0, self.size_px - inner[1], 0, self.size_px - inner[0]))

    def inner_size(self, pixels_bchw: Tensor) -> tuple[int, int]:
        """Height and width of the picture inside the padded square."""
        h, w = pixels_bchw.shape[-2:]
        scale = self.size_px / max(h, w)
        return max(1, int(h * scale + 0.5)), max(1, int(w * scale + 0.5))

    @torch.no_grad()
    def mask(self, pixels_bchw: Tensor, points_bn2: Tensor, on_bn: Tensor) -> Tensor:
        """See `Clicks.mask`."""
        h, w = pixels_bchw.shape[-2:]
        inner = self.inner_size(pixels_bchw)
        scale = torch.tensor([inner[1] / w, inner[0] / h], device=self.device)
        points = (points_bn2.float().to(self.device) + 0.5) * scale - 0.5
        on = on_bn.to(self.device)
        seen = self.module.get_image_embeddings(self.ready(pixels_bchw))
        found = [self._best(seen[i : i + 1], points[i], on[i]) for i in range(len(seen))]
        whole = F.interpolate(
            torch.cat(found), (self.size_px, self.size_px), mode="bilinear", align_corners=False
        )
        whole = whole[..., : inner[0], : inner[1]]
        whole = F.interpolate(whole, (h, w), mode="bilinear", align_corners=False)
        return whole[:, 0].sigmoid()

    def _best(self, seen_1chw: Tensor, points_n2: Tensor, on_n: Tensor) -> Tensor:
        """Logits [1, 1, h, w] of one picture's best mask. Points that are none are left out instead
        of marked: SAM attends to each token, so marks would make a mask depend on the batch."""
        given = on_n >= 0
        if not bool(given.any()):
            return seen_1chw.new_full((1, 1, *self._mask_size()), NEVER)
        said = self.module(
            image_embeddings=seen_1chw,
            input_points=points_n2[given][None, None],
            input_labels=on_n[given][None, None].long(),
        )
        best = int(said.iou_scores[0, 0].argmax())
        masks: Tensor = said.pred_masks
        return masks[:, 0, best : best + 1]

    def _mask_size(self) -> tuple[int, int]:
        side = 4 * int(self.module.config.prompt_encoder_config.image_embedding_size)
        return side, side
