"""A pack's ControlNet (Zhang et al., arXiv 2302.05543): drawings that a picture must follow."""

from __future__ import annotations

from typing import Any, cast

import torch

from onbrand.errors import PackError, WeightsError
from onbrand.models.device import chosen_device
from onbrand.models.diffusion import Dtype, usual_dtype
from onbrand.models.layout import said, weights_variant
from onbrand.models.packs import Pack
from onbrand.models.quiet import quiet_libraries

__all__ = ["load_controlnet"]


def load_controlnet(pack: Pack, *, dtype: Dtype | None = None, device: str | None = None) -> Any:
    """The ControlNetModel of the pack's role `controlnet`, frozen, in eval mode, where and in the
    precision in which bases lie.

    A ControlNet fits its own base only, so no other pack's takes its place. Raises PackError when
    the pack has none, WeightsError when its files are damaged.
    """
    if "controlnet" not in pack.roles:
        place = str(pack.root)
        if "/" in pack.name:  # a hub id, whose folder is the hub's cache
            place = f"a copy of the base (cp -rL {pack.root} FOLDER, with FOLDER as base)"
        raise PackError(
            f"pack '{pack.name}' has no ControlNet. Put one into {place} and name it "
            'under [roles] in pack.toml: controlnet = "NAME".'
        )
    folder, device = pack.role("controlnet"), device or chosen_device()
    precision = cast(torch.dtype, getattr(torch, dtype or usual_dtype(device)))
    with quiet_libraries():
        from diffusers import ControlNetModel

        try:
            net = ControlNetModel.from_pretrained(
                folder, torch_dtype=precision, variant=weights_variant(folder),
                use_safetensors=True, local_files_only=True,
            )  # fmt: skip
        except (ImportError, MemoryError):
            raise
        except Exception as error:  # each library has its own classes for a damaged file
            raise WeightsError(
                f"the ControlNet of pack '{pack.name}' in {folder} cannot be loaded: {said(error)}"
            ) from error
    net.requires_grad_(False)
    return net.to(device).eval()
