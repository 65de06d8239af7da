"""What must not be shown (role "safety"): a check of pictures. Of prompts: `Pack.refused_in`.

The built-in pack has none: a parser of drawn people cannot tell bare ones (docs/log.md), and what
photographs need only a checker knows that was trained on them.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from onbrand.errors import PackError
from onbrand.models.packs import Pack

__all__ = ["PictureCheck", "load_picture_check"]


class PictureCheck(Protocol):
    """Says why a picture is refused; it looks at squares of `size_px`."""

    size_px: int

    def refused(self, pixels_bchw: Tensor) -> list[str | None]:
        """Per picture in [-1, 1] the reason in words, or None where it may be shown."""
        ...


def load_picture_check(pack: Pack, *, device: str = "cpu") -> PictureCheck:
    """The pack's check: Stable Diffusion's safety checker. Raises PackError where it has none."""
    if "safety" not in pack.roles:
        raise PackError(
            f"pack '{pack.name}' has no model for the role 'safety', which checks pictures. Name "
            "Stable Diffusion's safety checker under [roles] in pack.toml."
        )
    from onbrand.models.perception.hub import ConceptCheck

    return ConceptCheck(pack, device=device)
