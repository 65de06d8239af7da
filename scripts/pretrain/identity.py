"""Roles identity and twins/identity: which character is this, whatever the scene.

One L2-normalised vector of 128. First it learns to read: linear heads that are thrown away tell
every trait from unrelated pictures. Then the heads go on beside NearID's loss (arXiv 2604.01973):
the positive against the batch and against a look-alike *in the positive's own scene*, plus 0.5
times a ranking term that keeps look-alikes nearer than strangers. Triples alone teach slowly: a
batch then has a third as many characters, and its colours tell nearly all of them apart. A
quarter of the triples are emoji, against their recoloured selves: there is more than one world.
`--twin` trains the evaluation twin: another architecture, seed, augmentation and order of data; it
may start from the attribute reader, which is evaluation's too.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from draw import Drawn
from eyes import characters_of, eye_options, fit, held_out_batches, regnet, resnet
from numpy.typing import NDArray
from options import WORK, parser, prepare
from pictures import pack_emoji
from strangers import Strangers
from torch import Generator, Tensor, nn
from transformers import PreTrainedModel
from views import Pictures, views

from onbrand.illustrator import TRAITS, Character, indistinguishable

__all__ = ["Traits", "build", "loss_of", "main", "measure", "nearid_loss"]

TEMPERATURE = 0.07
TRAITS_WEIGHT = 4.0
UNSEEN = -100  # the class that cross-entropy passes over


def build(twin: bool) -> PreTrainedModel:
    """An untrained encoder whose 128 logits are the embedding."""
    if twin:  # the attribute reader's architecture, to begin with its weights
        return resnet(num_labels=128)
    return regnet(num_labels=128)


def embed(model: PreTrainedModel, pixels_bchw: Tensor) -> Tensor:
    """[b, 128], L2-normalised."""
    return F.normalize(model(pixels_bchw).logits.float(), dim=-1)


def nearid_loss(anchor_bd: Tensor, positive_bd: Tensor, double_bd: Tensor) -> tuple[Tensor, Tensor]:
    """(L_disc + 0.5 L_rank, share of positives nearer to their anchor than to their look-alike).

    Row i of `double` looks like row i of `positive` in the same scene, but is someone else; the
    anchor is in another scene. From both of the two the look-alike must be told; only the positive
    shares its background, which is the harder half and the one that is measured.
    """
    n = len(anchor_bd)
    target = torch.arange(n, device=anchor_bd.device)
    disc = rank = anchor_bd.new_zeros(())
    for one, other in ((anchor_bd, positive_bd), (positive_bd, anchor_bd)):
        similar = one @ torch.cat([other, double_bd]).T
        disc = disc + F.cross_entropy(similar / TEMPERATURE, target)
        own = similar[target, target + n]
        strangers = similar[:, :n].masked_fill(target[:, None] == target, -1).amax(1)
        rank = rank + F.softplus((strangers - own) / TEMPERATURE).mean() * TEMPERATURE
        margins = similar[target, target] - own
    return disc + 0.5 * rank, (margins.detach() > 0).float().mean()


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


def shown_doubles(drawn: Drawn, people: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of these rows of `characters_of` those whose look-alike can be told in its scene."""
    hidden = [indistinguishable(drawn.pixels(row[0]), drawn.pixels(row[4])) for row in people]
    shown: NDArray[np.int64] = people[~np.array(hidden)]
    return shown


def truth_of(drawn: Drawn) -> Tensor:
    """[n, traits] index of each picture's true values, UNSEEN where the trait is hidden."""
    people = [Character(id=0, **label["traits"]) for label in drawn.labels]
    rows = [
        [
            values.index(seen) if seen in values else UNSEEN
            for seen, values in zip(who.signature, TRAITS.values(), strict=True)
        ]
        for who in people
    ]
    return torch.tensor(rows)


