"""Where reconstruction counts more: the head of an avatar, which is what it is known by.

The pack's parser says where the head is in each variant of a picture; in a batch every sample's
places are weighed by it, and the sample as a whole counts as much as before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from onbrand.models.parts import HEAD
from onbrand.training.batches import Batch
from onbrand.training.cache import Examples

if TYPE_CHECKING:
    from onbrand.brief import Brief
    from onbrand.models.packs import Pack
    from onbrand.models.perception import Parsing
    from onbrand.recipe import Stage

__all__ = ["AVATAR_WEIGHT", "Heads", "focus_of", "head_weight", "knows_heads"]

AVATAR_WEIGHT = 3.0


def head_weight(stage: Stage, brief: Brief, pack: Pack) -> float:
    """How much more the head counts: what the stage says, else what the brief's objective asks, if
    the pack has a parser of its own that knows heads. The built-in pack's was taught drawings: in
    photographs it takes walls for heads."""
    if stage.head_weight is not None:
        return stage.head_weight
    if brief.objective != "avatar" or "parsing" not in pack.roles:
        return 1.0
    return AVATAR_WEIGHT if knows_heads(pack) else 1.0


def knows_heads(pack: Pack) -> bool:
    """Whether the pack's parser has a label of a head. Nothing is loaded."""
    from onbrand.models.perception.parsing import parsed_parts

    return not set(HEAD).isdisjoint(parsed_parts(pack))


@dataclass(frozen=True)
class Heads:
    """Finds heads, through the parser of a pack; `fingerprint` is its weights'."""

    parser: Parsing
    fingerprint: str

    @classmethod
    def of(cls, pack: Pack) -> Heads:
        """Raises PackError for a pack without a parser."""
        from onbrand.models.perception import load_parsing

        return cls(load_parsing(pack), pack.role_fingerprint("parsing"))

    @torch.no_grad()
    def __call__(self, pixels_bchw: Tensor) -> Tensor:
        """How sure it is that a head is there, [b, 1, h, w] in [0, 1]."""
        from onbrand.models.perception.parsing import mask_of

        names = [label for label in HEAD if label in self.parser.labels]
        return mask_of(self.parser, pixels_bchw, names)[:, None].float()


def focus_of(batch: Batch, examples: Examples, weight: float) -> Tensor | None:
    """How much each latent place of the samples counts, [b, 1, h, w]: 1 outside the head, `weight`
    on it, all alike in class pictures. None when nobody looked for heads."""
    if not examples.heads:
        return None
    focus_b1hw = torch.ones_like(batch.latents[:, :1])
    for place, (picture, variant) in enumerate(batch.contents):
        focus_b1hw[place] += (weight - 1) * examples.heads[picture][variant].to(focus_b1hw)
    return focus_b1hw
