"""What the hub's networks share: their class, their processor's defaults and their tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch

from onbrand.errors import WeightsError
from onbrand.models.layout import said
from onbrand.models.packs import Pack
from onbrand.models.perception.network import Network, architecture, image_size, load_role
from onbrand.models.perception.processor import blue_first, normalisation, processor_size
from onbrand.models.quiet import quiet_libraries

__all__ = ["HubNetwork", "load_tokenizer"]

TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")


class HubNetwork(Network):
    """A role's network of one of `class_names`, whose pixels are made ready as its processor does.

    `size_px` is the side that the config names, else the processor's, else `default_px`; the whole
    picture is resized to that square. Raises WeightsError when it is another kind of model.
    """

    class_names: ClassVar[tuple[str, ...]]
    default_px: ClassVar[int] = 224

    def __init__(self, pack: Pack, *, device: str = "cpu") -> None:
        # Network's own would ask for one fixed class and know no processor's defaults
        kind = architecture(pack, self.role)
        self.kind = kind if kind in self.class_names else self.class_names[0]
        self.module: Any = load_role(pack, self.role, self.kind, device)
        folder = pack.role(self.role)
        config = getattr(self.module.config, "vision_config", self.module.config)
        told = image_size(config) if hasattr(config, "image_size") else processor_size(folder)
        self.size_px = told or self.default_px
        self.device = torch.device(device)
        self._mean, self._deviation = normalisation(folder, self.statistics, self.device)
        self._blue_first = blue_first(folder)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in a role's folder or in its subfolder `tokenizer`.

    Raises WeightsError when there is none, or when it cannot be loaded.
    """
    for place in (folder / "tokenizer", folder):
        if any((place / name).is_file() for name in TOKENIZER_FILES):
            break
    else:
        raise WeightsError(
            f"no tokenizer for {folder}: neither it nor {folder / 'tokenizer'} holds one of "
            f"{', '.join(TOKENIZER_FILES)}. Save the model's tokenizer beside its weights."
        )
    with quiet_libraries():
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(place, local_files_only=True)
        except Exception as error:  # each library has its own classes for a damaged file
            raise WeightsError(
                f"the tokenizer in {place} cannot be loaded: {said(error)}"
            ) from error
