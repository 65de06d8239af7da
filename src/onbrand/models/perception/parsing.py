"""Which part of what each pixel is (role "parsing"): garments by kind, skin, hair, ears, marks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch.nn.functional as F
from torch import Tensor

from onbrand.errors import PackError, instead
from onbrand.models.layout import read_json
from onbrand.models.packs import Pack
from onbrand.models.perception.network import Network, architecture

__all__ = ["Parser", "Parsing", "load_parsing", "mask_of", "names_of", "parsed_parts"]


class Parsing(Protocol):
    """The shares of each label in each pixel."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the parts in lower case, in the order of the shares' channels."""
        ...

    def shares(self, pixels_bchw: Tensor) -> Tensor:
        """[b, labels, h, w], summing to 1 over the labels, at the size of what was passed;
        differentiable with respect to the pixels [b, 3, h, w] in [-1, 1]."""
        ...


def mask_of(parsing: Parsing, pixels_bchw: Tensor, names: Iterable[str]) -> Tensor:
    """How sure it is that a pixel belongs to one of the named parts, [b, h, w] in [0, 1].

    Raises PackError when the parser knows none of that name.
    """
    known = {name: i for i, name in enumerate(parsing.labels)}
    for name in (wanted := list(names)):
        if name not in known:
            raise PackError(f"the parser knows no part '{name}': {instead(name, known)}")
    return parsing.shares(pixels_bchw)[:, [known[name] for name in wanted]].sum(1)


def names_of(id2label: Mapping[Any, str]) -> tuple[str, ...]:
    """A config's labels by number, in lower case: hub models write them either way."""
    named = sorted((int(number), str(name)) for number, name in id2label.items())
    return tuple(name.lower() for _, name in named)


def parsed_parts(pack: Pack) -> tuple[str, ...]:
    """The labels of the pack's parser, read from its config alone. Raises PackError when no pack
    has one."""
    told = read_json(pack.role("parsing") / "config.json").get("id2label")
    return names_of(told) if isinstance(told, dict) else ()


class Parser(Network):
    """`Parsing` by any semantic segmenter of transformers: UperNet, SegFormer, MobileViT."""

    role = "parsing"
    class_name = "AutoModelForSemanticSegmentation"

    @property
    def labels(self) -> tuple[str, ...]:
        """See `Parsing.labels`."""
        return names_of(self.module.config.id2label)

    def shares(self, pixels_bchw: Tensor) -> Tensor:
        """See `Parsing.shares`."""
        logits = self.module(self.ready(pixels_bchw)).logits
        size = pixels_bchw.shape[-2:]
        return F.interpolate(logits, size, mode="bilinear", align_corners=False).softmax(1)


def load_parsing(pack: Pack, *, device: str = "cpu") -> Parsing:
    """The pack's parser: a semantic segmenter, or Mask2Former."""
    if architecture(pack, "parsing") == "Mask2FormerForUniversalSegmentation":
        from onbrand.models.perception.hub import QueryParser

        return QueryParser(pack, device=device)
    return Parser(pack, device=device)
