"""Role tagger: the words that are true of a picture, of whatever world; the training side's reader.

A RegNet, where the evaluation's readers are ResNets; it may begin as the identity encoder
(--start). Labels are "group:value" with a softmax over each group; a group that a world does not
have is "none" there, so that a mug has no species.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from attributes import GROUPS as READ
from attributes import split
from draw import Beside
from eyes import eye_options, fit, held_out_batches, regnet
from options import parser, prepare
from torch import Tensor
from transformers import PreTrainedModel
from views import upright

from onbrand.models.perception.tags import NONE

__all__ = ["GROUPS", "build", "loss_of", "main", "measure", "targets_of"]

OF_ALL_WORLDS = ("place", "hour", "style")
GROUPS: dict[str, tuple[str, ...]] = {
    name: values if name in OF_ALL_WORLDS or NONE in values else (NONE, *values)
    for name, values in READ.items()
    if name != "fault"
}


def build() -> PreTrainedModel:
    """An untrained tagger of 0.7M weights."""
    names = [f"{group}:{value}" for group, values in GROUPS.items() for value in values]
    return regnet(
        id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)}
    )


def targets_of(labels: list[dict[str, Any]]) -> Tensor:
    """[n, groups] index of the true value in each group, "none" where there is none."""
    rows = [
        [values.index(label["attributes"].get(g, NONE)) for g, values in GROUPS.items()]
        for label in labels
    ]
    return torch.tensor(rows)


def loss_of(
    model: PreTrainedModel, x_bchw: Tensor, truth_bg: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy, the sum over a picture's groups."""
    parts = split(model(x_bchw).logits.float(), GROUPS)
    each = [F.cross_entropy(part, truth_bg[:, i]) for i, part in enumerate(parts)]
    return torch.stack(each).sum(), {}


@torch.no_grad()
def measure(model: PreTrainedModel, truth: Tensor, batches: list[Tensor]) -> dict[str, float]:
    """F1 of each group's tags (surer than one half, "none" is no tag), and their mean; of groups
    that are neither there nor claimed nothing is said."""
    model.eval()
    parts = split(torch.cat([model(b).logits for b in batches]).cpu(), GROUPS)
    model.train()
    scores = {}
    for i, (name, values) in enumerate(GROUPS.items()):
        none = values.index(NONE) if NONE in values else -1
        sure, said = parts[i].softmax(1).max(1)
        said = torch.where(sure > 0.5, said, none)
        hits = ((said == truth[:, i]) & (said != none)).sum()
        claims, true = (said != none).sum(), (truth[:, i] != none).sum()
        if claims + true > 0:
            scores[f"f1_{name}"] = round(float(2 * hits / (claims + true)), 4)
    return {**scores, "f1": round(sum(scores.values()) / max(1, len(scores)), 4)}


def main(arguments: list[str] | None = None) -> None:
    """Train and export in fp16."""
    p = parser("tagger", steps=2500, batch=32)
    eye_options(p)
    options = p.parse_args(arguments)
    prepare(options)
    drawn, held_out = Beside.open(options.drawn), Beside.open(options.held_out)
    told = np.array([i for i, label in enumerate(drawn.labels) if "attributes" in label])
    truth = targets_of([drawn.labels[i] for i in told])
    known = [i for i, label in enumerate(held_out.labels) if "attributes" in label]
    batches = held_out_batches(held_out, options.device, rows=known)
    asked = targets_of([held_out.labels[i] for i in known])

    def prepare_batch(index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((options.seed, index))
        which = rng.integers(0, len(told), options.batch)
        return torch.from_numpy(told[which]), truth[which]

    fit("tagger", build(), options, prepare_batch, loss_of,
        lambda model: measure(model, asked, batches), see=upright(drawn, options))  # fmt: skip


if __name__ == "__main__":
    main()
