"""What looks at decoded estimates: frozen eyes that tell how far one is from what it should be.

    lenses = open_lenses(session, examples, names)    # {"perceptual": …, "pose": …}
    lenses["pose"](seen_bchw, contents, seed, step)   # distance [b], differentiable

What an estimate is to show is what the eye sees in the training picture itself, once through the
VAE, so that 0 is in reach: the VAE's own loss is not the adapter's to mend. Each such target is
made once, alone, and kept. The evaluation twins are not reachable from here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from onbrand.training.cache import Examples, in_order, to_pixels
from onbrand.training.engine import generator
from onbrand.training.losses import (
    expression_distance,
    feature_distance,
    heat_distance,
    identity_distance,
)
from onbrand.training.session import Session

if TYPE_CHECKING:
    from onbrand.models.diffusion import DiffusionModel
    from onbrand.models.perception import Identity

__all__ = [
    "Content",
    "Lens",
    "Targets",
    "brand_reference",
    "cropped",
    "jittered",
    "open_lenses",
    "vae_features",
]

TARGET_BYTES = 256 * 2**20  # targets kept in memory per lens; older ones are made again when needed
SMALLEST_VIEW_FRACTION = 0.85
_VIEW, _FACES = -5, 2_000_000  # streams of random views; of faces, a variant's number added
FACE_JITTER = 0.06  # of the box's sides

Content = tuple[int, int]
"""(picture, variant) in the examples."""

Lens = Callable[[Tensor, Sequence[Content], int, int], Tensor]
"""(decoded estimates [b, 3, h, w] in [-1, 1], what they are of, seed, step) -> distance [b]"""


class Targets:
    """What `see` makes of the (picture, variant)s, kept in half precision."""

    def __init__(
        self, model: DiffusionModel, examples: Examples, see: Callable[[Tensor], list[Tensor]]
    ) -> None:
        self._model = model
        self._examples = examples
        self._see = see
        self._kept: OrderedDict[Content, list[Tensor]] = OrderedDict()
        self._bytes = 0

    @torch.no_grad()
    def of(self, contents: Sequence[Content]) -> list[Tensor]:
        """One stack per tensor that `see` gives, float32, a row per content."""
        rows = [self._one(content) for content in contents]
        return [torch.cat(layer).float() for layer in zip(*rows, strict=True)]

    def _one(self, content: Content) -> list[Tensor]:
        if content not in self._kept:
            picture, variant = content
            latents = self._examples.latents[picture][variant : variant + 1].to(self._model.device)
            made = [f.half() for f in self._see(self._model.decode(latents))]
            self._kept[content] = made
            self._bytes += sum(f.nbytes for f in made)
            while self._bytes > TARGET_BYTES and len(self._kept) > 1:
                _, old = self._kept.popitem(last=False)
                self._bytes -= sum(f.nbytes for f in old)
        return self._kept[content]


def open_lenses(session: Session, examples: Examples, names: Sequence[str]) -> Mapping[str, Lens]:
    """The lenses of these losses, in their order, through the eyes of the session's pack.

    Raises PackError when the pack lacks an eye that one of them needs.
    """
    makers = {
        "perceptual": _perceptual,
        "semantic": _semantic,
        "identity": _identity,
        "pose": _pose,
        "expression": _expression,
    }
    return {name: makers[name](session, examples) for name in names if name in makers}


def _perceptual(session: Session, examples: Examples) -> Lens:
    """Features of the base's VAE encoder and of the identity encoder: textures and edges."""
    from onbrand.models.perception import IdentityEncoder

    encoder, vae = IdentityEncoder(session.pack, device=session.device), session.model.vae

    def features(seen_bchw: Tensor) -> list[Tensor]:
        return vae_features(vae, seen_bchw) + list(encoder.features(seen_bchw))

    targets = Targets(session.model, examples, features)
    return lambda seen, contents, seed, step: feature_distance(features(seen), targets.of(contents))


def _semantic(session: Session, examples: Examples) -> Lens:
    """What a text–image tower makes of the whole picture: things, scene and style."""
    from onbrand.models.perception import load_alignment

    tower = load_alignment(session.pack, device=session.device)
    targets = Targets(session.model, examples, lambda seen: [tower.embed_pixels(seen)])

    def look(seen: Tensor, contents: Sequence[Content], seed: int, step: int) -> Tensor:
        return identity_distance(tower.embed_pixels(seen), targets.of(contents)[0])

    return look


