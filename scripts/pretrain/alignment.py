"""Role alignment: does the picture show what the words say?

A VisionTextDualEncoderModel over a small tokenizer of its own, trained to pick a picture's caption
among the batch's and among its own with one attribute changed (a red fox for a blue fox, a mug for
no mug): the errors that a generator makes. Pictures are drawn ones of all worlds and emoji, whose
untrue captions name another thing or style. Both towers begin as readers of attributes: the
picture's as a classifier (--vision), the words' as words.py left it (--words).
Linear heads that both towers share read the attributes from either vector while they learn, and are
thrown away: contrast alone took them from neither.

The evaluation twin (--twin) has a ResNet where the training side has a RegNet, another seed and
other data: four fifths of the pictures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from attributes import GROUPS as READ
from attributes import targets_of
from draw import Beside
from eyes import eye_options, fit, held_out_batches, regnet, resnet
from options import WORK, parser, prepare
from pictures import Pixels, pack_emoji, to_tensor
from torch import Generator, Tensor, nn
from transformers import (
    AutoModel,
    CLIPTextModel,
    CLIPTokenizer,
    PreTrainedModel,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)
from views import Pictures, laid, relit, views
from words import build as text_encoder
from worlds import WORLDS, captions_of, world_of

from onbrand.bench.emoji import HELD_OUT_EVERY, STYLES, emoji_caption

__all__ = ["Emoji", "build", "loss_of", "main", "measure"]

WRONG_EACH = 4  # untrue captions of each picture
AMONG = 20  # captions, when measured
TRIES = 50  # draws for each caption that is wanted
NOTHING = "a photo of nothing"  # where no more untrue ones are to be had
READ_SCALE, READ_WEIGHT = 10.0, 2.0
GROUPS = {name: values for name, values in READ.items() if name != "fault"}


class Emoji:
    """The emoji as pictures with captions, laid on backdrops."""

    def __init__(self, pixels: Pixels, things: list[dict[str, Any]], held_out: bool) -> None:
        self.pixels, self.things = pixels, things
        every = np.arange(len(things))
        self.rows = every[(every % HELD_OUT_EVERY == 0) == held_out]
        self.names = sorted({thing["text"] for thing in things})

    def picture(self, row: int) -> Pixels:
        """[128, 128, 3] of a row of `pixels`, on white."""
        alpha = self.pixels[row][..., 3:].astype(np.float32) / 255
        flat: Pixels = (self.pixels[row][..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
        return flat

    def caption(self, row: int) -> str:
        """What it shows, in which style."""
        return emoji_caption(self.things[row]["text"], self.things[row]["style"])

    def captions(
        self, row: int, rng: np.random.Generator, num: int, *, styles: bool = True
    ) -> list[str]:
        """The true one, then num - 1 untrue ones, which differ while there are so many things."""
        found = {self.caption(row): None}
        for _ in range(TRIES * num):
            found.setdefault(self._untrue(row, rng, styles))
            if len(found) == num:
                break
        return filled(list(found), num)

    def _untrue(self, row: int, rng: np.random.Generator, styles: bool) -> str:
        """Another thing in its style, or, one time in five, the same in another style."""
        thing = self.things[row]
        if styles and rng.random() < 0.2:
            others = [style for style in STYLES if style != thing["style"]]
            return emoji_caption(thing["text"], others[int(rng.integers(len(others)))])
        while (name := self.names[int(rng.integers(len(self.names)))]) == thing["text"]:
            pass
        return emoji_caption(name, thing["style"])


def build(vocabulary: int, twin: bool = False, vision: Path | None = None) -> PreTrainedModel:
    """An untrained dual encoder of 128 dimensions, or one that sees as the classifier `vision`."""
    body = (resnet if twin else regnet)(num_labels=2).base_model
    if vision:
        body = AutoModel.from_pretrained(vision, dtype=torch.float32)
    body.config.hidden_size = body.config.hidden_sizes[-1]  # the dual encoder asks for it
    body.config.image_size = 128
    words = text_encoder(vocabulary, 96)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        body.config, words.config, projection_dim=128
    )
    return VisionTextDualEncoderModel(config, vision_model=body, text_model=words)


def picture_vectors(model: PreTrainedModel, x: Tensor) -> Tensor:
    """[b, d], L2-normalised."""
    pooled = model.vision_model(pixel_values=x).pooler_output.flatten(1)
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
    model: PreTrainedModel, tests: dict[str, tuple[list[Tensor], list[list[str]]]],
    tokenizer: CLIPTokenizer,
) -> dict[str, float]:  # fmt: skip
    """Per kind of picture, the share whose caption, the first, beats all its wrong ones."""
    model.eval()
    scores = {}
    for name, (batches, captions) in tests.items():
        pictures = torch.cat([picture_vectors(model, b) for b in batches])
        texts = vectors_of(model, tokenizer, [text for row in captions for text in row])
        similar = torch.einsum("nd,nkd->nk", pictures, texts.unflatten(0, (len(captions), -1)))
        scores[f"of_{len(captions[0])}_{name}"] = float((similar.argmax(1) == 0).float().mean())
    model.train()
    return {name: round(score, 4) for name, score in scores.items()}


def asked_of(
    held_out: Beside, emoji: Emoji, device: str, num: int = 300
) -> dict[str, tuple[list[Tensor], list[list[str]]]]:
    """Held-out pictures of each world and emoji, each with its caption and 19 wrong ones; an emoji
    is held out in one style, and trained on in others."""
    rng = np.random.default_rng(0)
    tests = {}
    for world in WORLDS:
        rows = [i for i, label in enumerate(held_out.labels) if world_of(label) == world][:num]
        captions = [filled(captions_of(held_out.labels[i], rng, AMONG), AMONG) for i in rows]
        if rows:
            tests[world] = (held_out_batches(held_out, device, rows=rows), captions)
    rows = [int(r) for r in emoji.rows]
    pictures = to_tensor(np.stack([emoji.picture(r) for r in rows])).to(device)
    nouns = [emoji.captions(r, rng, AMONG, styles=False) for r in rows]
    return {**tests, "emoji": (list(pictures.split(50)), nouns)}


def filled(captions: list[str], num: int) -> list[str]:
    """With what no picture shows, where there are fewer."""
    return captions + [NOTHING] * (num - len(captions))


class Named(nn.Module):
    """A linear classifier per attribute that reads the vector of either tower: what a picture and a
    caption both show is written in the same places."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(128, len(values)) for values in GROUPS.values())

    def forward(self, vectors_bd: Tensor, truth_bg: Tensor) -> Tensor:
        """Mean cross-entropy of the attributes that there are; truth is an index, or -1."""
        scaled = vectors_bd * READ_SCALE
        losses = [
            F.cross_entropy(head(scaled), truth_bg[:, k], ignore_index=-1, reduction="sum")
            for k, head in enumerate(self.heads)
        ]
        return torch.stack(losses).sum() / (truth_bg >= 0).sum().clamp_min(1)


