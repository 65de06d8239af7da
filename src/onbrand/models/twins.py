"""Evaluation twins: encoders that only judging may use, when it measures for a report or a bench.

They differ from the training-side encoders in architecture, seed and augmentation. Curation,
training and generation may not import this module: what selects a checkpoint never grades it.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from onbrand.errors import WeightsError
from onbrand.models.packs import Pack
from onbrand.models.perception import image_size, load_role, resize

__all__ = ["AttributeReader", "IdentityTwin"]


class IdentityTwin:
    """The evaluation-only identity encoder (role "twin_identity").

    `module` is a ConvNextV2ForImageClassification whose logits, normalised, are the embedding.
    """

    def __init__(self, pack: Pack, *, device: str = "cpu") -> None:
        self.module = load_role(pack, "twin_identity", "ConvNextV2ForImageClassification", device)
        self.size_px = image_size(self.module.config)
        self.device = torch.device(device)

    def embed(self, pixels_bchw: Tensor) -> Tensor:
        """Unit vectors [b, d] of pixels in [-1, 1] of any size."""
        logits = self.module(resize(pixels_bchw.to(self.device), self.size_px)).logits
        return F.normalize(cast(Tensor, logits), dim=-1)


class AttributeReader:
    """Reads a picture's attributes (role "attributes"): species, colour, pose, expression, …

    `module` is a ResNetForImageClassification whose labels are "attribute:value"; the logits of
    one attribute's values compete in a softmax of their own. `attributes` maps each attribute to
    its values in the order of the labels.
    """

    def __init__(self, pack: Pack, *, device: str = "cpu") -> None:
        self.module = load_role(pack, "attributes", "ResNetForImageClassification", device)
        self.size_px = image_size(self.module.config)
        self.device = torch.device(device)
        self._columns: dict[str, list[int]] = {}
        values: dict[str, list[str]] = {}
        for index, label in sorted(self.module.config.id2label.items()):
            attribute, mark, value = str(label).partition(":")
            if not mark:
                raise WeightsError(
                    f"the role 'attributes' of pack '{pack.name}' has a label '{label}'; "
                    "labels have the form attribute:value, such as species:fox."
                )
            self._columns.setdefault(attribute, []).append(int(index))
            values.setdefault(attribute, []).append(value)
        self.attributes = {name: tuple(found) for name, found in values.items()}

    @torch.no_grad()
    def probabilities(self, pixels_bchw: Tensor) -> list[dict[str, dict[str, float]]]:
        """Per picture: attribute -> value -> probability; each attribute's values sum to 1."""
        logits = self.module(resize(pixels_bchw.to(self.device), self.size_px)).logits
        tables: list[dict[str, dict[str, float]]] = [{} for _ in range(len(logits))]
        for attribute, columns in self._columns.items():
            shares = logits[:, columns].softmax(-1).tolist()
            for table, row in zip(tables, shares, strict=True):
                table[attribute] = dict(zip(self.attributes[attribute], row, strict=True))
        return tables

    def read(self, pixels_bchw: Tensor) -> list[dict[str, str]]:
        """Per picture: attribute -> its most probable value."""
        return [
            {name: max(shares, key=shares.__getitem__) for name, shares in table.items()}
            for table in self.probabilities(pixels_bchw)
        ]
