"""Who is in the picture (role "identity"): a unit vector of the whole, and one of each part."""

from __future__ import annotations

import math
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from onbrand.errors import WeightsError
from onbrand.models.packs import Pack
from onbrand.models.perception.network import Classifier, architecture

__all__ = ["Embedder", "Identity", "IdentityEncoder", "as_map", "load_identity", "mean_identity"]

VISION_TOWERS = (
    "CLIPVisionModelWithProjection", "CLIPModel", "Dinov2Model", "Dinov2WithRegistersModel",
    "SiglipVisionModel", "SiglipModel",
)  # fmt: skip
MOST_OTHER_TOKENS = 5  # a class token, or one with four registers


class Identity(Protocol):
    """Unit vectors that are near where the same one is shown."""

    def embed(self, pixels_bchw: Tensor) -> Tensor:
        """[b, d] of pictures in [-1, 1]; differentiable with respect to the pixels."""
        ...

    def embed_part(self, pixels_bchw: Tensor, mask_bhw: Tensor) -> Tensor:
        """[b, d] of what lies under a soft mask in [0, 1]; zeros where it is empty."""
        ...


class Embedder(Classifier):
    """A classifier whose logits, normalised, say who is in the picture."""

    def embed(self, pixels_bchw: Tensor) -> Tensor:
        """Unit vectors [b, d]; differentiable with respect to the pixels."""
        return F.normalize(self.logits(pixels_bchw), dim=-1)


class IdentityEncoder(Embedder):
    """The training-side identity encoder."""

    role = "identity"

    def features(self, pixels_bchw: Tensor) -> list[Tensor]:
        """Feature maps [b, c_i, h_i, w_i], stem first, for a perceptual loss; differentiable. A
        transformer's tokens are laid out as the patches that they are of."""
        output = self.module.base_model(self.ready(pixels_bchw), output_hidden_states=True)
        return [as_map(state) for state in cast("tuple[Tensor, ...]", output.hidden_states)]

    def embed_part(self, pixels_bchw: Tensor, mask_bhw: Tensor) -> Tensor:
        """Unit vectors [b, d] of what lies under a soft mask in [0, 1], such as the ears that a
        parser found: the last map but one, averaged under it (masked pooling, arXiv 1810.09091).
        Zeros where the mask is empty. Differentiable."""
        maps = self.features(pixels_bchw)[-2]
        rows, columns = maps.shape[-2:]
        weights = F.adaptive_avg_pool2d(mask_bhw[:, None].float(), (rows, columns))
        pooled = (maps * weights).sum((2, 3)) / weights.sum((2, 3)).clamp_min(1e-6)
        return F.normalize(pooled, dim=-1)


def as_map(state: Tensor) -> Tensor:
    """[b, c, h, w] as it is; tokens [b, n, c] of a square of patches, what stands before them (a
    class token, registers) left out, as [b, c, √n, √n]. Raises WeightsError for other shapes."""
    if state.ndim == 4:
        return state
    num = state.shape[1] if state.ndim == 3 else 0
    side = math.isqrt(num)
    if side < 2 or num - side**2 > MOST_OTHER_TOKENS:
        raise WeightsError(
            f"the identity encoder's hidden states have the shape {tuple(state.shape)}, which is "
            "neither feature maps nor a square of patches: name another model for the role"
        )
    patches = state[:, num - side**2 :].transpose(1, 2)
    return patches.reshape(*patches.shape[:2], side, side)


@torch.no_grad()
def mean_identity(encoder: Identity | Embedder, pixels_bchw: Tensor) -> Tensor:
    """Who several pictures show, [d]: the mean of their vectors, a unit vector again."""
    return F.normalize(encoder.embed(pixels_bchw).float().mean(0), dim=0)


def load_identity(pack: Pack, *, device: str = "cpu") -> Identity:
    """The pack's identity encoder: an image classifier, or the vision tower of CLIP or DINOv2."""
    if architecture(pack, "identity") in VISION_TOWERS:
        from onbrand.models.perception.hub import TowerIdentity

        return TowerIdentity(pack, device=device)
    return IdentityEncoder(pack, device=device)
