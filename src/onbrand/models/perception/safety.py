"""What must not be shown (role "safety"): a check of pictures. Of prompts: `Pack.refused_in`.

A pack without the role looks through its parser: a person whose visible body is nearly all skin is
undressed. That is all it can know; photographs want a hub checker.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from onbrand.models.packs import Pack
from onbrand.models.perception.parsing import Parsing, load_parsing

__all__ = ["BareSkin", "PictureCheck", "load_picture_check"]

GARMENTS = (
    "dress", "shirt", "t-shirt", "sweater", "skirt", "trousers", "coat",
)  # fmt: skip
MOST_SKIN = 0.9  # of skin and garments together; the barest dressed figure drawn has 0.7
SEEN = 0.01  # of the picture: less skin than that is nobody


class PictureCheck(Protocol):
    """Says why a picture is refused."""

    def refused(self, pixels_bchw: Tensor) -> list[str | None]:
        """Per picture in [-1, 1] the reason in words, or None where it may be shown."""
        ...


class BareSkin:
    """`PictureCheck` by a parser that knows skin and garments; any other refuses nothing."""

    def __init__(self, parsing: Parsing) -> None:
        self.parsing = parsing
        known = parsing.labels
        self._skin = [i for i, name in enumerate(known) if name == "skin"]
        self._worn = [i for i, name in enumerate(known) if name in GARMENTS]

    @torch.no_grad()
    def skin(self, pixels_bchw: Tensor) -> tuple[Tensor, Tensor]:
        """Skin's share of skin and garments, and of the whole picture, [b] each."""
        shares = self.parsing.shares(pixels_bchw)
        skin, worn = (
            shares[:, columns].sum(1).mean((1, 2)) for columns in (self._skin, self._worn)
        )
        return skin / (skin + worn).clamp_min(1e-6), skin

    def refused(self, pixels_bchw: Tensor) -> list[str | None]:
        """See `PictureCheck.refused`."""
        if not (self._skin and self._worn):
            return [None] * len(pixels_bchw)
        bare, seen = self.skin(pixels_bchw)
        return [
            f"a person without clothes ({share:.0%} of the body is skin)"
            if share > MOST_SKIN and much > SEEN
            else None
            for share, much in zip(bare.tolist(), seen.tolist(), strict=True)
        ]


def load_picture_check(pack: Pack, *, device: str = "cpu") -> PictureCheck:
    """The pack's check: Stable Diffusion's safety checker where it has the role "safety", else what
    its parser knows."""
    if "safety" in pack.roles:
        from onbrand.models.perception.hub import ConceptCheck

        return ConceptCheck(pack, device=device)
    return BareSkin(load_parsing(pack, device=device))
