"""Role alignment: does the picture show what the words say?

A VisionTextDualEncoderModel (ConvNextV2 + CLIP text) over the pack's tokenizer, trained to pick a
picture's caption among the batch's and among its own with one attribute word changed (a red fox
for a blue fox, waving for sitting): the errors that a generator makes.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from draw import Drawn
from eyes import eye_options, fit, held_out_batches, views
from options import WORK, parser, prepare
from torch import Tensor
from transformers import (
    CLIPTextModel,
    CLIPTokenizer,
    ConvNextV2Config,
    ConvNextV2Model,
    PreTrainedModel,
    VisionTextDualEncoderModel,
)
from words import build as text_encoder

from onbrand.illustrator import ATTRIBUTES, TRAITS

__all__ = ["build", "loss_of", "main", "measure", "spoil"]

WORDS: dict[str, tuple[str, ...]] = {
    "species": TRAITS["species"],
    "colour": TRAITS["colour"],
    "outfit": tuple(w for w in TRAITS["outfit"] if w != "none"),
    "accessory": tuple(w for w in TRAITS["accessory"] if w != "none"),
    "pose": ATTRIBUTES["pose"],
    "manner": ("happily", "laughing", "sadly", "angrily", "looking surprised", "sleepily",
               "winking", "calmly"),
    "face": ("a happy smile", "a laughing face", "a sad face", "an angry face", "a surprised face",
             "a sleepy face", "a wink", "a calm face"),
    "prop": tuple(w for w in ATTRIBUTES["prop"] if w != "none"),
    "place": ("meadow", "forest", "beach", "city street", "snowy hills", "market", "cosy room",
              "desert", "mountains"),
    "hour": ("by day", "at sunset", "at night"),
}  # fmt: skip
_FIND = {
    group: re.compile(
        r"\b(" + "|".join(sorted(map(re.escape, words), key=len, reverse=True)) + r")\b"
    )
    for group, words in WORDS.items()
}


def spoil(caption: str, rng: np.random.Generator) -> str:
    """The caption with one attribute's word changed, so that it is no longer true."""
    present = [group for group, find in _FIND.items() if find.search(caption)]
    if not present:
        return "a photo of nothing"
    group = present[int(rng.integers(len(present)))]
    hits = list(_FIND[group].finditer(caption))
    hit = hits[int(rng.integers(len(hits)))]
    others = [word for word in WORDS[group] if word != hit.group()]
    word = others[int(rng.integers(len(others)))]
    return caption[: hit.start()] + word + caption[hit.end() :]


def build(vocabulary: int) -> PreTrainedModel:
    """An untrained dual encoder, 512 dimensions."""
    vision = ConvNextV2Config(
        num_channels=3, patch_size=4, hidden_sizes=[32, 64, 128, 160], depths=[1, 1, 2, 1],
        hidden_size=160, image_size=128,  # the dual encoder reads hidden_size
    )  # fmt: skip
    return VisionTextDualEncoderModel(
        vision_model=ConvNextV2Model(vision), text_model=text_encoder(vocabulary, 96)
    )


def picture_vectors(model: PreTrainedModel, x: Tensor) -> Tensor:
    """[b, d], L2-normalised."""
    pooled = model.vision_model(pixel_values=x).pooler_output
    return F.normalize(model.visual_projection(pooled), dim=-1)


def text_vectors(model: PreTrainedModel, tokens: Tensor) -> Tensor:
    """[b, d], L2-normalised."""
    pooled = model.text_model(input_ids=tokens).pooler_output
    return F.normalize(model.text_projection(pooled), dim=-1)


def tokenise(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """[b, longest]: the text is causal, so padding after its end changes nothing."""
    out = tokenizer(texts, padding=True, truncation=True, max_length=77, return_tensors="pt")
    ids: Tensor = out.input_ids
    return ids


def vectors_of(model: PreTrainedModel, tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """[n, d] of many texts, a hundred at a time."""
    device = next(model.parameters()).device
    tokens = (tokenise(tokenizer, texts[i : i + 100]) for i in range(0, len(texts), 100))
    return torch.cat([text_vectors(model, t.to(device)) for t in tokens])


@torch.no_grad()
def measure(
    model: PreTrainedModel, held_out: Drawn, batches: list[Tensor], tokenizer: CLIPTokenizer
) -> dict[str, float]:
    """Share of held-out pictures whose caption beats one changed word; mean cosines."""
    model.eval()
    rng = np.random.default_rng(0)
    true = [label["captions"][0] for label in held_out.labels]
    false = [spoil(caption, rng) for caption in true]
    pictures = torch.cat([picture_vectors(model, b) for b in batches])
    good, bad = ((pictures * vectors_of(model, tokenizer, t)).sum(1) for t in (true, false))
    model.train()
    return {
        "one_word": float((good > bad).float().mean()),
        "cos_true": float(good.mean()),
        "cos_false": float(bad.mean()),
    }


def loss_of(
    model: PreTrainedModel, x_bchw: Tensor, tokens_ns: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Contrastive among the batch's captions and the spoiled ones, and each against its own two.

    Row i of the first n captions is picture i's; rows n + 2i and n + 2i + 1 are its spoiled ones.
    """
    n = len(x_bchw)
    pictures = picture_vectors(model, x_bchw).float()
    texts = text_vectors(model, tokens_ns).float()
    similar = pictures @ texts.T * model.logit_scale.exp().clamp_max(100)
    target = torch.arange(n, device=x_bchw.device)
    own = torch.cat(
        [similar[:, :n].diagonal()[:, None], similar[:, n:].reshape(n, n, 2)[target, target]], 1
    )
    hard = F.cross_entropy(own, torch.zeros_like(target))
    loss = F.cross_entropy(similar, target) + F.cross_entropy(similar[:, :n].T, target) + hard
    return loss, {"batch_one_word": float((own[:, 0] >= own.max(1).values).float().mean())}


def main(arguments: list[str] | None = None) -> None:
    """Train and export in fp16."""
    p = parser("alignment", steps=2500, batch=32)
    eye_options(p)
    p.add_argument("--tokenizer", type=Path, default=WORK / "tokenizer" / "tokenizer")
    p.add_argument("--words", type=Path, help="a text_encoder/ from words.py --width 96")
    options = p.parse_args(arguments)
    prepare(options)
    drawn, held_out = Drawn(options.drawn), Drawn(options.held_out)
    tokenizer = CLIPTokenizer.from_pretrained(options.tokenizer)
    model = build(len(tokenizer))
    if options.words:
        state = CLIPTextModel.from_pretrained(options.words, dtype=torch.float32).state_dict()
        model.text_model.load_state_dict(state)
    batches = held_out_batches(held_out, options.device)

    def prepare_batch(index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((options.seed, index))
        rows = rng.integers(0, len(drawn), options.batch)
        captions = [drawn.labels[r]["captions"][int(rng.integers(3))] for r in rows]
        spoiled = [spoil(c, rng) for c in captions for _ in range(2)]
        tokens = tokenise(tokenizer, captions + spoiled)
        return views(drawn, rows, rng, 0.0, options.warp, flip=False), tokens

    fit("alignment", model, options, prepare_batch, loss_of,
        lambda model: measure(model, held_out, batches, tokenizer))  # fmt: skip


if __name__ == "__main__":
    main()
