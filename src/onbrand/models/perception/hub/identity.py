"""Who is in the picture, by the vision tower of a model that was trained on millions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from onbrand.models.packs import Pack
from onbrand.models.perception.hub.network import HubNetwork
from onbrand.models.perception.processor import CLIP, HALF, IMAGENET, normalisation, processor_size

__all__ = ["TowerIdentity"]

WHOLE = ("CLIPModel", "SiglipModel")  # of which only the vision tower is asked
STATISTICS = {"CLIP": CLIP, "Sigl": HALF, "Dino": IMAGENET}


class TowerIdentity(HubNetwork):
    """`Identity` by a CLIPVisionModelWithProjection, the vision tower of a CLIPModel, a
    SiglipVisionModel or the tower of a SiglipModel, or a Dinov2Model, with registers or without.

    A picture's vector is what the tower was trained to compare: CLIP's projection, SigLIP's pooled
    token, DINOv2's first token. A part's is the mean of the patches under it.
    """

    role = "identity"
    class_names = (
        "CLIPVisionModelWithProjection",
        "CLIPModel",
        "Dinov2Model",
        "Dinov2WithRegistersModel",
        "SiglipVisionModel",
        "SiglipModel",
    )
    statistics = CLIP

    def __init__(self, pack: Pack, *, device: str = "cpu") -> None:
        super().__init__(pack, device=device)
        folder = pack.role(self.role)
        self._mean, self._deviation = normalisation(folder, STATISTICS[self.kind[:4]], self.device)
        if self.kind.startswith("Dinov2"):
            # its config names the side of the last epochs; it is used with its processor's
            self.size_px = processor_size(folder) or self.default_px
        self._tower = self.module.vision_model if self.kind in WHOLE else self.module
        config = getattr(self.module.config, "vision_config", self.module.config)
        self.num_patches_across = self.size_px // int(config.patch_size)

    def embed(self, pixels_bchw: Tensor) -> Tensor:
        """See `Identity.embed`."""
        found = self._tower(pixel_values=self.ready(pixels_bchw))
        if self.kind == "CLIPVisionModelWithProjection":
            return F.normalize(found.image_embeds, dim=-1)
        pooled = found.pooler_output
        if self.kind == "CLIPModel":
            pooled = self.module.visual_projection(pooled)
        return F.normalize(pooled, dim=-1)

    def embed_part(self, pixels_bchw: Tensor, mask_bhw: Tensor) -> Tensor:
        """See `Identity.embed_part`; differentiable with respect to the pixels and the mask."""
        tokens = self._tower(pixel_values=self.ready(pixels_bchw)).last_hidden_state
        across = self.num_patches_across
        patches = tokens[:, -across * across :]  # before them stand the class token and registers
        mask = mask_bhw[:, None].float().to(self.device)
        weights = F.adaptive_avg_pool2d(mask, (across, across)).flatten(2)  # [b, 1, patches]
        pooled = (weights @ patches)[:, 0] / weights.sum(-1).clamp_min(1e-6)
        return F.normalize(pooled, dim=-1)
