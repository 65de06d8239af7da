"""Role text_encoder, begun: captions read before anything is painted.

A learned query per attribute attends to the caption's last hidden states, as the U-Net's cross-
attention will, and names the attribute's value: colours are bound to what they colour before the
U-Net sees a picture, which it would else have to find out from squared error. The queries are
thrown away; unet.py goes on with the text encoder (--words).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from draw import Drawn
from options import WORK, autocast, parser, prepare, printer
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from onbrand.illustrator import ATTRIBUTES, TRAITS
from onbrand.training.engine import Loop, Settings

__all__ = ["GROUPS", "Reader", "build", "main"]

GROUPS: dict[str, tuple[str, ...]] = {**TRAITS, **ATTRIBUTES}


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

    def forward(self, tokens_bs: Tensor) -> list[Tensor]:
        """Logits [b, values] per group."""
        states = self.text_encoder(tokens_bs)[0]
        weight = (self.queries @ self.keys(states).transpose(1, 2)).softmax(-1)  # [b, groups, s]
        read = weight @ self.values(states)
        return [head(read[:, g]) for g, head in enumerate(self.heads)]


def main(arguments: list[str] | None = None) -> None:
    """Train on the drawn set's captions and export text_encoder/."""
    p = parser("words", steps=1500, batch=64)
    p.set_defaults(threads=1)
    p.add_argument("--rate", type=float, default=1e-3)
    p.add_argument("--width", type=int, default=128, help="128: the generator's; 96: alignment's")
    p.add_argument("--tokenizer", type=Path, default=WORK / "tokenizer" / "tokenizer")
    options = p.parse_args(arguments)
    prepare(options)
    drawn = Drawn(options.drawn)
    tokenizer = CLIPTokenizer.from_pretrained(options.tokenizer)
    model = Reader(build(len(tokenizer), options.width)).to(options.device)
    settings = Settings(
        num_steps=options.steps, learning_rate=options.rate, seed=options.seed, warmup_steps=100,
        weight_decay=0.01, checkpoint_every=500, log_every=50,
    )  # fmt: skip
    loop = Loop(options.out, dict(model.named_parameters()), settings, task="words", emit=printer())
    loop.resume()

    def batch(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        labels = [drawn.labels[r] for r in rng.integers(0, len(drawn), options.batch)]
        texts = [label["captions"][int(rng.integers(3))] for label in labels]
        facts = [{**label["traits"], **label["attributes"]} for label in labels]
        truth = [[values.index(f[g]) for g, values in GROUPS.items()] for f in facts]
        tokens = tokenizer(
            texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
        ).input_ids
        return tokens.to(options.device), torch.tensor(truth, device=options.device)

    def step(index: int) -> tuple[Tensor, dict[str, float]]:
        tokens, truth = batch(np.random.default_rng((options.seed, index)))
        with autocast(options):
            logits = model(tokens)
        losses = [F.cross_entropy(x.float(), truth[:, g]) for g, x in enumerate(logits)]
        right = [float((x.argmax(1) == truth[:, g]).float().mean()) for g, x in enumerate(logits)]
        return torch.stack(losses).mean(), {"read": sum(right) / len(right)}

    loop.run(step, limit_s=options.limit_s)
    model.text_encoder.save_pretrained(options.out / "text_encoder")
    with torch.no_grad():
        rng = np.random.default_rng(0)
        share = dict.fromkeys(GROUPS, 0.0)
        for _ in range(8):
            tokens, truth = batch(rng)
            for g, (name, x) in enumerate(zip(GROUPS, model(tokens), strict=True)):
                share[name] += float((x.argmax(1) == truth[:, g]).float().mean()) / 8
    print(share, flush=True)
    (options.out / "scores.json").write_text(json.dumps(share))


if __name__ == "__main__":
    main()
