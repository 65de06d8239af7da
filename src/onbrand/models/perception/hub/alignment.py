"""CLIP and SigLIP: how well a picture fits a text, by towers trained on millions of captions."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from onbrand.models.packs import Pack
from onbrand.models.perception.alignment import TwoTowers
from onbrand.models.perception.hub.network import HubNetwork, load_tokenizer
from onbrand.models.perception.processor import CLIP, HALF, normalisation

__all__ = ["ContrastiveAlignment"]


class ContrastiveAlignment(HubNetwork, TwoTowers):
    """`Alignment` by a CLIPModel or a SiglipModel with its tokenizer beside the weights.

    Texts are always padded to the longest that the text tower reads: SigLIP, which has no mask, was
    trained so, and CLIP looks at nothing behind the end of the text.
    """

    role = "alignment"
    class_names = ("CLIPModel", "SiglipModel")
    statistics = CLIP

    def __init__(self, pack: Pack, *, device: str = "cpu") -> None:
        super().__init__(pack, device=device)
        folder = pack.role(self.role)
        if self.kind == "SiglipModel":
            self._mean, self._deviation = normalisation(folder, HALF, self.device)
        self.tokenizer = load_tokenizer(folder)
        most = int(self.module.config.text_config.max_position_embeddings)
        self.max_tokens = min(most, int(self.tokenizer.model_max_length))

    def embed_pixels(self, pixels_bchw: Tensor) -> Tensor:
        """See `Alignment.embed_pixels`."""
        pooled = self.module.vision_model(pixel_values=self.ready(pixels_bchw)).pooler_output
        if self.kind == "CLIPModel":
            pooled = self.module.visual_projection(pooled)
        return F.normalize(pooled, dim=-1)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """See `Alignment.embed_texts`."""
        pooled = self.module.text_model(input_ids=self.tokens(texts)).pooler_output
        if self.kind == "CLIPModel":
            pooled = self.module.text_projection(pooled)
        return F.normalize(pooled, dim=-1)
