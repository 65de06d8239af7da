"""Role clicks: the mask of a thing from a few clicks on it and beside it.

A UperNet of one label that reads five channels (`perception.clicks`). What is clicked is a part of
a drawn picture (a garment, a head, a prop), all of a figure or product, or an emoji laid on a
backdrop, which is from outside the drawn worlds. Half of the later clicks fall where an answer
would err: near the edge. Binary cross-entropy and the soft Dice error.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from draw import Beside
from eyes import eye_options, fit
from numpy.typing import NDArray
from options import parser, prepare
from pictures import Pixels, pack_emoji
from torch import Generator, Tensor
from transformers import ResNetConfig, UperNetConfig, UperNetForSemanticSegmentation
from views import Move, Pictures, between, laid, parts_moved, relit, some, turned_hue
from worlds import SIZE_PX

from onbrand.bench.emoji import HELD_OUT_EVERY
from onbrand.illustrator.parsing import parsed_names
from onbrand.models.perception.clicks import spots

__all__ = ["build", "clicked", "loss_of", "main", "measure", "thing"]

MOST_CLICKS = 5
SMALLEST_PX = 60
EMOJI = 0.3  # of the pictures
_NAMES = np.array(parsed_names())
_NOT_SUBJECT = np.isin(_NAMES, ("background", "stand"))
Mask = NDArray[np.bool_]


def build() -> Any:
    """An untrained segmenter of 0.4M weights."""
    body = ResNetConfig(
        num_channels=5, embedding_size=24, hidden_sizes=[24, 40, 64, 96], depths=[1, 1, 1, 1],
        layer_type="basic", out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = UperNetConfig(
        backbone_config=body, hidden_size=32, pool_scales=[1, 2], use_auxiliary_head=False,
        image_size=SIZE_PX, id2label={0: "clicked"}, label2id={"clicked": 0},
    )  # fmt: skip
    return UperNetForSemanticSegmentation(config).to(memory_format=torch.channels_last)


def thing(parts: Pixels, rng: np.random.Generator) -> Mask | None:
    """A part that is large enough to be clicked, or the whole subject; None where nothing is."""
    whole = ~_NOT_SUBJECT[parts]
    names = _NAMES[parts]
    there = [name for name in np.unique(names) if name != "background"]
    masks = [mask for mask in (names == name for name in there) if mask.sum() >= SMALLEST_PX]
    if whole.sum() >= SMALLEST_PX and (not masks or rng.random() < 0.4):
        return np.asarray(whole)
    return np.asarray(masks[int(rng.integers(len(masks)))]) if masks else None


def clicked(mask: Mask, rng: np.random.Generator, num: int) -> tuple[Any, Any]:
    """`num` clicks, the first well inside: points [MOST_CLICKS, 2] and whether they are on the
    thing (-1: no click)."""
    points, on = np.zeros((MOST_CLICKS, 2), np.float32), np.full(MOST_CLICKS, -1)
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
    for k in range(num):
        hit = k == 0 or rng.random() < 0.5
        depth = inside if hit else outside
        near = depth >= 0.5 * depth.max() if k == 0 else depth > 0
        if k and rng.random() < 0.5:
            near &= depth <= 8
        rows, columns = np.nonzero(near)
        if len(rows):
            pick = int(rng.integers(len(rows)))
            points[k], on[k] = (columns[pick], rows[pick]), int(hit)
    return points, on


def loss_of(model: Any, x_bchw: Tensor, truth_bhw: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Binary cross-entropy, and one less the Dice coefficient of each picture."""
    logits = model(x_bchw).logits[:, 0].float()
    entropy = F.binary_cross_entropy_with_logits(logits, truth_bhw)
    share = logits.sigmoid()
    both, each = (share * truth_bhw).sum((1, 2)), (share + truth_bhw).sum((1, 2))
    dice = 1 - (2 * both / each.clamp_min(1)).mean()
    return entropy + dice, {"dice": float(dice.detach())}