def loss_of(
    model: PreTrainedModel, heads: Traits, x_bchw: Tensor, truth_bt: Tensor, triples: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """The traits' loss; NearID's too where the rows are equal parts of anchors, positives and
    look-alikes (`triples`, a boolean)."""
    logits = model(x_bchw).logits.float()
    traits = heads(logits, truth_bt)
    numbers = {"traits": float(traits.detach())}
    if not triples:
        return TRAITS_WEIGHT * traits, numbers
    loss, pa = nearid_loss(*F.normalize(logits, dim=-1).chunk(3))
    return loss + TRAITS_WEIGHT * traits, {**numbers, "batch_pa": float(pa)}


def beside(one: Tensor, two: Tensor) -> Tensor:
    """Two stacks of equal thirds (anchors, positives, look-alikes) as one such stack."""
    thirds = zip(one.chunk(3), two.chunk(3), strict=True)
    return torch.cat([part for pair in thirds for part in pair])


@torch.no_grad()
def measure(model: PreTrainedModel, held_out: Drawn, batches: list[Tensor]) -> dict[str, float]:
    """On held-out characters: PA (the look-alike in the same scene), also by the trait in which it
    differs, and retrieval among all of them and their look-alikes."""
    model.eval()
    people = shown_doubles(held_out, characters_of(held_out))
    vectors = torch.cat([embed(model, b) for b in batches])[torch.from_numpy(people)]
    model.train()
    positive, double, anchors = vectors[:, 0], vectors[:, 4], vectors[:, 1:4]
    s_own = (anchors * positive[:, None]).sum(-1)
    s_double = (positive * double).sum(-1)[:, None].expand_as(s_own)
    nearer = (s_own > s_double).float().mean(1).cpu()
    changed = [held_out.labels[i]["changed_trait"] for i in people[:, 4]]
    by_trait = {
        f"pa_{name}": float(nearer[[c == name for c in changed]].mean())
        for name in sorted(set(changed))
    }
    n = len(positive)
    # gallery: picture 0 of every character, and every look-alike; queries: pictures 1..3
    similar = anchors.flatten(0, 1) @ torch.cat([positive, double]).T
    right = similar.argmax(1).cpu() == torch.arange(n).repeat_interleave(3)
    return {
        "pa": float(nearer.mean()),
        "retrieval": float(right.float().mean()),
        "cos_same": float(s_own.mean()),
        "cos_double": float(s_double.mean()),
        **by_trait,
    }


def main(arguments: list[str] | None = None) -> None:
    """Train and export in fp16."""
    p = parser("identity", steps=5000, batch=16)
    eye_options(p)
    p.add_argument("--twin", action="store_true")
    p.add_argument("--strangers", type=float, default=0.25, help="share of emoji among the triples")
    p.add_argument("--reading", type=float, default=0.6, help="share of steps that only read")
    options = p.parse_args(arguments)
    if options.twin:
        options.seed += 1000
        if options.out == WORK / "identity":
            options.out = WORK / "identity-twin"
    prepare(options)
    drawn, held_out = Drawn(options.drawn), Drawn(options.held_out)
    people, every_truth = characters_of(drawn), truth_of(drawn)
    if options.twin:  # another draw of the data: a random four fifths of the characters
        people = np.random.default_rng(options.seed).permutation(people)[: len(people) * 4 // 5]
    doubled = shown_doubles(drawn, people)
    batches = held_out_batches(held_out, options.device)
    strangers = Strangers(*pack_emoji(options.emoji, options.work), options.device)
    pictures, heads = Pictures.both(drawn, options.device), Traits()

    def prepare_batch(index: int) -> tuple[Tensor, ...]:
        rng = np.random.default_rng((options.seed, index))
        triples = index >= options.reading * options.steps
        num = round(options.strangers * options.batch) if triples else 0
        if triples:
            rows = doubled[rng.permutation(len(doubled))[: options.batch - num]]
            indices = np.concatenate([rows[:, 1 + index % 3], rows[:, 0], rows[:, 4]])
        else:
            indices = rng.choice(people.ravel(), 3 * options.batch)
        truth = every_truth[indices]
        if num:
            truth = beside(truth, torch.full((3 * num, len(TRAITS)), UNSEEN))
        return torch.from_numpy(indices), strangers.pick(rng, num), truth, torch.tensor(triples)

    def see(g: Generator, rows: Tensor, emoji: Tensor, *known: Tensor) -> tuple[Tensor, ...]:
        x = views(pictures, rows, g, blackout=options.blackout, warp=options.warp)
        if len(emoji):
            x = beside(x, strangers.triples(emoji, g, options.warp))
        return x, *known

    fit("identity", build(options.twin), options, prepare_batch,
        lambda model, *batch: loss_of(model, heads, *batch),
        lambda model: measure(model, held_out, batches), heads, see)  # fmt: skip


if __name__ == "__main__":
    main()
