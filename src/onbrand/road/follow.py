"""Whom pictures are to show besides words: identities made from pictures, each in its region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onbrand.artifacts.identity import VECTORS, Identity
from onbrand.errors import InputError
from onbrand.files import fingerprint_file

if TYPE_CHECKING:
    from torch import Tensor

    from onbrand.models.diffusion import DiffusionModel
    from onbrand.models.packs import Pack

__all__ = ["Followed", "followed_from"]


@dataclass(frozen=True)
class Followed:
    """The identities, where each may be (files of white on black; none: strips from left to
    right), and how strongly; `name` says by content what pictures depend on."""

    identities: tuple[Identity, ...]
    masks: tuple[Path, ...]
    strength: float
    name: str

    def shown_by(self, model: DiffusionModel, pack: Pack) -> DiffusionModel:
        """The model showing them: through the way it was trained with, else the pack's adapter."""
        import torch

        from onbrand.models.identity import load_adapter

        way = model.way or load_adapter(model, pack)
        who = torch.stack([torch.from_numpy(identity.who.copy()) for identity in self.identities])
        masks = self._regions(model.num_px) if len(who) > 1 else None
        way.show(who, masks_nhw=masks, strength=self.strength)
        return model

    def _regions(self, side_px: int) -> Tensor:
        """[n, side, side] in [0, 1]."""
        import numpy as np
        import torch

        from onbrand import pixels

        num = len(self.identities)
        if self.masks:
            read = [pixels.fit(pixels.flatten(pixels.read(path)), side_px) for path in self.masks]
            grey = [np.asarray(picture.convert("L"), np.float32) / 255 for picture in read]
            return torch.from_numpy(np.stack(grey))
        strips = torch.zeros(num, side_px, side_px)
        for k in range(num):
            strips[k, :, k * side_px // num : (k + 1) * side_px // num] = 1
        return strips


def followed_from(
    pack: Pack, identities: Sequence[str | Path], masks: Sequence[str | Path], strength: float
) -> Followed | None:
    """The identities in these folders; None for none. Raises `InputError` when another encoder than
    the pack's made one, or the masks are not one for each; `ArtifactError` for no identity there.
    """
    if not identities:
        if masks:
            raise InputError("masks say where identities may be, but there is no identity")
        return None
    if strength < 0:
        raise InputError(f"the identity's strength is {strength}; it is 0 (nobody) or more")
    known = tuple(Identity.load(folder) for folder in identities)
    encoder = pack.role_fingerprint("identity")
    for identity in known:
        if identity.encoder != encoder:
            raise InputError(
                f"{identity.root} was made with the encoder of '{identity.base}' "
                f"({identity.encoder}); the base here is '{pack.name}' ({encoder}). Make it anew: "
                f"onbrand identity make {identity.root} --base {pack.name} PICTURES"
            )
    if masks and len(masks) != len(known):
        raise InputError(f"{len(known)} identities need as many masks, there are {len(masks)}")
    told = [fingerprint_file(identity.root / VECTORS) for identity in known]
    told += [fingerprint_file(Path(mask)) for mask in masks]
    return Followed(known, tuple(map(Path, masks)), strength, " ".join([*told, f"{strength:g}"]))