def _identity(session: Session, examples: Examples) -> Lens:
    """Who it is: distance to the brand's mean embedding, of two views, whole and cropped. What
    pleases the encoder in one framing only is not the subject."""
    from onbrand.models.perception import load_identity

    encoder = load_identity(session.pack, device=session.device)
    reference = brand_reference(session, encoder).to(session.device)

    def look(seen: Tensor, contents: Sequence[Content], seed: int, step: int) -> Tensor:
        views = (seen, cropped(seen, seed, step))
        return torch.stack([identity_distance(encoder.embed(v), reference) for v in views]).mean(0)

    return look


def _pose(session: Session, examples: Examples) -> Lens:
    """Where the joints are."""
    from onbrand.models.perception import load_pose

    eye = load_pose(session.pack, device=session.device)
    targets = Targets(session.model, examples, lambda seen: [eye.heat(seen)])
    return lambda seen, contents, seed, step: heat_distance(eye.heat(seen), targets.of(contents)[0])


def _expression(session: Session, examples: Examples) -> Lens:
    """What the face shows, from crops around where it is in the training picture."""
    from onbrand.models.perception import load_expression

    reader = load_expression(session.pack, device=session.device)

    def see(seen: Tensor) -> list[Tensor]:
        boxes, there = reader.faces(seen)
        return [boxes, there[:, None], reader.face_logits(seen, boxes).softmax(-1)]

    targets = Targets(session.model, examples, see)

    def look(seen: Tensor, contents: Sequence[Content], seed: int, step: int) -> Tensor:
        boxes, there, shares = targets.of(contents)
        chances = torch.stack(
            [torch.rand(4, generator=generator(seed, step, _FACES + _number(c))) for c in contents]
        )
        logits = reader.face_logits(seen, jittered(boxes, chances))
        return expression_distance(logits, shares, there[:, 0])

    return look


def _number(content: Content) -> int:
    """A stream of its own for every variant of every picture, in whatever part of a step it is."""
    picture, variant = content
    return 1000 * picture + variant


def jittered(boxes_b4: Tensor, chances_b4: Tensor) -> Tensor:
    """Boxes moved and resized a little, by chances in [0, 1]: no single crop can be pleased
    alone."""
    sides = (boxes_b4[:, 2:] - boxes_b4[:, :2]).repeat(1, 2)
    return boxes_b4 + (chances_b4 * 2 - 1).to(boxes_b4) * FACE_JITTER * sides


def cropped(pixels_bchw: Tensor, seed: int, step: int) -> Tensor:
    """A part of every picture, the same for all, at full size."""
    height, width = pixels_bchw.shape[-2:]
    share, down, right = torch.rand(3, generator=generator(seed, step, _VIEW)).tolist()
    share = SMALLEST_VIEW_FRACTION + (1 - SMALLEST_VIEW_FRACTION) * share
    rows, columns = int(height * share), int(width * share)
    top, left = int((height - rows) * down), int((width - columns) * right)
    crop = pixels_bchw[..., top : top + rows, left : left + columns]
    return functional.interpolate(crop, (height, width), mode="bilinear", align_corners=False)


def vae_features(vae: Any, pixels_bchw: Tensor) -> list[Tensor]:
    """Outputs of the encoder's down blocks but the first, which says little and costs most."""
    encoder = vae.encoder
    hidden = encoder.conv_in(pixels_bchw)
    maps = []
    for block in encoder.down_blocks:
        hidden = block(hidden)
        maps.append(hidden)
    return maps[1:] or maps


def brand_reference(session: Session, encoder: Identity) -> Tensor:
    """Mean identity embedding [d] of the training pictures, L2-normed; kept by content."""
    dataset = session.dataset
    assets = in_order(dataset)

    @torch.no_grad()
    def make() -> dict[str, Tensor]:
        rows = [
            encoder.embed(to_pixels([dataset.open_square(a, session.size_px)]))[0] for a in assets
        ]
        return {"reference": functional.normalize(torch.stack(rows).mean(0), dim=0).cpu()}

    facts = {
        "pictures": [a.key for a in assets],
        "size_px": session.size_px,
        "encoder": session.pack.role_fingerprint("identity"),
        "laid": "as in training",
    }
    return session.store.tensors("identity_reference", facts, make)["reference"]
