"""Role twins/attributes: reads species, colour, pose, expression, prop, place … from a picture.

Evaluation only. One linear head over a ResNet; id2label names "group:value", and a softmax runs
over each group. Trained on the illustrator's ground truth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from draw import Drawn
from eyes import eye_options, fit, held_out_batches, resnet, views
from options import parser, prepare
from torch import Tensor
from transformers import PreTrainedModel

from onbrand.illustrator import ATTRIBUTES, TRAITS

__all__ = ["GROUPS", "build", "loss_of", "main", "measure"]

GROUPS: dict[str, tuple[str, ...]] = {
    **{name: TRAITS[name] for name in ("species", "colour", "outfit", "accessory")},
    **ATTRIBUTES,
}


def build() -> PreTrainedModel:
    """An untrained reader."""
    names = [f"{group}:{value}" for group, values in GROUPS.items() for value in values]
    return resnet(
        id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)}
    )


def targets_of(labels: list[dict[str, Any]]) -> Tensor:
    """[n, groups] index of the true value in each group."""
    rows = [
        [values.index(label["attributes"][g]) for g, values in GROUPS.items()] for label in labels
    ]
    return torch.tensor(rows)


def split(logits_bn: Tensor) -> list[Tensor]:
    """Logits per group."""
    return list(logits_bn.split([len(v) for v in GROUPS.values()], dim=1))


@torch.no_grad()
def measure(model: PreTrainedModel, held_out: Drawn, batches: list[Tensor]) -> dict[str, float]:
    """Accuracy per group on held-out characters' pictures."""
    model.eval()
    logits = split(torch.cat([model(b).logits for b in batches]).cpu())
    model.train()
    truth = targets_of(held_out.labels)
    scores = {
        name: round(float((part.argmax(1) == truth[:, i]).float().mean()), 4)
        for i, (name, part) in enumerate(zip(GROUPS, logits, strict=True))
    }
    return {**scores, "mean": round(sum(scores.values()) / len(scores), 4)}


def loss_of(
    model: PreTrainedModel, x_bchw: Tensor, truth_bg: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Mean cross-entropy of the groups."""
    parts = split(model(x_bchw).logits.float())
    losses = [F.cross_entropy(part, truth_bg[:, i]) for i, part in enumerate(parts)]
    return torch.stack(losses).mean(), {}


def main(arguments: list[str] | None = None) -> None:
    """Train and export in fp16."""
    p = parser("attributes", steps=3000, batch=32)
    eye_options(p)
    options = p.parse_args(arguments)
    prepare(options)
    drawn, held_out = Drawn(options.drawn), Drawn(options.held_out)
    truth, batches = targets_of(drawn.labels), held_out_batches(held_out, options.device)

    def prepare_batch(index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((options.seed, index))
        rows = rng.integers(0, len(drawn), options.batch)
        # views are never mirrored: left and right are read; backgrounds stay: they are read too
        return views(drawn, rows, rng, 0.0, options.warp, flip=False), truth[rows]

    fit("attributes", build(), options, prepare_batch, loss_of,
        lambda model: measure(model, held_out, batches))  # fmt: skip


if __name__ == "__main__":
    main()
