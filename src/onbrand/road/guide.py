"""What pictures are to follow besides words: a picture's edges, or a drawing made elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onbrand.errors import InputError
from onbrand.files import fingerprint_file

if TYPE_CHECKING:
    from PIL import Image

    from onbrand.models.packs import Pack

__all__ = ["Guide", "guide_from"]


@dataclass(frozen=True)
class Guide:
    """A drawing of the pictures' size and the ControlNet that reads it; `name` says which file it
    is of, by content, and what was made of it."""

    drawing: Image.Image
    controlnet: Any
    strength: float
    name: str

    def settings(self, num: int) -> dict[str, Any]:
        """What `generation.sample` takes to make `num` pictures follow it."""
        return {
            "controlnet": self.controlnet,
            "drawings": [self.drawing] * num,
            "control_strength": self.strength,
        }


def guide_from(
    pack: Pack,
    edges: str | Path | None,
    drawing: str | Path | None,
    strength: float | None,
    size_px: int | None = None,
) -> Guide | None:
    """A guide from a picture whose Canny edges are followed, or from a drawing (white edges or an
    OpenPose figure, on black) that is followed as it is, as strictly as `strength` says (None: 1);
    None without either. It is `size_px` square (None: as the base's pictures).

    Raises InputError for both at once, a strength below 0 or one without anything to follow,
    PictureError for a file that is no picture, PackError when the base has no ControlNet.
    """
    path = edges or drawing
    if path is None:
        if strength is not None:
            raise InputError(f"the strength is {strength}, but there are no edges and no drawing")
        return None
    if edges is not None and drawing is not None:
        raise InputError(f"edges={edges} and drawing={drawing}: one picture follows one of them")
    strength = 1.0 if strength is None else strength
    if not 0 <= strength < math.inf:
        raise InputError(f"the strength is {strength}; it is 0 (not followed) or more")
    from onbrand import generation, pixels
    from onbrand.models.control import load_controlnet

    controlnet = load_controlnet(pack)
    picture, side_px = pixels.read(Path(path)), size_px or pack.num_px
    if edges is not None:
        shown = generation.edge_drawing(pixels.fit(pixels.flatten(picture), side_px, None))
    else:  # white lines, on black wherever nothing is drawn
        shown = pixels.fit(pixels.flatten(picture, pixels.BLACK), side_px, pixels.BLACK)
    kind = "edges" if edges is not None else "drawing"
    return Guide(shown, controlnet, strength, f"{kind} {fingerprint_file(Path(path))} {strength:g}")
