"""Role twins/attributes: reads species, colour, pose, garment, product, place … from a picture.

Evaluation only. One linear head over a ResNet; id2label names "group:value", and a softmax runs
over each group. Trained on the illustrator's ground truth of all worlds; a group that a world does
not have (a product's species) is not asked of its pictures. The group `fault` says what is wrong
with a picture, most often nothing: a quarter of each batch is spoiled. `--start` goes on from an
older reader, whatever groups it knew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from draw import Beside
from eyes import eye_options, fit, held_out_batches, resnet
from options import parser, prepare
from torch import Tensor
from transformers import PreTrainedModel, ResNetForImageClassification
from views import upright

from onbrand.illustrator import (
    ATTRIBUTES,
    FASHION_ATTRIBUTES,
    FAULTS,
    PRODUCT_ATTRIBUTES,
    TRAITS,
)

__all__ = ["GROUPS", "build", "grown", "loss_of", "main", "measure", "split"]

SPOILED = 0.25  # of each batch

GROUPS: dict[str, tuple[str, ...]] = {
    **{name: TRAITS[name] for name in ("species", "colour", "outfit", "accessory")},
    **ATTRIBUTES,
    **PRODUCT_ATTRIBUTES,
    **FASHION_ATTRIBUTES,
    "fault": ("none", *FAULTS),
}
FAULT = len(GROUPS) - 1  # the last column


def build() -> PreTrainedModel:
    """An untrained reader."""
    names = [f"{group}:{value}" for group, values in GROUPS.items() for value in values]
    return resnet(
        id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)}
    )


@torch.no_grad()
def grown(start: Path) -> PreTrainedModel:
    """A reader that begins as the one in `start`: its body, and its head's rows by their labels."""
    model, old = build(), ResNetForImageClassification.from_pretrained(start, dtype=torch.float32)
    model.base_model.load_state_dict(old.base_model.state_dict())
    mine, theirs = model.config.label2id, old.config.label2id
    for label in mine.keys() & theirs.keys():
        for ours, other in zip(
            model.classifier.parameters(), old.classifier.parameters(), strict=True
        ):
            ours[mine[label]] = other[theirs[label]]
    return model


def targets_of(labels: list[dict[str, Any]]) -> Tensor:
    """[n, groups] index of the true value in each group, -1 where there is none."""
    facts = [
        {**label.get("attributes", {}), "fault": label.get("fault", "none")} for label in labels
    ]
    rows = [
        [values.index(fact[g]) if g in fact else -1 for g, values in GROUPS.items()]
        for fact in facts
    ]
    return torch.tensor(rows)


def split(logits_bn: Tensor, groups: Mapping[str, Sequence[str]]) -> list[Tensor]:
    """Logits per group, [n, values] each."""
    return list(logits_bn.split([len(v) for v in groups.values()], dim=1))


@torch.no_grad()
def measure(model: PreTrainedModel, held_out: Beside, batches: list[Tensor]) -> dict[str, float]:
    """Accuracy per group on the pictures of held-out subjects that have it, and the mean; of faults
    the share named among the spoiled, and the share of sound pictures called spoiled."""
    model.eval()
    logits = split(torch.cat([model(b).logits for b in batches]).cpu(), GROUPS)
    model.train()
    truth = targets_of(held_out.labels)
    right = [part.argmax(1) == truth[:, i] for i, part in enumerate(logits)]
    scores = {
        name: round(float(right[i][truth[:, i] >= 0].float().mean()), 4)
        for i, name in enumerate(GROUPS)
        if i != FAULT and bool((truth[:, i] >= 0).any())
    }
    scores["mean"] = round(sum(scores.values()) / len(scores), 4)
    spoiled = truth[:, FAULT] > 0
    if bool(spoiled.any()):
        scores["faults_named"] = round(float(right[FAULT][spoiled].float().mean()), 4)
        scores["false_alarms"] = round(1 - float(right[FAULT][~spoiled].float().mean()), 4)
    return scores


def loss_of(
    model: PreTrainedModel, x_bchw: Tensor, truth_bg: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Mean over pictures of their attributes' mean cross-entropy, and half of the fault's."""
    parts = split(model(x_bchw).logits.float(), GROUPS)
    each_bg = torch.stack(
        [
            F.cross_entropy(part, truth_bg[:, i], ignore_index=-1, reduction="none")
            for i, part in enumerate(parts)
        ],
        dim=1,
    )
    known = (truth_bg[:, :FAULT] >= 0).sum(1).clamp_min(1)
    attributes_b = each_bg[:, :FAULT].sum(1) / known
    return (attributes_b + 0.5 * each_bg[:, FAULT]).mean(), {}


def main(arguments: list[str] | None = None) -> None:
    """Train and export in fp16."""
    p = parser("attributes", steps=3000, batch=32)
    eye_options(p)
    options = p.parse_args(arguments)
    prepare(options)
    drawn, held_out = Beside.open(options.drawn), Beside.open(options.held_out)
    truth, batches = targets_of(drawn.labels), held_out_batches(held_out, options.device)
    faulty = (truth[:, FAULT] > 0).numpy()
    spoiled, sound = np.nonzero(faulty)[0], np.nonzero(~faulty)[0]
    num_spoiled = round(SPOILED * options.batch) if len(spoiled) else 0

    def prepare_batch(index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((options.seed, index))
        rows = rng.choice(sound, options.batch)
        rows[:num_spoiled] = rng.choice(spoiled, num_spoiled)
        return torch.from_numpy(rows), truth[rows]

    model = grown(options.start) if options.start else build()
    fit("attributes", model, options, prepare_batch, loss_of,
        lambda model: measure(model, held_out, batches), see=upright(drawn, options),
        begun=True)  # fmt: skip


if __name__ == "__main__":
    main()
