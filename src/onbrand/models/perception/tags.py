"""Which words are true of a picture (role "tagger")."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from onbrand.errors import WeightsError
from onbrand.models.packs import Pack
from onbrand.models.perception.network import Classifier, architecture

__all__ = ["NONE", "AttributeClassifier", "Tagger", "Tagging", "is_captioner", "load_tagger"]

NONE = "none"
CAPTIONER = "BlipForConditionalGeneration"


class Tagging(Protocol):
    """Words that are true of pictures."""

    def tags(self, pixels_bchw: Tensor) -> list[dict[str, float]]:
        """Per picture: word -> how sure, in (0, 1], the surest first. Pixels are in [-1, 1]."""
        ...


class AttributeClassifier(Classifier):
    """Reads a picture's attributes: species, colour, pose, expression, …

    The labels are "attribute:value"; the logits of one attribute's values compete in a softmax of
    their own. `attributes` maps each attribute to its values in the order of the labels, `columns`
    to where among the logits these are.
    """

    def __init__(self, pack: Pack, *, device: str = "cpu") -> None:
        super().__init__(pack, device=device)
        self.columns: dict[str, list[int]] = {}
        values: dict[str, list[str]] = {}
        for index, label in sorted(self.module.config.id2label.items()):
            attribute, mark, value = str(label).partition(":")
            if not mark:
                raise WeightsError(
                    f"the role '{self.role}' of pack '{pack.name}' has a label '{label}'; "
                    "labels have the form attribute:value, such as species:fox."
                )
            self.columns.setdefault(attribute, []).append(int(index))
            values.setdefault(attribute, []).append(value)
        self.attributes = {name: tuple(found) for name, found in values.items()}

    @torch.no_grad()
    def probabilities(self, pixels_bchw: Tensor) -> list[dict[str, dict[str, float]]]:
        """Per picture: attribute -> value -> probability; each attribute's values sum to 1."""
        logits = self.logits(pixels_bchw)
        tables: list[dict[str, dict[str, float]]] = [{} for _ in range(len(logits))]
        for attribute, columns in self.columns.items():
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


class Tagger(AttributeClassifier):
    """`Tagging` by attributes: a tag is "attribute:value" where that value is surer than all others
    together. A value "none" says that the picture has no such attribute."""

    role = "tagger"

    def tags(self, pixels_bchw: Tensor) -> list[dict[str, float]]:
        """See `Tagging.tags`."""
        found = []
        for table in self.probabilities(pixels_bchw):
            sure = {
                f"{attribute}:{value}": share
                for attribute, shares in table.items()
                for value, share in shares.items()
                if share > 0.5 and value != NONE
            }
            found.append(dict(sorted(sure.items(), key=lambda pair: -pair[1])))
        return found


def is_captioner(pack: Pack) -> bool:
    """Whether the pack's tagger writes captions, whose words name no attribute. Raises PackError
    when no pack has one."""
    return architecture(pack, "tagger") == CAPTIONER


def load_tagger(pack: Pack, *, device: str = "cpu") -> Tagging:
    """The pack's tagger: an attribute classifier, or BLIP, whose caption's words are the tags."""
    if is_captioner(pack):
        from onbrand.models.perception.hub import Captioner

        return Captioner(pack, device=device)
    return Tagger(pack, device=device)
