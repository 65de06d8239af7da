"""Evaluation twins: encoders that only judging may use, when it measures for a report or a bench.

They differ from the training-side encoders in architecture, seed and augmentation. Curation,
training and generation may not import this module: what selects a checkpoint never grades it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from onbrand.errors import WeightsError
from onbrand.models.packs import Pack
from onbrand.models.perception import Classifier, Embedder

__all__ = ["AttributeReader", "IdentityTwin", "WorldReader"]


class IdentityTwin(Embedder):
    """The evaluation-only identity encoder."""

    role = "twin_identity"


class AttributeReader(Classifier):
    """Reads a picture's attributes: species, colour, pose, expression, …

    The labels are "attribute:value"; the logits of one attribute's values compete in a softmax of
    their own. `attributes` maps each attribute to its values in the order of the labels.
    """

    role = "attributes"

    def __init__(self, pack: Pack, *, device: str = "cpu") -> None:
        super().__init__(pack, device=device)
        self._columns: dict[str, list[int]] = {}
        values: dict[str, list[str]] = {}
        for index, label in sorted(self.module.config.id2label.items()):
            attribute, mark, value = str(label).partition(":")
            if not mark:
                raise WeightsError(
                    f"the role '{self.role}' of pack '{pack.name}' has a label '{label}'; "
                    "labels have the form attribute:value, such as species:fox."
                )
            self._columns.setdefault(attribute, []).append(int(index))
            values.setdefault(attribute, []).append(value)
        self.attributes = {name: tuple(found) for name, found in values.items()}

    @torch.no_grad()
    def probabilities(self, pixels_bchw: Tensor) -> list[dict[str, dict[str, float]]]:
        """Per picture: attribute -> value -> probability; each attribute's values sum to 1."""
        logits = self.logits(pixels_bchw)
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


class WorldReader(AttributeReader):
    """The same for products, garments, people and faults, which the first does not know."""

    role = "world_attributes"
