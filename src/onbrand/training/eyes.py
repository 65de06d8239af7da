"""What looks at decoded estimates in stage `detail`: frozen encoders, their targets kept.

The perceptual features are those of the base's own VAE encoder and of the pack's training identity
encoder. The evaluation twins are not reachable from here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from onbrand import pixels
from onbrand.training.cache import Examples, in_order, module_fingerprint, to_pixels
from onbrand.training.engine import generator
from onbrand.training.session import Session

if TYPE_CHECKING:
    from onbrand.models.diffusion import DiffusionModel
    from onbrand.models.perception import IdentityEncoder

__all__ = ["Eyes", "brand_reference", "open_eyes", "vae_features"]

TARGET_BYTES = 256 * 2**20  # targets kept in memory; older ones are made again when needed
SMALLEST_VIEW_FRACTION = 0.85
_VIEW = -5  # stream of random views


class Eyes:
    """Features and embeddings of decoded pictures [b, 3, h, w] in [-1, 1], with gradients.

    `reference` [d] is the brand's mean embedding over its training pictures, L2-normed.
    """

    def __init__(
        self,
        model: DiffusionModel,
        encoder: IdentityEncoder,
        examples: Examples,
        reference: Tensor,
    ) -> None:
        self._model = model
        self._encoder = encoder
        self._examples = examples
        self.reference = reference
        self._targets: OrderedDict[tuple[int, int], list[Tensor]] = OrderedDict()
        self._bytes = 0

    def features(self, pixels_bchw: Tensor) -> list[Tensor]:
        """Feature maps of the VAE's encoder, then of the identity encoder."""
        return vae_features(self._model.vae, pixels_bchw) + list(
            self._encoder.features(pixels_bchw)
        )

    @torch.no_grad()
    def targets(self, contents: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Features of the decoded (picture, variant)s: 0 is in reach, the VAE's own loss is not
        the adapter's to mend. Each is computed once and alone, kept in half precision."""
        rows = [self._target(content) for content in contents]
        return [torch.cat(layer).float() for layer in zip(*rows, strict=True)]

    def _target(self, content: tuple[int, int]) -> list[Tensor]:
        if content not in self._targets:
            picture, variant = content
            latents = self._examples.latents[picture][variant : variant + 1]
            made = [f.half() for f in self.features(self._model.decode(latents))]
            self._targets[content] = made
            self._bytes += sum(f.nbytes for f in made)
            while self._bytes > TARGET_BYTES and len(self._targets) > 1:
                _, old = self._targets.popitem(last=False)
                self._bytes -= sum(f.nbytes for f in old)
        return self._targets[content]

    def embeddings(self, pixels_bchw: Tensor, seed: int, step: int) -> list[Tensor]:
        """Identity embeddings [b, d] of two views, whole and cropped: what pleases the encoder in
        one framing only is not the subject."""
        height, width = pixels_bchw.shape[-2:]
        share, down, right = torch.rand(3, generator=generator(seed, step, _VIEW)).tolist()
        share = SMALLEST_VIEW_FRACTION + (1 - SMALLEST_VIEW_FRACTION) * share
        rows, columns = int(height * share), int(width * share)
        top, left = int((height - rows) * down), int((width - columns) * right)
        crop = pixels_bchw[..., top : top + rows, left : left + columns]
        crop = functional.interpolate(crop, (height, width), mode="bilinear", align_corners=False)
        return [self._encoder.embed(pixels_bchw), self._encoder.embed(crop)]


def vae_features(vae: Any, pixels_bchw: Tensor) -> list[Tensor]:
    """Outputs of the encoder's down blocks but the first, which says little and costs most."""
    encoder = vae.encoder
    hidden = encoder.conv_in(pixels_bchw)
    maps = []
    for block in encoder.down_blocks:
        hidden = block(hidden)
        maps.append(hidden)
    return maps[1:] or maps


def brand_reference(session: Session, encoder: IdentityEncoder) -> Tensor:
    """Mean identity embedding [d] of the training pictures, L2-normed; kept by content."""
    dataset = session.dataset
    assets = in_order(dataset)

    @torch.no_grad()
    def make() -> dict[str, Tensor]:
        rows = [
            encoder.embed(to_pixels([pixels.fit(dataset.open(a), session.size_px, None)]))[0]
            for a in assets
        ]
        return {"reference": functional.normalize(torch.stack(rows).mean(0), dim=0)}

    facts = {
        "pictures": [a.key for a in assets],
        "size_px": session.size_px,
        "encoder": module_fingerprint(encoder.module),
    }
    return session.store.tensors("identity_reference", facts, make)["reference"]


def open_eyes(session: Session, examples: Examples) -> Eyes:
    """The eyes of a session: its pack's training identity encoder, its base's VAE."""
    from onbrand.models.perception import IdentityEncoder

    encoder = IdentityEncoder(session.pack)
    return Eyes(session.model, encoder, examples, brand_reference(session, encoder))
