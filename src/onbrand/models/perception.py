"""Encoders that training and judging share: identity embeddings and text-image alignment.

All take pixels [b, 3, h, w] in [-1, 1] of any size and resize them (antialiased bilinear) to the
`image_size` of their config; no other normalisation. They run in float32 and in eval mode, so a
result does not depend on what else is in the batch. The evaluation twins live in `twins`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from onbrand.errors import WeightsError
from onbrand.models.diffusion import quiet_libraries
from onbrand.models.layout import said
from onbrand.models.packs import Pack

__all__ = [
    "AlignmentScorer",
    "Classifier",
    "Embedder",
    "IdentityEncoder",
    "image_size",
    "load_role",
    "resize",
]

CLASSIFIER = "AutoModelForImageClassification"
DEFAULT_SIZE_PX = 128


def load_role(pack: Pack, role: str, class_name: str, device: str = "cpu") -> Any:
    """The transformers model of a role, float32, frozen, eval mode. `class_name` is its class, or
    an Auto class, which takes all classes of its task.

    Raises PackError when no pack has the role, WeightsError when it is another kind of model or
    its files are damaged.
    """
    folder = pack.role(role)
    with quiet_libraries():
        import transformers

        wanted = getattr(transformers, class_name)
        try:
            kinds = transformers.AutoConfig.from_pretrained(
                folder, local_files_only=True
            ).architectures
            module = None
            task = class_name.removeprefix("AutoModel")
            if not kinds or any(kind.endswith(task) for kind in kinds):
                module = wanted.from_pretrained(
                    folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
                )
        except Exception as error:  # each library has its own classes for a damaged file
            raise WeightsError(
                f"the role '{role}' in {folder} cannot be loaded: {said(error)}"
            ) from error
    if module is None:
        raise WeightsError(
            f"the role '{role}' in {folder} is a {kinds[0]}; {class_name} is needed."
        )
    return module.to(device).requires_grad_(False).eval()


def image_size(config: Any) -> int:
    """Side in pixels that a model's config asks for (its vision part's in a dual encoder)."""
    size = getattr(getattr(config, "vision_config", config), "image_size", DEFAULT_SIZE_PX)
    return int(size[0] if isinstance(size, list | tuple) else size)


def resize(pixels_bchw: Tensor, size_px: int) -> Tensor:
    """Float32 pixels [b, 3, size, size]: antialiased bilinear, differentiable."""
    pixels = pixels_bchw.float()
    if pixels.shape[-2:] == (size_px, size_px):
        return pixels
    return F.interpolate(
        pixels, (size_px, size_px), mode="bilinear", align_corners=False, antialias=True
    )


class Classifier:
    """A role's image classifier, of any architecture that transformers knows: pixels of any size
    in, logits out. `module` is the network."""

    role: ClassVar[str]

    def __init__(self, pack: Pack, *, device: str = "cpu") -> None:
        self.module = load_role(pack, self.role, CLASSIFIER, device)
        self.size_px = image_size(self.module.config)
        self.device = torch.device(device)

    def logits(self, pixels_bchw: Tensor) -> Tensor:
        """[b, labels] of pixels in [-1, 1]; differentiable with respect to them."""
        pixels = resize(pixels_bchw.to(self.device), self.size_px)
        return cast(Tensor, self.module(pixels).logits)


class Embedder(Classifier):
    """A classifier whose logits, normalised, say who is in the picture."""

    def embed(self, pixels_bchw: Tensor) -> Tensor:
        """Unit vectors [b, d]; differentiable with respect to the pixels."""
        return F.normalize(self.logits(pixels_bchw), dim=-1)


class IdentityEncoder(Embedder):
    """The training-side identity encoder."""

    role = "identity"

    def features(self, pixels_bchw: Tensor) -> list[Tensor]:
        """Feature maps [b, c_i, h_i, w_i], stem first, for a perceptual loss; differentiable."""
        pixels = resize(pixels_bchw.to(self.device), self.size_px)
        output = self.module.base_model(pixels, output_hidden_states=True)
        return list(cast("tuple[Tensor, ...]", output.hidden_states))


class AlignmentScorer:
    """How well a picture fits a text (role "alignment"): a dual encoder's cosine, as CLIP's."""

    def __init__(self, pack: Pack, *, device: str = "cpu") -> None:
        self.module = load_role(pack, "alignment", "VisionTextDualEncoderModel", device)
        self.tokenizer = _tokenizer_beside(pack.role("alignment"))
        self.size_px = image_size(self.module.config)
        self.device = torch.device(device)
        most = int(self.module.config.text_config.max_position_embeddings)
        self.max_tokens = min(most, int(self.tokenizer.model_max_length))

    def embed_pixels(self, pixels_bchw: Tensor) -> Tensor:
        """Unit vectors [b, d] of pictures; differentiable."""
        pixels = resize(pixels_bchw.to(self.device), self.size_px)
        pooled = self.module.vision_model(pixel_values=pixels).pooler_output
        return F.normalize(self.module.visual_projection(pooled), dim=-1)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors [b, d] of texts; each text alone decides its vector."""
        tokens = self.tokenizer(
            list(texts),
            padding="max_length",
            max_length=self.max_tokens,
            truncation=True,
            return_tensors="pt",
        )
        pooled = self.module.text_model(input_ids=tokens.input_ids.to(self.device)).pooler_output
        return F.normalize(self.module.text_projection(pooled), dim=-1)

    def score(self, pixels_bchw: Tensor, texts: Sequence[str]) -> Tensor:
        """Cosine [b] in [-1, 1] between picture i and text i. ValueError when the counts differ."""
        if len(pixels_bchw) != len(texts):
            raise ValueError(f"{len(pixels_bchw)} pictures but {len(texts)} texts")
        return (self.embed_pixels(pixels_bchw) * self.embed_texts(texts)).sum(-1)


def _tokenizer_beside(folder: Path) -> Any:
    """The role's own tokenizer, or the one of the pack that the role's folder lies in."""
    with quiet_libraries():
        from transformers import CLIPTokenizer

        own = any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json"))
        places = [folder / "tokenizer", *([folder] if own else []), folder.parent / "tokenizer"]
        for place in places:
            if place.is_dir():
                return CLIPTokenizer.from_pretrained(place, local_files_only=True)
    raise WeightsError(f"no tokenizer for {folder}: neither {places[0]} nor {places[-1]} exists.")
