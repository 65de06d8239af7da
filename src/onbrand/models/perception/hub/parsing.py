"""Mask2Former as a parser: queries, each with a class and a mask, added up to shares."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from onbrand.models.perception.hub.network import HubNetwork
from onbrand.models.perception.parsing import names_of
from onbrand.models.perception.processor import IMAGENET

__all__ = ["QueryParser"]

FLOOR = 1e-8  # where no query sees anything all labels are equal


class QueryParser(HubNetwork):
    """`Parsing` by a Mask2FormerForUniversalSegmentation.

    A label's share of a pixel is the sum over the queries of the class's probability times the
    mask's, as in the library's post_process_semantic_segmentation, then normalised to sum to 1.
    """

    role = "parsing"
    class_names = ("Mask2FormerForUniversalSegmentation",)
    statistics = IMAGENET
    default_px = 384

    @property
    def labels(self) -> tuple[str, ...]:
        """See `Parsing.labels`."""
        return names_of(self.module.config.id2label)

    def shares(self, pixels_bchw: Tensor) -> Tensor:
        """See `Parsing.shares`."""
        found = self.module(pixel_values=self.ready(pixels_bchw))
        side = (self.size_px, self.size_px)
        masks = F.interpolate(
            found.masks_queries_logits, side, mode="bilinear", align_corners=False
        ).sigmoid()
        classes = found.class_queries_logits.softmax(-1)[..., :-1]  # the last one is "nothing"
        seen = torch.einsum("bqc,bqhw->bchw", classes, masks)
        whole = F.interpolate(seen, pixels_bchw.shape[-2:], mode="bilinear", align_corners=False)
        whole = whole + FLOOR
        return whole / whole.sum(1, keepdim=True)
