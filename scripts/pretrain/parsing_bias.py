"""Role parsing's last touch: how sure each label must be of a pixel to win it.

Cross-entropy learns shares of pixels, while intersection over union asks for the label that a pixel
is best given to: a bias per label lies between the two (logit adjustment, arXiv 2007.07314, here
found by trying). Chosen on training drawings, measured on held-out ones.

    python scripts/pretrain/parsing_bias.py --start pretrain/parsing/model
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from draw import Beside
from eyes import eye_options, held_out_batches
from options import parser, prepare
from parsing import LOOKS_AT_PX, measure
from torch import Tensor
from transformers import UperNetForSemanticSegmentation

from onbrand.illustrator.parsing import PARSED, parsed
from onbrand.models.perception import resize

__all__ = ["biases", "main", "mean_iou", "sampled"]

STEPS = (0.8, 0.4, 0.2, 0.1)
SHARE = 1 / 24  # of a picture's pixels: many pictures tell more than many pixels of few


@torch.no_grad()
def sampled(model: Any, drawn: Beside, num: int, seed: int) -> tuple[Tensor, Tensor]:
    """Logits [n, labels] and labels [n] of some pixels of `num` drawings."""
    model.eval()
    rows = np.random.default_rng(seed).choice(len(drawn), min(num, len(drawn)), replace=False)
    chances = torch.Generator().manual_seed(seed)
    logits_nl, truth_n = [], []
    for first in range(0, len(rows), 50):
        some = rows[first : first + 50].tolist()
        (pixels,) = held_out_batches(drawn, "cpu", batch=50, rows=some)
        truth = torch.from_numpy(np.stack([parsed(drawn.parts(r)) for r in some])).flatten().long()
        logits = model(resize(pixels, LOOKS_AT_PX)).logits
        logits = F.interpolate(logits, pixels.shape[-2:], mode="bilinear", align_corners=False)
        at = torch.randint(len(truth), (int(len(truth) * SHARE),), generator=chances)
        logits_nl.append(logits.permute(0, 2, 3, 1).flatten(0, 2)[at])
        truth_n.append(truth[at])
    return torch.cat(logits_nl), torch.cat(truth_n)


def mean_iou(logits_nl: Tensor, truth_n: Tensor, bias_l: Tensor) -> float:
    """Intersection over union, the mean of the labels that are there."""
    num = len(bias_l)
    found_n = (logits_nl + bias_l).argmax(1)
    table = torch.bincount(truth_n * num + found_n, minlength=num**2).view(num, num).double()
    hits = table.diagonal()
    iou_l = hits / (table.sum(0) + table.sum(1) - hits).clamp_min(1)
    return float(iou_l[table.sum(1) > 0].mean())


def biases(logits_nl: Tensor, truth_n: Tensor) -> Tensor:
    """[labels] what to add to the logits: up and down by smaller and smaller steps, a label at a
    time, as long as the mean intersection over union grows."""
    bias_l = torch.zeros(logits_nl.shape[1])
    best = mean_iou(logits_nl, truth_n, bias_l)
    for step in STEPS:
        moved = True
        while moved:
            moved = False
            for label in range(len(bias_l)):
                for by in (step, -step):
                    tried_l = bias_l.clone()
                    tried_l[label] += by
                    value = mean_iou(logits_nl, truth_n, tried_l)
                    if value > best:
                        best, bias_l, moved = value, tried_l, True
                        break
        print(f"steps of {step}: {best:.4f} of training pixels", flush=True)
    return bias_l


def main(arguments: list[str] | None = None) -> None:
    """Add the biases to the last layer and export in fp16."""
    p = parser("parsing", steps=0, batch=0)
    eye_options(p)
    p.add_argument("--pictures", type=int, default=6000, help="drawings that the biases are for")
    options = p.parse_args(arguments)
    if not options.start:
        raise SystemExit("--start names the parser to change: pretrain/parsing/model")
    prepare(options)
    model: Any = UperNetForSemanticSegmentation.from_pretrained(options.start, dtype=torch.float32)
    model = model.to(memory_format=torch.channels_last)
    held_out = Beside.open(options.held_out)
    batches = held_out_batches(held_out, "cpu")
    before = measure(model, held_out, batches)
    found = biases(*sampled(model, Beside.open(options.drawn), options.pictures, options.seed))
    print({name: round(float(b), 1) for name, b in zip(PARSED, found, strict=True)}, flush=True)
    with torch.no_grad():
        model.decode_head.classifier.bias += found
    scores = measure(model, held_out, batches)
    for name in ("iou_garments", "iou_people", "iou_mean"):
        if name in scores:
            print(f"{name} {before[name]:.4f} -> {scores[name]:.4f}", flush=True)
    (options.out / "scores.json").write_text(json.dumps(scores), "utf-8")
    model.eval().half().save_pretrained(options.out / "model")


if __name__ == "__main__":
    main()
