"""Role parsing: the part each pixel belongs to: garments by kind, skin, hair, ears, eyes, marks.

A UperNet over a small ResNet that looks at 192 px, so that a cell of its logits is under 3 px of a
128 px picture. Cross-entropy, where rare parts weigh more (the root of their share at first), and
the soft Dice error of the parts of the batch (V-Net, arXiv 1606.04797), which sees small ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from draw import Beside
from eyes import eye_options, fit, held_out_batches
from numpy.typing import NDArray
from options import parser, prepare
from torch import Generator, Tensor
from transformers import ResNetConfig, UperNetConfig, UperNetForSemanticSegmentation
from views import Move, Pictures, parts_moved, relit

from onbrand.illustrator import PARTS
from onbrand.illustrator.parsing import PARSED, WORN, parsed
from onbrand.models.perception import resize

__all__ = ["build", "loss_of", "main", "measure"]

LOOKS_AT_PX = 192
PERSON = (*WORN, "background", "skin", "face", "hair", "shoes", "mannequin")


def build() -> Any:
    """An untrained segmenter of 0.6M weights."""
    body = ResNetConfig(
        num_channels=3, embedding_size=24, hidden_sizes=[24, 48, 96, 128], depths=[1, 1, 1, 1],
        layer_type="basic", out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    names = dict(enumerate(PARSED))
    config = UperNetConfig(
        backbone_config=body, hidden_size=32, pool_scales=[1, 2], use_auxiliary_head=False,
        image_size=LOOKS_AT_PX, id2label=names, label2id={name: i for i, name in names.items()},
    )  # fmt: skip
    return UperNetForSemanticSegmentation(config).to(memory_format=torch.channels_last)


def weights_of(drawn: Beside, power: float, num: int = 2000) -> Tensor:
    """[labels] weights of cross-entropy, the inverse shares to a power; their mean is 1."""
    rows = np.random.default_rng(0).choice(len(drawn), min(num, len(drawn)), replace=False)
    counts: NDArray[Any] = sum(
        (np.bincount(parsed(drawn.parts(r)).ravel(), minlength=len(PARSED)) for r in rows),
        np.zeros(len(PARSED)),
    )
    share = counts / counts.sum()
    weights = np.maximum(share, 1e-4) ** -power
    return torch.tensor(weights / (weights * share).sum(), dtype=torch.float32)


def loss_of(
    model: Any, weights_n: Tensor, x_bchw: Tensor, truth_bhw: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Weighted cross-entropy, and one less the Dice coefficient of the parts of the batch."""
    logits = model(resize(x_bchw, LOOKS_AT_PX)).logits.float()
    logits = F.interpolate(logits, truth_bhw.shape[-2:], mode="bilinear", align_corners=False)
    entropy = F.cross_entropy(logits, truth_bhw, weights_n)
    there = truth_bhw.unique()
    shares = logits.softmax(1)[:, there]
    true = (truth_bhw[:, None] == there[None, :, None, None]).float()
    both, each = (shares * true).sum((0, 2, 3)), (shares + true).sum((0, 2, 3))
    dice = 1 - (2 * both / each.clamp_min(1)).mean()
    return entropy + dice, {"entropy": float(entropy.detach()), "dice": float(dice.detach())}


@torch.no_grad()
def measure(model: Any, held_out: Beside, batches: list[Tensor]) -> dict[str, float]:
    """Intersection over union of each part over all held-out pictures; means of the garments, of
    all that people and mannequins are made of, and of all parts."""
    model.eval()
    table = np.zeros((len(PARSED), len(PARSED)))
    row = 0
    for batch in batches:
        logits = model(resize(batch, LOOKS_AT_PX)).logits
        logits = F.interpolate(logits, batch.shape[-2:], mode="bilinear", align_corners=False)
        for found in logits.argmax(1).cpu().numpy():
            true = parsed(held_out.parts(row)).astype(np.int64)
            table += np.bincount(
                (true * len(PARSED) + found).ravel(), minlength=table.size
            ).reshape(table.shape)
            row += 1
    model.train()
    hits = table.diagonal()
    iou = hits / np.maximum(table.sum(0) + table.sum(1) - hits, 1)
    seen = {name: float(iou[i]) for i, name in enumerate(PARSED) if table[i].sum()}
    scores = {f"iou_{name}": value for name, value in seen.items()}
    for group, names in {"garments": WORN, "people": PERSON, "mean": PARSED}.items():
        known = [seen[name] for name in names if name in seen]
        if known:
            scores[f"iou_{group}"] = sum(known) / len(known)
    return {name: round(value, 4) for name, value in scores.items()}


def main(arguments: list[str] | None = None) -> None:
    """Train and export in fp16."""
    p = parser("parsing", steps=2000, batch=24)
    eye_options(p)
    p.add_argument(
        "--power", type=float, default=0.5,
        help="how far rare parts weigh more: 0 not at all, which gives the truest outlines",
    )  # fmt: skip
    options = p.parse_args(arguments)
    prepare(options)
    drawn, held_out = Beside.open(options.drawn), Beside.open(options.held_out)
    batches = held_out_batches(held_out, options.device)
    weights = weights_of(drawn, options.power).to(options.device)

    pixels, parts = Pictures.both(drawn, options.device)
    label = (
        torch.from_numpy(parsed(np.arange(len(PARTS), dtype=np.uint8))).to(options.device).long()
    )

    def prepare_batch(index: int) -> tuple[Tensor, ...]:
        rng = np.random.default_rng((options.seed, index))
        return (torch.from_numpy(rng.choice(len(drawn), options.batch)),)

    def see(g: Generator, rows: Tensor) -> tuple[Tensor, ...]:
        move = Move.draw(g, len(rows), options.warp, flip=True)
        return relit(move(pixels(rows)), g), label[parts_moved(move, parts(rows))]

    fit("parsing", build(), options, prepare_batch,
        lambda model, *batch: loss_of(model, weights, *batch),
        lambda model: measure(model, held_out, batches), see=see)  # fmt: skip


if __name__ == "__main__":
    main()
