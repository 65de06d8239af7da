"""Role twins/attributes: reads species, colour, pose, expression, prop, place … from a picture.

Evaluation only. One linear head over a ResNet; id2label names "group:value", and a softmax runs
over each group. Trained on the illustrator's ground truth.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from draw import Drawn
from eyes import eye_options, held_out_batches, num_mib, views
from halves import Ahead
from options import parser, prepare, printer
from torch import Tensor
from transformers import PreTrainedModel, ResNetConfig, ResNetForImageClassification

from onbrand.illustrator import ATTRIBUTES, TRAITS
from onbrand.training.engine import Loop, Settings

__all__ = ["GROUPS", "build", "main", "measure"]

GROUPS: dict[str, tuple[str, ...]] = {
    **{name: TRAITS[name] for name in ("species", "colour", "outfit", "accessory")},
    **ATTRIBUTES,
}


def build() -> PreTrainedModel:
    """An untrained reader."""
    names = [f"{group}:{value}" for group, values in GROUPS.items() for value in values]
    config = ResNetConfig(
        num_channels=3, embedding_size=32, hidden_sizes=[32, 64, 128, 192], depths=[1, 1, 1, 1],
        layer_type="basic", id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)}, image_size=128,
    )  # fmt: skip
    return ResNetForImageClassification(config).to(memory_format=torch.channels_last)


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


def main(arguments: list[str] | None = None) -> None:
    """Train and export in fp16."""
    p = parser("attributes", steps=3000, batch=32)
    eye_options(p)
    p.add_argument("--every", type=int, default=250)
    options = p.parse_args(arguments)
    prepare(options)
    drawn, held_out = Drawn(options.drawn), Drawn(options.held_out)
    model = build()
    if options.start:
        model = type(model).from_pretrained(options.start, dtype=torch.float32).train()
    model = model.to(options.device)
    print(f"{num_mib(model):.2f} MiB", flush=True)
    truth, batches = targets_of(drawn.labels), held_out_batches(held_out, options.device)
    settings = Settings(
        num_steps=options.steps, learning_rate=options.rate, seed=options.seed, warmup_steps=100,
        weight_decay=0.02, checkpoint_every=options.every, log_every=50,
    )  # fmt: skip
    loop = Loop(
        options.out, dict(model.named_parameters()), settings, buffers=dict(model.named_buffers()),
        task="attributes", emit=printer(),
    )  # fmt: skip
    loop.resume()

    def prepare_views(index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((options.seed, index))
        rows = rng.integers(0, len(drawn), options.batch)
        # views are never mirrored: left and right are read; backgrounds stay: they are read too
        return views(drawn, rows, rng, 0.0, options.warp, flip=False), truth[rows]

    batch = Ahead(prepare_views, options.workers)

    def step(index: int) -> tuple[Tensor, dict[str, float]]:
        x, values = (tensor.to(options.device) for tensor in batch(index))
        parts = split(model(x).logits)
        losses = [F.cross_entropy(part, values[:, i]) for i, part in enumerate(parts)]
        return torch.stack(losses).mean(), {}

    def evaluate(_: int) -> dict[str, float]:
        return measure(model, held_out, batches)

    loop.run(step, every={options.every: evaluate}, limit_s=options.limit_s)
    scores = measure(model, held_out, batches)
    print(scores, flush=True)
    model.eval()
    model.half().cpu().save_pretrained(options.out / "model")
    (options.out / "scores.json").write_text(json.dumps(scores))


if __name__ == "__main__":
    main()
