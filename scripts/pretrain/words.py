"""Role text_encoder, begun: captions read before anything is painted.

A learned query per attribute attends to the caption's last hidden states, as the U-Net's cross-
attention will, and names the attribute's value: colours are bound to what they colour before the
U-Net sees a picture, which it would else have to find out from squared error. The queries are
thrown away; unet.py goes on with the text encoder (--words).

Captions of all drawn worlds are read alike; a group that a world does not have is not asked of it.
An encoder that a U-Net knows already (--start) learns the words of new worlds while mascots'
captions keep the states they had, so that the U-Net still understands them. Scores are of captions
of the held-out set, or are called trained_ where there is none.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from draw import Beside
from options import WORK, autocast, parser, prepare, printer, train
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from onbrand.illustrator import ATTRIBUTES, FASHION_ATTRIBUTES, PRODUCT_ATTRIBUTES, TRAITS
from onbrand.training.engine import Loop, Settings

__all__ = ["GROUPS", "Reader", "build", "main"]

GROUPS: dict[str, tuple[str, ...]] = {
    **TRAITS,
    **ATTRIBUTES,
    **PRODUCT_ATTRIBUTES,
    **FASHION_ATTRIBUTES,
}


def build(vocabulary: int, width: int = 128) -> CLIPTextModel:
    """An untrained text encoder of two layers."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary, hidden_size=width, intermediate_size=4 * width,
            num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=77,
            bos_token_id=0, eos_token_id=1, pad_token_id=1,
        )
    )  # fmt: skip


class Reader(nn.Module):
    """Text encoder, a query and a linear classifier per attribute."""

    def __init__(self, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        width = text_encoder.config.hidden_size
        self.text_encoder = text_encoder
        self.queries = nn.Parameter(torch.randn(len(GROUPS), width) * 0.02)
        self.keys, self.values = nn.Linear(width, width), nn.Linear(width, width)
        self.heads = nn.ModuleList(nn.Linear(width, len(v)) for v in GROUPS.values())

    def forward(self, tokens_bs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The encoder's states [b, s, width], and logits [b, values] per group."""
        states = self.text_encoder(tokens_bs)[0]
        weight = (self.queries @ self.keys(states).transpose(1, 2)).softmax(-1)  # [b, groups, s]
        read = weight @ self.values(states)
        return states, [head(read[:, g]) for g, head in enumerate(self.heads)]


def indices(label: dict[str, Any]) -> list[int]:
    """The true value of each group, -1 where there is none."""
    facts = {**label.get("traits", {}), **label.get("attributes", {})}
    return [values.index(facts[g]) if g in facts else -1 for g, values in GROUPS.items()]


class Captions:
    """The captions of drawn sets that tell attributes: those of faults do not."""

    def __init__(self, drawn: Beside, tokenizer: CLIPTokenizer, device: str) -> None:
        self.labels, self.tokenizer = drawn.labels, tokenizer
        told = [indices(label) for label in drawn.labels]
        self.truth = torch.tensor(told, device=device).view(-1, len(GROUPS))
        self.rows = np.nonzero((self.truth >= 0).any(1).cpu().numpy())[0]

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, rng: np.random.Generator, num: int) -> tuple[Tensor, Tensor]:
        """Tokens [num, 77] of captions drawn at random, and what each tells, [num, groups]."""
        rows = rng.choice(self.rows, num)
        texts = [self.labels[r]["captions"][int(rng.integers(3))] for r in rows]
        tokens = self.tokenizer(
            texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
        ).input_ids
        return tokens.to(self.truth.device), self.truth[rows]


def loss_of(logits: list[Tensor], truth_bg: Tensor) -> Tensor:
    """Mean cross-entropy of the groups that the batch has."""
    there = [g for g in range(len(logits)) if bool((truth_bg[:, g] >= 0).any())]
    each = [F.cross_entropy(logits[g].float(), truth_bg[:, g], ignore_index=-1) for g in there]
    return torch.stack(each).mean()


def accuracy(logits: list[Tensor], truth_bg: Tensor) -> dict[str, float]:
    """Share read right per group, of the captions that have it."""
    right = {name: (x.argmax(1) == truth_bg[:, g])[truth_bg[:, g] >= 0]
             for g, (name, x) in enumerate(zip(GROUPS, logits, strict=True))}  # fmt: skip
    return {name: round(float(r.float().mean()), 4) for name, r in right.items() if len(r)}


def main(arguments: list[str] | None = None) -> None:
    """Train on the drawn set's captions and export text_encoder/."""
    p = parser("words", steps=1500, batch=64)
    p.set_defaults(threads=1)
    p.add_argument("--rate", type=float, default=1e-3)
    p.add_argument("--width", type=int, default=128, help="128: the generator's; 96: alignment's")
    p.add_argument("--start", type=Path, help="a text_encoder/ that a U-Net knows, to go on from")
    p.add_argument("--held-out", type=Path, default=WORK / "drawn-held-out")
    p.add_argument("--tokenizer", type=Path, default=WORK / "tokenizer" / "tokenizer")
    options = p.parse_args(arguments)
    prepare(options)
    tokenizer = CLIPTokenizer.from_pretrained(options.tokenizer)
    told, held_out = (
        Captions(Beside.open(place), tokenizer, options.device)
        for place in (options.drawn, options.held_out)
    )
    known = (
        CLIPTextModel.from_pretrained(options.start, dtype=torch.float32) if options.start else None
    )
    model = Reader(copy.deepcopy(known) if known else build(len(tokenizer), options.width))
    model.to(options.device)
    if known:
        known.to(options.device)
    settings = Settings(
        num_steps=options.steps, learning_rate=options.rate, seed=options.seed, warmup_steps=100,
        weight_decay=0.01, checkpoint_every=500, log_every=50,
    )  # fmt: skip
    loop = Loop(options.out, dict(model.named_parameters()), settings, task="words", emit=printer())
    loop.resume()

    def step(index: int) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng((options.seed, index))
        tokens, wanted = told.batch(rng, options.batch)
        with autocast(options):
            states, logits = model(tokens)
        read = loss_of(logits, wanted)
        mascots = wanted[:, list(GROUPS).index("species")] >= 0
        if known is None or not mascots.any():
            return read, {"read": float(read.detach())}
        with torch.no_grad():
            before = known(tokens[mascots])[0]
        kept = F.mse_loss(states[mascots].float(), before) / before.var()
        return read + kept, {"read": float(read.detach()), "moved": float(kept.detach())}

    train(loop, step, {}, options)
    model.text_encoder.save_pretrained(options.out / "text_encoder")
    asked, of = (held_out, "") if len(held_out) else (told, "trained_")
    with torch.no_grad():
        tokens, wanted = asked.batch(np.random.default_rng(0), 8 * options.batch)
        share = {f"{of}{k}": v for k, v in accuracy(model(tokens)[1], wanted).items()}
    print(share, flush=True)
    (options.out / "scores.json").write_text(json.dumps(share))


if __name__ == "__main__":
    main()
