"""Role twins/attributes: reads species, colour, pose, garment, product, place … from a picture.

Evaluation only. One linear head over a ResNet; id2label names "group:value", and a softmax runs
over each group. Trained on the illustrator's ground truth of all worlds; a group that a world does
not have (a product's species) is not asked of its pictures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from draw import Beside
from eyes import eye_options, fit, held_out_batches, resnet, views
from options import parser, prepare
from torch import Tensor
from transformers import PreTrainedModel

from onbrand.illustrator import ATTRIBUTES, FASHION_ATTRIBUTES, PRODUCT_ATTRIBUTES, TRAITS

__all__ = ["GROUPS", "build", "loss_of", "main", "measure"]

GROUPS: dict[str, tuple[str, ...]] = {
    **{name: TRAITS[name] for name in ("species", "colour", "outfit", "accessory")},
    **ATTRIBUTES,
    **PRODUCT_ATTRIBUTES,
    **FASHION_ATTRIBUTES,
}


def build() -> PreTrainedModel:
    """An untrained reader."""
    names = [f"{group}:{value}" for group, values in GROUPS.items() for value in values]
    return resnet(
        id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)}
    )


def targets_of(labels: list[dict[str, Any]]) -> Tensor:
    """[n, groups] index of the true value in each group, -1 where there is none."""
    facts = [label.get("attributes", {}) for label in labels]
    rows = [
        [values.index(fact[g]) if g in fact else -1 for g, values in GROUPS.items()]
        for fact in facts
    ]
    return torch.tensor(rows)


def split(logits_bn: Tensor) -> list[Tensor]:
    """Logits per group."""
    return list(logits_bn.split([len(v) for v in GROUPS.values()], dim=1))


@torch.no_grad()
def measure(model: PreTrainedModel, held_out: Beside, batches: list[Tensor]) -> dict[str, float]:
    """Accuracy per group on the pictures of held-out subjects that have it, and the mean."""
    model.eval()
    logits = split(torch.cat([model(b).logits for b in batches]).cpu())
    model.train()
    truth = targets_of(held_out.labels)
    scores = {
        name: round(float((part.argmax(1) == truth[:, i])[truth[:, i] >= 0].float().mean()), 4)
        for i, (name, part) in enumerate(zip(GROUPS, logits, strict=True))
        if bool((truth[:, i] >= 0).any())
    }
    return {**scores, "mean": round(sum(scores.values()) / len(scores), 4)}


def loss_of(
    model: PreTrainedModel, x_bchw: Tensor, truth_bg: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Mean over pictures of their groups' mean cross-entropy."""
    parts = split(model(x_bchw).logits.float())
    each_bg = torch.stack(
        [
            F.cross_entropy(part, truth_bg[:, i], ignore_index=-1, reduction="none")
            for i, part in enumerate(parts)
        ],
        dim=1,
    )
    return (each_bg.sum(1) / (truth_bg >= 0).sum(1)).mean(), {}


def main(arguments: list[str] | None = None) -> None:
    """Train and export in fp16."""
    p = parser("attributes", steps=3000, batch=32)
    eye_options(p)
    options = p.parse_args(arguments)
    prepare(options)
    drawn, held_out = Beside.open(options.drawn), Beside.open(options.held_out)
    truth, batches = targets_of(drawn.labels), held_out_batches(held_out, options.device)
    readable = np.nonzero((truth >= 0).any(1).numpy())[0]  # faults are not read

    def prepare_batch(index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((options.seed, index))
        rows = rng.choice(readable, options.batch)
        # views are never mirrored: left and right are read; backgrounds stay: they are read too
        return views(drawn, rows, rng, 0.0, options.warp, flip=False), truth[rows]

    fit("attributes", build(), options, prepare_batch, loss_of,
        lambda model: measure(model, held_out, batches))  # fmt: skip


if __name__ == "__main__":
    main()
