"""How well a picture fits a text (role "alignment"): the cosine of two towers, as CLIP's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch.nn.functional as F
from torch import Tensor

from onbrand.errors import WeightsError
from onbrand.models.packs import Pack
from onbrand.models.perception.network import Network, architecture
from onbrand.models.quiet import quiet_libraries

__all__ = ["Alignment", "AlignmentScorer", "TwoTowers", "load_alignment"]


class Alignment(Protocol):
    """Unit vectors of pictures and of texts in one space."""

    def embed_pixels(self, pixels_bchw: Tensor) -> Tensor:
        """Unit vectors [b, d] of pictures in [-1, 1]; differentiable."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors [b, d] of texts; each text alone decides its vector."""
        ...


class TwoTowers(Network, ABC):
    """What all dual encoders share: the tokenizer beside the weights."""

    def __init__(self, pack: Pack, *, device: str = "cpu") -> None:
        super().__init__(pack, device=device)
        kind = self.module.config.text_config.model_type
        self.is_clip = str(kind).startswith("clip")
        self.tokenizer = _tokenizer(pack.role(self.role), clip=self.is_clip)
        most = int(self.module.config.text_config.max_position_embeddings)
        self.max_tokens = min(most, int(self.tokenizer.model_max_length))

    def read(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """What the tokenizer makes of texts, cut and padded: input_ids [b, max_tokens] and, as a
        rule, an attention_mask of that shape."""
        found = self.tokenizer(
            list(texts),
            padding="max_length",
            max_length=self.max_tokens,
            truncation=True,
            return_tensors="pt",
        )
        return dict(found.to(self.device))

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """[b, max_tokens] of texts, cut and padded."""
        return self.read(texts)["input_ids"]

    @abstractmethod
    def embed_pixels(self, pixels_bchw: Tensor) -> Tensor:
        """See `Alignment.embed_pixels`."""

    @abstractmethod
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """See `Alignment.embed_texts`."""


class AlignmentScorer(TwoTowers):
    """`Alignment` by a VisionTextDualEncoderModel.

    Its texts are read by CLIP's tokenizer where their tower is CLIP's, which looks at nothing
    behind the end of a text; else by the one beside the weights, and what it pads with is masked.
    """

    role = "alignment"
    class_name = "VisionTextDualEncoderModel"

    def embed_pixels(self, pixels_bchw: Tensor) -> Tensor:
        """See `Alignment.embed_pixels`."""
        pooled = self.module.vision_model(pixel_values=self.ready(pixels_bchw)).pooler_output
        return F.normalize(self.module.visual_projection(pooled.flatten(1)), dim=-1)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """See `Alignment.embed_texts`."""
        told = self.read(texts)
        if self.is_clip:
            told = {"input_ids": told["input_ids"]}
        pooled = self.module.text_model(**told).pooler_output
        return F.normalize(self.module.text_projection(pooled), dim=-1)


def load_alignment(pack: Pack, *, device: str = "cpu") -> Alignment:
    """The pack's alignment scorer: a VisionTextDualEncoderModel, CLIP or SigLIP."""
    if architecture(pack, "alignment") in ("CLIPModel", "SiglipModel"):
        from onbrand.models.perception.hub import ContrastiveAlignment

        return ContrastiveAlignment(pack, device=device)
    return AlignmentScorer(pack, device=device)


def _tokenizer(folder: Path, *, clip: bool) -> Any:
    """The role's own tokenizer; for CLIP's texts else the one of the pack that the role's folder
    lies in."""
    if not clip:
        from onbrand.models.perception.hub.network import load_tokenizer

        return load_tokenizer(folder)
    with quiet_libraries():
        from transformers import CLIPTokenizer

        own = any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json"))
        places = [folder / "tokenizer", *([folder] if own else []), folder.parent / "tokenizer"]
        for place in places:
            if place.is_dir():
                return CLIPTokenizer.from_pretrained(place, local_files_only=True)
    raise WeightsError(f"no tokenizer for {folder}: neither {places[0]} nor {places[-1]} exists.")