@torch.no_grad()
def measure(model: Any, tests: dict[str, tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Mean intersection over union of held-out things, by what they are and the clicks given; emoji
    are held out in one style, and trained on in others."""
    model.eval()
    scores = {}
    for name, (x, truth) in tests.items():
        found = torch.cat([model(part).logits[:, 0] > 0 for part in x.split(50)])
        both = (found & (truth > 0)).sum((1, 2))
        either = (found | (truth > 0)).sum((1, 2))
        scores[f"iou_{name}"] = round(float((both / either.clamp_min(1)).mean()), 4)
    model.train()
    return scores


class Things:
    """Pictures with a mask of something in them."""

    def __init__(self, drawn: Beside, emoji: Pixels, held_out: bool, warp: float = 1.0) -> None:
        self.num, self.warp = len(drawn), warp
        self.pixels, self.parts = Pictures.both(drawn, "cpu")
        self.emoji = Pictures(emoji, "cpu")
        every = np.arange(len(emoji))
        self.rows = every[(every % HELD_OUT_EVERY == 0) == held_out]

    def draw(self, rng: np.random.Generator, emoji: bool) -> tuple[Tensor, Mask]:
        """One view [1, 3, h, w] and its mask."""
        g = Generator().manual_seed(int(rng.integers(2**62)))
        while True:
            if emoji:
                rgba = self.emoji(torch.tensor([int(rng.choice(self.rows))])).float()
                coloured = turned_hue(rgba[:, :3], between(g, 1, 0, 1) * some(g, 1, 0.5))
                x, opacity = laid(torch.cat([coloured, rgba[:, 3:]], 1), (0.4, 1.0), g)
                mask: Mask = (opacity[0, 0] > 0.5).numpy()
            else:
                row = torch.tensor([int(rng.integers(self.num))])
                move = Move.draw(g, 1, self.warp, flip=True)
                x, parts = move(self.pixels(row)), parts_moved(move, self.parts(row))
                found = thing(parts[0].numpy().astype(np.uint8), rng)
                mask = np.zeros((SIZE_PX, SIZE_PX), np.bool_) if found is None else found
            if mask.sum() >= SMALLEST_PX and not mask.all():
                return relit(x, g), mask

    def batch(
        self, rng: np.random.Generator, num: int, emoji: float, clicks: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Five channels [num, 5, h, w] and masks [num, h, w]; from `clicks[0]` to `clicks[1]`."""
        drawn = [self.draw(rng, rng.random() < emoji) for _ in range(num)]
        least, most = clicks
        made = [clicked(m, rng, int(rng.integers(least, most + 1))) for _, m in drawn]
        points, on = (torch.from_numpy(np.stack(part)) for part in zip(*made, strict=True))
        pixels = torch.cat([x for x, _ in drawn])
        marks = spots(points, on, (SIZE_PX, SIZE_PX), SIZE_PX)
        masks = torch.from_numpy(np.stack([m for _, m in drawn])).float()
        both = torch.cat([pixels, marks], 1).contiguous(memory_format=torch.channels_last)
        return both, masks


def main(arguments: list[str] | None = None) -> None:
    """Train and export in fp16."""
    p = parser("clicks", steps=2000, batch=32)
    eye_options(p)
    options = p.parse_args(arguments)
    prepare(options)
    emoji, _ = pack_emoji(options.emoji, options.work)
    things = Things(Beside.open(options.drawn), emoji, held_out=False, warp=options.warp)
    others = Things(Beside.open(options.held_out), emoji, held_out=True, warp=0.0)
    tests = {}
    for what, share in (("drawn", 0.0), ("emoji", 1.0)):
        for num in (1, 3):
            x, mask = others.batch(np.random.default_rng((0, num)), 200, share, (num, num))
            tests[f"{what}_{num}"] = (x.to(options.device), mask.to(options.device))

    def prepare_batch(index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((options.seed, index))
        return things.batch(rng, options.batch, EMOJI, (1, MOST_CLICKS))

    fit("clicks", build(), options, prepare_batch, loss_of,
        lambda model: measure(model, tests))  # fmt: skip


if __name__ == "__main__":
    main()
