"""What each eye is asked when its picture is changed a little, and what counts as the same answer.

- expression: the surest word; attributes: the surest value of each that the drawing has
- tagger: all words
- alignment: which of the drawing's 20 captions fits best
- identity: which drawing of another character is the nearest
- faces: as many boxes, each overlapping its own, moved with the picture, by one half
- pose: all joints that were seen, within 5 % of the side of where they moved
- parsing: the share of pixels with the same label
- clicks: intersection over union of the masks, the click moved with the picture
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from onbrand.bench.eyes.draws import Seen
from onbrand.bench.eyes.sight import box_iou, click_on, thing
from onbrand.bench.eyes.sturdy import Move, Question
from onbrand.judging.looking import to_pixels

if TYPE_CHECKING:
    from onbrand.models.perception import Alignment, Clicks, Embedder, Identity
    from onbrand.models.twins import AttributeReader

__all__ = ["WORLDS_OF", "question"]

PEOPLE_AND_MASCOTS = ("mascots", "fashion")
EVERYTHING = ("mascots", "products", "fashion")
WORLDS_OF: Mapping[str, Sequence[str]] = {
    "expression": ("mascots",),
    "identity": ("mascots",),
    "faces": PEOPLE_AND_MASCOTS,
    "pose": PEOPLE_AND_MASCOTS,
    "parsing": EVERYTHING,
    "clicks": EVERYTHING,
    "tagger": EVERYTHING,
    "attributes": EVERYTHING,
    "alignment": EVERYTHING,
}
"""Of which worlds' drawings each role is asked."""

REACH = 0.05  # of the side, for joints


@torch.inference_mode()
def question(role: str, eye: Any, drawn: Sequence[Seen], size_px: int) -> Question:
    """What an eye of that role, a key of WORLDS_OF, is asked of these drawings."""
    pictures = [one.picture for one in drawn]
    if role == "alignment":
        return Question(pictures, _captions(eye, drawn), _same_best)
    if role == "identity":
        return Question(pictures, _nearest(eye, drawn, size_px), _same_best)
    if role == "clicks":
        return Question(pictures, _clicked(eye, drawn), _masks_overlap)
    if role == "attributes":
        return Question(pictures, _values(eye, drawn), _same_surest_of_each)
    says: Mapping[str, tuple[str, Callable[..., float]]] = {
        "expression": ("read", _same_surest),
        "tagger": ("tags", _same_words),
        "faces": ("boxes", partial(_same_boxes, size_px)),
        "pose": ("joints", partial(_joints_near, size_px)),
        "parsing": ("shares", _labels_agree),
    }
    name, stays = says[role]
    look = getattr(eye, name)
    if role == "parsing":
        return Question(pictures, lambda pixels, *_: list(look(pixels).argmax(1)), stays)
    return Question(pictures, lambda pixels, *_: list(look(pixels)), stays)


def _captions(eye: Alignment, drawn: Sequence[Seen]) -> Callable[..., list[Tensor]]:
    """How well each of a picture's own captions fits, [captions]."""
    told = [eye.embed_texts(one.captions) for one in drawn]

    def say(pixels: Tensor, numbers: Sequence[int], move: Move) -> list[Tensor]:
        return [
            told[k] @ vector for k, vector in zip(numbers, eye.embed_pixels(pixels), strict=True)
        ]

    return say


def _nearest(
    eye: Identity | Embedder, drawn: Sequence[Seen], size_px: int
) -> Callable[..., list[Tensor]]:
    """How near each of the pictures is, [n]; those of the same character are no others."""
    pictures, subjects = [one.picture for one in drawn], np.array([one.subject for one in drawn])
    others = torch.cat([eye.embed(to_pixels([picture], size_px)) for picture in pictures])

    def say(pixels: Tensor, numbers: Sequence[int], move: Move) -> list[Tensor]:
        own = torch.from_numpy(subjects[list(numbers), None] == subjects)
        return list((eye.embed(pixels) @ others.T).masked_fill(own.to(others.device), -1.0))

    return say


def _clicked(eye: Clicks, drawn: Sequence[Seen]) -> Callable[..., list[Tensor]]:
    """The mask [h, w] of the thing clicked on, the click moved with the picture."""
    points = torch.tensor([click_on(thing(one.parts)) for one in drawn])

    def say(pixels: Tensor, numbers: Sequence[int], move: Move) -> list[Tensor]:
        at = (move(points[list(numbers)] + 0.5) - 0.5).clamp(0, pixels.shape[-1] - 1)
        return list(eye.mask(pixels, at[:, None], torch.ones(len(at), 1, dtype=torch.long)))

    return say


def _values(eye: AttributeReader, drawn: Sequence[Seen]) -> Callable[..., list[Any]]:
    """Of each attribute that a picture's drawing has, how sure each value is."""

    def say(pixels: Tensor, numbers: Sequence[int], move: Move) -> list[Any]:
        return [
            {name: table[name] for name in drawn[k].attributes if name in table}
            for k, table in zip(numbers, eye.probabilities(pixels), strict=True)
        ]

    return say


def _same_best(before: Tensor, after: Tensor, move: Move) -> float:
    return float(before.argmax() == after.argmax())


def _same_surest(before: Mapping[str, float], after: Mapping[str, float], move: Move) -> float:
    one, two = (max(said, key=said.__getitem__, default="") for said in (before, after))
    return float(one == two)


def _same_surest_of_each(before: Any, after: Any, move: Move) -> float:
    return float(all(_same_surest(before[name], after[name], move) for name in before))


def _same_words(before: Mapping[str, float], after: Mapping[str, float], move: Move) -> float:
    return float(before.keys() == after.keys())


def _same_boxes(size_px: int, before: Tensor, after: Tensor, move: Move) -> float:
    ours, theirs = move(before[:, :4]).clamp(0, size_px).tolist(), after[:, :4].tolist()
    found = [any(box_iou(one, two) >= 0.5 for two in theirs) for one in ours]
    return float(len(ours) == len(theirs) and all(found))


def _joints_near(size_px: int, before: Tensor, after: Tensor, move: Move) -> float:
    """Those that it did not see, or that were moved out of the picture, do not count."""
    at = move(before[:, :2] + 0.5) - 0.5
    there = (before[:, 2] > 0.5) & (at >= 0).all(1) & (at < size_px).all(1)
    away = (at - after[:, :2]).norm(dim=1)
    return float((away[there] <= REACH * size_px).all())


def _masks_overlap(before: Tensor, after: Tensor, move: Move) -> float:
    one, two = (mask > 0.5 for mask in _laid_on(before, after, move))
    either = int((one | two).sum())
    return int((one & two).sum()) / either if either else 1.0


def _labels_agree(before: Tensor, after: Tensor, move: Move) -> float:
    one, two = _laid_on(before, after, move)
    return float((one == two).float().mean())


def _laid_on(before: Tensor, after: Tensor, move: Move) -> tuple[Tensor, Tensor]:
    """Of two maps [side, side], the pixels of the first that are still seen, and where these are in
    the second."""
    side = before.shape[-1]
    at = move(torch.arange(side, device=before.device) + 0.5).floor().long()
    seen = (at >= 0) & (at < side)
    return before[seen][:, seen], after[at[seen]][:, at[seen]]
