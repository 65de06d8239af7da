"""Role tokenizer: CLIP's byte-pair encoding over the project's own words, about 6k entries.

Trained on the drawn sets' captions, the emoji's texts and words.txt (ordinary English words), so
that what people ask for breaks into few pieces. Also writes vocabulary.json: the words that the
base has seen in captions, for the warning about unseen words. A base that goes on learning keeps
its tokenizer (--keep): then only the words that it has seen are listed anew.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

from draw import Beside
from options import ROOT, parser, prepare
from pictures import pack_emoji
from transformers import CLIPTokenizer

from onbrand.bench.emoji import emoji_caption

__all__ = ["main", "train", "words_of"]

LENGTH = 77


def words_of(text: str) -> Iterator[str]:
    """Lower-case words of a caption, hyphens kept."""
    return (m.group() for m in re.finditer(r"[a-z][a-z'’-]*", text.lower()))


def alphabet() -> list[str]:
    """Characters that hold every byte of UTF-8, alone and inside a word: nothing is unknown."""
    latin = [chr(c) for c in range(0x21, 0x800)]
    wide = [chr(c) for c in range(0x800, 0xFFFF, 0x40) if not 0xD800 <= c < 0xE000]
    return latin + wide + [chr(c) for c in range(0x1_0000, 0x11_0000, 0x4_0000 >> 6)]


def train(captions: list[str], words: list[str], size: int) -> CLIPTokenizer:
    """A CLIPTokenizer of at most `size` entries; words count as often as captions in all."""
    seed = CLIPTokenizer(
        vocab={"<|startoftext|>": 0, "<|endoftext|>": 1}, merges=[], pad_token="<|endoftext|>"
    )
    texts = captions + alphabet() + words * max(1, 20_000 // max(1, len(words)))
    fresh = seed.train_new_from_iterator(texts, vocab_size=size)
    fresh.model_max_length = LENGTH
    return fresh


def main(arguments: list[str] | None = None) -> None:
    """Train on what is drawn and save tokenizer/ and vocabulary.json."""
    p: argparse.ArgumentParser = parser("tokenizer", steps=0, batch=0)
    p.add_argument("--size", type=int, default=6000)
    p.add_argument("--keep", type=Path, help="a tokenizer/ that a base was trained with")
    options = p.parse_args(arguments)
    prepare(options)
    captions = [c for label in Beside.open(options.drawn).labels for c in label["captions"]]
    _, things = pack_emoji(options.emoji, options.work)
    captions += [emoji_caption(t["text"], t["style"]) for t in things]
    words = (ROOT / "scripts/pretrain/words.txt").read_text("utf-8").split()
    tokenizer = (
        CLIPTokenizer.from_pretrained(options.keep)
        if options.keep
        else train(captions, words, options.size)
    )
    tokenizer.save_pretrained(options.out / "tokenizer")
    seen = sorted({w for c in captions for w in words_of(c)})
    (options.out / "vocabulary.json").write_text(json.dumps({"words": seen}))
    again = CLIPTokenizer.from_pretrained(options.out / "tokenizer")
    some = captions[:: max(1, len(captions) // 5000)]
    lengths = [len(x) for x in again(some)["input_ids"]]
    print(
        f"{len(again)} entries, captions of {sum(lengths) / len(lengths):.1f} tokens,"
        f" longest {max(lengths)}; {len(seen)} words seen",
        flush=True,
    )


if __name__ == "__main__":
    main()
