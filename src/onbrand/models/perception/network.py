"""What all eyes share: a role's frozen network, and pixels made ready for it.

All take pixels [b, 3, h, w] in [-1, 1] of any size and resize them (antialiased bilinear) to the
side that a `preprocessor_config.json` beside the weights tells, as hub models have one, else to the
`image_size` of the network's config; it tells mean, deviation and the order of colours, too:
without one pixels stay as they are.
Everything runs in float32 and in eval mode, so a result does not depend on what else is in the
batch, and is differentiable with respect to the pixels.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from onbrand.errors import WeightsError
from onbrand.models.layout import read_json, said
from onbrand.models.packs import Pack
from onbrand.models.perception.processor import (
    HALF,
    Statistics,
    blue_first,
    normalisation,
    processor_size,
)
from onbrand.models.quiet import quiet_libraries

__all__ = [
    "Classifier",
    "Network",
    "architecture",
    "image_size",
    "load_role",
    "resize",
]

DEFAULT_SIZE_PX = 128


def architecture(pack: Pack, role: str) -> str:
    """The class that the role's config.json names first, such as SamModel; "" where it names none.

    Raises PackError when no pack has the role.
    """
    named = read_json(pack.role(role) / "config.json").get("architectures")
    return str(named[0]) if isinstance(named, list) and named else ""


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
            module, missing = None, []
            task = class_name.removeprefix("AutoModel")
            if not kinds or any(kind.endswith(task) for kind in kinds):
                module, told = wanted.from_pretrained(
                    folder,
                    dtype=torch.float32,
                    use_safetensors=True,
                    local_files_only=True,
                    output_loading_info=True,
                )
                missing = sorted(told["missing_keys"])
        except Exception as error:  # each library has its own classes for a damaged file
            raise WeightsError(
                f"the role '{role}' in {folder} cannot be loaded: {said(error)}"
            ) from error
    if module is None:
        raise WeightsError(
            f"the role '{role}' in {folder} is a {kinds[0]}; {class_name} is needed."
        )
    if missing:  # they would be random
        raise WeightsError(
            f"the role '{role}' in {folder} lacks weights: {', '.join(missing[:5])}"
            f"{', …' if len(missing) > 5 else ''}. Save the whole {type(module).__name__}."
        )
    # convolutions run faster so on processors, too: 1.1 to 1.8 times on each of the pocket pack's
    laid_out = module.to(device, memory_format=torch.channels_last)
    return laid_out.requires_grad_(False).eval()


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


class Network:
    """A role's network (`module`), frozen, and how pixels are made ready for it.

    `statistics` hold where no processor lies beside the weights.
    """

    role: ClassVar[str]
    class_name: ClassVar[str]
    statistics: ClassVar[Statistics] = HALF

    def __init__(self, pack: Pack, *, device: str = "cpu") -> None:
        self.module: Any = load_role(pack, self.role, self.class_name, device)
        folder = pack.role(self.role)
        self.size_px = processor_size(folder) or image_size(self.module.config)
        self.device = torch.device(device)
        self._mean, self._deviation = normalisation(folder, self.statistics, self.device)
        self._blue_first = blue_first(folder)

    def ready(self, pixels_bchw: Tensor) -> Tensor:
        """[b, 3, size, size] as the network was trained to see them; differentiable."""
        pixels = resize(pixels_bchw.to(self.device), self.size_px)
        ready = (pixels - self._mean) / self._deviation
        return ready.flip(1) if self._blue_first else ready


class Classifier(Network):
    """A role's image classifier, of any architecture that transformers knows."""

    class_name = "AutoModelForImageClassification"

    def logits(self, pixels_bchw: Tensor) -> Tensor:
        """[b, labels] of pixels in [-1, 1]; differentiable with respect to them."""
        return cast(Tensor, self.module(self.ready(pixels_bchw)).logits)
