"""Whom pictures are to show besides words: identities made from pictures, each in its region."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onbrand.artifacts.identity import VECTORS, Identity
from onbrand.errors import InputError
from onbrand.events import Listener, Warned
from onbrand.files import fingerprint_file

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from onbrand.brief import Brief
    from onbrand.models.diffusion import DiffusionModel
    from onbrand.models.packs import Pack

__all__ = ["Followed", "followed_from"]

Rows = list[list[str]]
"""Prompts by window, then by text."""


@dataclass(frozen=True)
class Followed:
    """The identities, where each may be (white on black; none: side by side, for a single one
    everywhere), and how strongly; `name` says by content what pictures depend on."""

    identities: tuple[Identity, ...]
    masks: tuple[Image, ...]
    strength: float
    name: str

    def shown_by(self, model: DiffusionModel, pack: Pack) -> DiffusionModel:
        """The model showing them: through the way it was trained with, else the pack's adapter."""
        import torch

        from onbrand.models.identity import load_adapter

        way = model.way or load_adapter(model, pack)
        who = torch.stack([torch.from_numpy(identity.who.copy()) for identity in self.identities])
        way.show(who, masks_nhw=self._regions(model.num_px), strength=self.strength)
        return model

    def told(self, say: Callable[[str], str], brief: Brief, texts: Sequence[str]) -> Rows:
        """What each of the windows is told: of whom an identity has words, in these; else as `say`
        makes a text a prompt. All whom masks keep apart are in one picture with one prompt."""
        if self.masks and len(self.identities) > 1:
            return [[say(text) for text in texts]]
        return [
            [brief.other_prompt(t, who.description) if who.description else say(t) for t in texts]
            for who in self.identities
        ]

    def warn_of_namesakes(self, emit: Listener) -> None:
        """Tell of several who stand side by side and are all told what the brief says, which is
        true of one of them at most."""
        alike = [who.name for who in self.identities if not who.description]
        if len(alike) > 1 and not self.masks:
            emit(
                Warned(
                    f"{' and '.join(alike)} have no words of their own, so that all are told what "
                    "the brief says of its subject, and may look alike: say who they are with "
                    "onbrand identity make … --description."
                )
            )

    def _regions(self, side_px: int) -> Tensor | None:
        """[n, side, side] in [0, 1]; None without masks."""
        import numpy as np
        import torch

        from onbrand import pixels

        if not self.masks:
            return None
        fitted = [pixels.fit(mask, side_px, pixels.BLACK).convert("L") for mask in self.masks]
        return torch.from_numpy(np.stack([np.asarray(m, np.float32) / 255 for m in fitted]))


def followed_from(
    pack: Pack,
    base: str,
    checkpoint: Path | None,
    identities: Sequence[Path],
    masks: Sequence[Path],
    strength: float | None,
) -> Followed | None:
    """The identities in these folders, shown as strongly as `strength` says (None: 1); None for
    none. `base` is the name that `pack` was opened by, `checkpoint` what will be put on it.

    Raises `InputError` when another encoder than the pack's made one, when the masks are not one
    for each, for masks or a strength without an identity, and for masks or several identities where
    the checkpoint's way keeps none apart; `PackError` for a base that can show none,
    `ArtifactError` for no identity there, `PictureError` for a mask that is no picture.
    """
    from onbrand import pixels
    from onbrand.models.identity import check_followed

    if not identities:
        if masks:
            raise InputError("masks say where identities may be, but there is no identity")
        if strength is not None:
            raise InputError(f"the identity's strength is {strength}, but there is no identity")
        return None
    strength = 1.0 if strength is None else strength
    if not 0 <= strength < math.inf:
        raise InputError(f"the identity's strength is {strength}; it is 0 (nobody) or more")
    known = tuple(Identity.load(folder) for folder in identities)
    encoder = pack.role_fingerprint("identity")
    for identity in known:
        if identity.encoder != encoder:
            raise InputError(
                f"{identity.root} was made with the encoder of '{identity.base}' "
                f"({identity.encoder}); the base here is '{pack.name}' ({encoder}). Make it anew: "
                f"onbrand identity make {shlex.quote(str(identity.root))} PICTURES "
                f"--base {shlex.quote(base)}"
            )
    if masks and len(masks) != len(known):
        raise InputError(f"{len(known)} identities need as many masks, there are {len(masks)}")
    check_followed(pack, checkpoint, apart=bool(masks) or len(known) > 1)
    regions = tuple(pixels.flatten(pixels.read(mask), pixels.BLACK) for mask in masks)
    told = [fingerprint_file(identity.root / VECTORS) for identity in known]
    told += [fingerprint_file(mask) for mask in masks]
    told += ["side by side"] if len(known) > 1 and not masks else []
    return Followed(known, regions, strength, " ".join([*told, f"{strength:g}"]))
