"""Stable Diffusion's own safety checker: how near a picture is to concepts it must not show."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from onbrand.errors import WeightsError
from onbrand.models.layout import said
from onbrand.models.packs import Pack
from onbrand.models.perception.network import architecture, image_size, resize
from onbrand.models.perception.processor import CLIP, normalisation
from onbrand.models.quiet import quiet_libraries

__all__ = ["REASON", "ConceptCheck"]

REASON = "Stable Diffusion's safety checker finds it near to what must not be shown"
CLASS_NAME = "StableDiffusionSafetyChecker"


class ConceptCheck:
    """`PictureCheck` by diffusers' StableDiffusionSafetyChecker.

    Raises WeightsError when the role is another kind of model or its files are damaged or lack
    weights.
    """

    role = "safety"

    def __init__(self, pack: Pack, *, device: str = "cpu") -> None:
        folder = pack.role(self.role)
        kind = architecture(pack, self.role)
        if kind and kind != CLASS_NAME:
            raise WeightsError(
                f"the role '{self.role}' in {folder} is a {kind}; {CLASS_NAME} is needed."
            )
        with quiet_libraries():
            from diffusers.pipelines.stable_diffusion.safety_checker import (
                StableDiffusionSafetyChecker,
            )

            try:
                module, told = StableDiffusionSafetyChecker.from_pretrained(
                    folder,
                    dtype=torch.float32,
                    use_safetensors=True,
                    local_files_only=True,
                    output_loading_info=True,
                )
            except Exception as error:  # each library has its own classes for a damaged file
                raise WeightsError(
                    f"the role '{self.role}' in {folder} cannot be loaded: {said(error)}"
                ) from error
        if missing := sorted(told["missing_keys"]):
            # the library would draw them at random, and such a check passes everything
            raise WeightsError(
                f"the role '{self.role}' in {folder} lacks {len(missing)} tensors of a "
                f"{CLASS_NAME}, {missing[0]} among them. Fetch it again."
            )
        self.module: Any = module.to(device).requires_grad_(False).eval()
        self.size_px = image_size(self.module.config)
        self.device = torch.device(device)
        self._mean, self._deviation = normalisation(folder, CLIP, self.device)

    @torch.no_grad()
    def refused(self, pixels_bchw: Tensor) -> list[str | None]:
        """See `PictureCheck.refused`."""
        pixels = resize(pixels_bchw.to(self.device), self.size_px)
        ready = (pixels - self._mean) / self._deviation
        # the checker blackens what it refuses in the pictures it is given: it gets stand-ins
        blank = torch.zeros(len(ready), 1)
        with quiet_libraries():
            _, near = self.module(clip_input=ready, images=blank)
        return [REASON if found else None for found in near]
