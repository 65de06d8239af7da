"""A pack's ControlNet (Zhang et al., arXiv 2302.05543): drawings that a picture must follow."""

from __future__ import annotations

from typing import Any, cast

import torch

from onbrand.errors import PackError, WeightsError
from onbrand.models.device import chosen_device
from onbrand.models.diffusion import Dtype, quiet_libraries
from onbrand.models.layout import said
from onbrand.models.packs import Pack

__all__ = ["load_controlnet"]


def load_controlnet(pack: Pack, *, dtype: Dtype = "float32", device: str | None = None) -> Any:
    """The ControlNetModel of the pack's role `controlnet`, frozen, in eval mode, where bases lie.

    A ControlNet fits its own base only, so no other pack's takes its place. Raises PackError when
    the pack has none, WeightsError when its files are damaged.
    """
    if "controlnet" not in pack.roles:
        raise PackError(
            f"pack '{pack.name}' has no ControlNet. Put one into {pack.root} and name it "
            'under [roles] in pack.toml: controlnet = "FOLDER".'
        )
    folder = pack.role("controlnet")
    with quiet_libraries():
        from diffusers import ControlNetModel

        try:
            net = ControlNetModel.from_pretrained(
                folder, torch_dtype=cast(torch.dtype, getattr(torch, dtype)), use_safetensors=True,
                local_files_only=True,
            )  # fmt: skip
        except (ImportError, MemoryError):
            raise
        except Exception as error:  # each library has its own classes for a damaged file
            raise WeightsError(
                f"the ControlNet of pack '{pack.name}' in {folder} cannot be loaded: {said(error)}"
            ) from error
    net.requires_grad_(False)
    return net.to(device or chosen_device()).eval()
