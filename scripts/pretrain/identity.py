"""Roles identity and twins/identity: which character is this, whatever the scene.

One L2-normalised vector of 128. The loss follows NearID (arXiv 2604.01973): the positive against
the batch and against a look-alike *in the positive's own scene*, plus 0.5 times a ranking term
that keeps look-alikes nearer than strangers; backgrounds are taken away at random. Linear heads
that are thrown away read every trait off the embedding, so that none of them is lost on the way.
`--twin` trains the evaluation twin: another architecture, seed, augmentation and order of data.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from draw import Drawn
from eyes import characters_of, eye_options, fit, held_out_batches, views
from numpy.typing import NDArray
from options import WORK, parser, prepare
from torch import Tensor, nn
from transformers import (
    PreTrainedModel,
    RegNetConfig,
    RegNetForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
)

from onbrand.illustrator import TRAITS, Character

__all__ = ["Traits", "build", "loss_of", "main", "measure", "nearid_loss"]

TEMPERATURE = 0.07
UNSEEN = -100  # the class that cross-entropy passes over


def build(twin: bool) -> PreTrainedModel:
    """An untrained encoder whose 128 logits are the embedding."""
    if twin:
        regnet = RegNetConfig(
            num_channels=3, embedding_size=32, hidden_sizes=[32, 64, 128, 256], depths=[1, 1, 2, 1],
            groups_width=16, layer_type="y", num_labels=128, image_size=128,
        )  # fmt: skip
        return RegNetForImageClassification(regnet).to(memory_format=torch.channels_last)
    config = ResNetConfig(
        num_channels=3, embedding_size=32, hidden_sizes=[32, 64, 128, 176], depths=[1, 1, 1, 1],
        layer_type="basic", num_labels=128, image_size=128,
    )  # fmt: skip
    model = ResNetForImageClassification(config)
    return model.to(memory_format=torch.channels_last)


def embed(model: PreTrainedModel, pixels_bchw: Tensor) -> Tensor:
    """[b, 128], L2-normalised."""
    return F.normalize(model(pixels_bchw).logits.float(), dim=-1)


def nearid_loss(anchor_bd: Tensor, positive_bd: Tensor, double_bd: Tensor) -> tuple[Tensor, Tensor]:
    """(L_disc + 0.5 L_rank, share of anchors nearer to their positive than to its look-alike).

    Row i of `double` looks like row i of `positive` in the same scene, but is someone else.
    """
    n = len(anchor_bd)
    keys = torch.cat([positive_bd, double_bd])
    similar = anchor_bd @ keys.T
    target = torch.arange(n, device=anchor_bd.device)
    disc = F.cross_entropy(similar / TEMPERATURE, target)
    back = F.cross_entropy(positive_bd @ torch.cat([anchor_bd, double_bd]).T / TEMPERATURE, target)
    own = similar[target, target + n]
    strangers = similar[:, :n].masked_fill(target[:, None] == target, -1).amax(1)
    rank = F.softplus((strangers - own) / TEMPERATURE).mean() * TEMPERATURE
    margins = similar[target, target] - own
    return disc + 0.5 * back + 0.5 * rank, (margins.detach() > 0).float().mean()


class Traits(nn.Module):
    """A linear classifier per trait over the embedding before it is normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(128, len(values)) for values in TRAITS.values())

    def forward(self, logits_bd: Tensor, truth_bt: Tensor) -> Tensor:
        """Mean cross-entropy of all traits that can be seen; truth is an index, or UNSEEN."""
        losses = [
            F.cross_entropy(head(logits_bd), truth_bt[:, k], ignore_index=UNSEEN, reduction="sum")
            for k, head in enumerate(self.heads)
        ]
        return torch.stack(losses).sum() / (truth_bt != UNSEEN).sum()


def truth_of(drawn: Drawn, indices: NDArray[np.int64]) -> Tensor:
    """[n, traits] index of each picture's true values, UNSEEN where the trait is hidden."""
    people = [Character(id=0, **drawn.labels[int(i)]["traits"]) for i in indices]
    rows = [
        [
            values.index(seen) if seen in values else UNSEEN
            for seen, values in zip(who.signature, TRAITS.values(), strict=True)
        ]
        for who in people
    ]
    return torch.tensor(rows)


def loss_of(
    model: PreTrainedModel, heads: Traits, x_bchw: Tensor, truth_bt: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """NearID's loss of three equal parts (anchors, positives, look-alikes), and the traits'."""
    logits = model(x_bchw).logits.float()
    loss, pa = nearid_loss(*F.normalize(logits, dim=-1).chunk(3))
    traits = heads(logits, truth_bt)
    return loss + traits, {"batch_pa": float(pa), "traits": float(traits.detach())}


@torch.no_grad()
def measure(model: PreTrainedModel, held_out: Drawn, batches: list[Tensor]) -> dict[str, float]:
    """On held-out characters: PA, and retrieval among all of them and their look-alikes."""
    model.eval()
    vectors = torch.cat([embed(model, b) for b in batches])[
        torch.from_numpy(characters_of(held_out))
    ]
    model.train()
    positive, double, anchors = vectors[:, 0], vectors[:, 4], vectors[:, 1:4]
    s_own = (anchors * positive[:, None]).sum(-1)
    s_double = (anchors * double[:, None]).sum(-1)
    n = len(positive)
    # gallery: picture 0 of every character, and every look-alike; queries: pictures 1..3
    similar = anchors.flatten(0, 1) @ torch.cat([positive, double]).T
    right = similar.argmax(1).cpu() == torch.arange(n).repeat_interleave(3)
    return {
        "pa": float((s_own > s_double).float().mean()),
        "retrieval": float(right.float().mean()),
        "cos_same": float(s_own.mean()),
        "cos_double": float(s_double.mean()),
    }


def main(arguments: list[str] | None = None) -> None:
    """Train and export in fp16."""
    p = parser("identity", steps=2500, batch=24)
    eye_options(p)
    p.add_argument("--twin", action="store_true")
    options = p.parse_args(arguments)
    if options.twin:
        options.seed += 1000
        if options.out == WORK / "identity":
            options.out = WORK / "identity-twin"
    prepare(options)
    drawn, held_out = Drawn(options.drawn), Drawn(options.held_out)
    people = characters_of(drawn)
    if options.twin:  # another draw of the data: a random four fifths of the characters
        people = np.random.default_rng(options.seed).permutation(people)[: len(people) * 4 // 5]
    batches = held_out_batches(held_out, options.device)

    heads = Traits()

    def prepare_batch(index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((options.seed, index))
        rows = people[rng.permutation(len(people))[: options.batch]]
        indices = np.concatenate([rows[:, 1 + index % 3], rows[:, 0], rows[:, 4]])
        pictures = views(drawn, indices, rng, options.blackout, options.warp)
        return pictures, truth_of(drawn, indices)

    fit("identity", build(options.twin), options, prepare_batch,
        lambda model, x, truth: loss_of(model, heads, x, truth),
        lambda model: measure(model, held_out, batches), heads)  # fmt: skip


if __name__ == "__main__":
    main()