def loss_of(
    model: PreTrainedModel, named: Named, x_bchw: Tensor, tokens_ns: Tensor, truth_bg: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Contrastive among the batch's captions and the untrue ones, each against its own, and the
    attributes read from pictures and true captions alike.

    Row i of the first n captions is picture i's; rows n + 4i to n + 4i + 3 are its untrue ones.
    """
    n = len(x_bchw)
    pictures = picture_vectors(model, x_bchw).float()
    texts = text_vectors(model, tokens_ns).float()
    similar = pictures @ texts.T * model.logit_scale.exp().clamp_max(100)
    target = torch.arange(n, device=x_bchw.device)
    wrong = similar[:, n:].reshape(n, n, WRONG_EACH)[target, target]
    own = torch.cat([similar[:, :n].diagonal()[:, None], wrong], 1)
    hard = F.cross_entropy(own, torch.zeros_like(target))
    loss = F.cross_entropy(similar, target) + F.cross_entropy(similar[:, :n].T, target) + hard
    seen, said = named(pictures, truth_bg), named(texts[:n], truth_bg)
    loss = loss + READ_WEIGHT * (seen + said)
    return loss, {
        "seen": float(seen.detach()),
        "said": float(said.detach()),
        "batch_own": float((own[:, 0] >= own.max(1).values).float().mean()),
    }


def main(arguments: list[str] | None = None) -> None:
    """Train and export in fp16, the tokenizer beside the weights."""
    p = parser("alignment", steps=2000, batch=32)
    eye_options(p)
    p.add_argument("--twin", action="store_true")
    p.add_argument("--tokenizer", type=Path, default=WORK / "tokenizer-eyes" / "tokenizer")
    p.add_argument("--vision", type=Path, help="a classifier of the same body to begin with")
    p.add_argument("--words", type=Path, help="a text_encoder/ from words.py --width 96")
    p.add_argument("--emoji-share", type=float, default=0.25)
    options = p.parse_args(arguments)
    if options.twin:
        options.seed += 1000
        if options.out == WORK / "alignment":
            options.out = WORK / "alignment-twin"
    prepare(options)
    drawn, held_out = Beside.open(options.drawn), Beside.open(options.held_out)
    packed = pack_emoji(options.emoji, options.work)
    emoji, others = Emoji(*packed, held_out=False), Emoji(*packed, held_out=True)
    tokenizer = CLIPTokenizer.from_pretrained(options.tokenizer)
    model = build(len(tokenizer), options.twin, options.vision)
    if options.words:
        state = CLIPTextModel.from_pretrained(options.words, dtype=torch.float32).state_dict()
        model.text_model.load_state_dict(state)
    rows_of = np.array([i for i, label in enumerate(drawn.labels) if world_of(label)])
    if options.twin:
        rows_of = np.random.default_rng(options.seed).permutation(rows_of)[: len(rows_of) * 4 // 5]
    tests = asked_of(held_out, others, options.device)

    truth, named = targets_of(drawn.labels)[:, : len(GROUPS)], Named()
    pictures, icons = Pictures.both(drawn, options.device), Pictures(packed[0], options.device)

    def prepare_batch(index: int) -> tuple[Tensor, ...]:
        rng = np.random.default_rng((options.seed, index))
        num = round(options.emoji_share * options.batch)
        rows, signs = rng.choice(rows_of, options.batch - num), rng.choice(emoji.rows, num)
        among = 1 + WRONG_EACH
        told = [filled(captions_of(drawn.labels[r], rng, among), among) for r in rows]
        told += [emoji.captions(r, rng, among) for r in signs]
        known = torch.cat([truth[rows], truth.new_full((num, truth.shape[1]), -1)])
        own, wrong = [row[0] for row in told], [text for row in told for text in row[1:]]
        texts = tokenise(tokenizer, own + wrong)
        return torch.from_numpy(rows), torch.from_numpy(signs), texts, known

    def see(g: Generator, rows: Tensor, signs: Tensor, *told: Tensor) -> tuple[Tensor, ...]:
        shown = views(pictures, rows, g, warp=options.warp, flip=False)
        return torch.cat([shown, relit(laid(icons(signs), (0.7, 1.05), g)[0], g)]), *told

    fit("alignment", model, options, prepare_batch,
        lambda model, *batch: loss_of(model, named, *batch),
        lambda model: measure(model, tests, tokenizer), named, see)  # fmt: skip
    tokenizer.save_pretrained(options.out / "model")


if __name__ == "__main__":
    main()
