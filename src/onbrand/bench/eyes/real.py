"""What the eyes see in real pictures that they never learned from: a mascot, photographs, emoji
(whose things they learned in other styles)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from onbrand.bench.emoji import STYLES, Emoji, emoji_caption
from onbrand.bench.eyes.identity import Embed, embedded
from onbrand.bench.eyes.sight import captions_told
from onbrand.bench.record import Result, mean_metric
from onbrand.judging.looking import to_pixels

if TYPE_CHECKING:
    from onbrand.models.perception import Alignment, ExpressionReader

__all__ = [
    "emoji_styles",
    "gopher_captions",
    "gopher_expressions",
    "gopher_margins",
    "photographs_matched",
]

SAID = {
    "winking": ("wink",), "laughing": ("laugh",), "sad": ("crying", "sad"),
    "angry": ("angry", "furious", "grumpy", "annoyed"), "surprised": ("shocked", "surprised"),
    "sleepy": ("sleep", "tired", "bored"), "happy": ("smiling",), "calm": ("neutral", "dull"),
}  # fmt: skip
"""Expressions that are read, and how the captions call them; the first that fits counts."""

VARIANT = "colour variant"
"""The note of look-alikes; another note, of one that is half hidden, makes it no other mascot."""


def _told(folder: Path) -> list[dict[str, str]]:
    lines = (folder / "metadata.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def gopher_expressions(
    reader: ExpressionReader, folder: Path, size_px: int, seed: int
) -> dict[str, Result]:
    """Of a real mascot's pictures, the share in which a face is found, and, of those whose caption
    says an expression that is read, the share read so (no face: wrong)."""
    told = _told(folder)
    shown = to_pixels([Image.open(folder / t["file_name"]).convert("RGBA") for t in told], size_px)
    tables = [table for part in shown.split(25) for table in reader.read(part)]
    right = []
    for line, table in zip(told, tables, strict=True):
        words = [x for x, stems in SAID.items() if any(stem in line["text"] for stem in stems)]
        if words:
            right.append(float(max(table, key=table.__getitem__, default="") == words[0]))
    return {
        "gopher_faces_fraction": mean_metric([float(bool(t)) for t in tables], seed=seed),
        "gopher_expressions_fraction": mean_metric(right or [0.0], seed=seed),
    }


def gopher_captions(eye: Alignment, folder: Path, size_px: int, seed: int) -> Result:
    """Share of a real mascot's pictures whose own caption fits better than 19 others'."""
    told, rng = _told(folder), np.random.default_rng(seed)
    texts = list(dict.fromkeys(t["text"] for t in told))
    lines = []
    for line in told:
        others = [text for text in rng.permutation(texts).tolist() if text != line["text"]]
        lines.append([line["text"], *others[:19]])
    shown = to_pixels([Image.open(folder / t["file_name"]).convert("RGBA") for t in told], size_px)
    return captions_told(eye, shown.split(25), lines, seed)


def emoji_styles(eye: Alignment, emoji: Sequence[Emoji], size_px: int, seed: int) -> Result:
    """Share of emoji whose style is told among the four."""
    lines = [
        [one.caption, *(emoji_caption(one.name, s) for s in STYLES if s != one.style)]
        for one in emoji
    ]
    shown = to_pixels([one.picture(size_px) for one in emoji], size_px)
    return captions_told(eye, shown.split(25), lines, seed)


def gopher_margins(embed: Embed, folder: Path, size_px: int, seed: int) -> Result:
    """PA on a real mascot: the share of (picture, other picture, colour variant) in which the other
    picture is nearer than the variant."""
    told = _told(folder)
    variants = [t for t in told if t.get("note") == VARIANT]
    own = [t for t in told if t not in variants]
    mine, theirs = (
        embedded(
            embed, [Image.open(folder / t["file_name"]).convert("RGBA") for t in some], size_px
        )
        for some in (own, variants)
    )
    near = mine @ mine.T
    margins = near[:, :, None] - (mine @ theirs.T)[:, None, :]
    there = ~np.eye(len(mine), dtype=np.bool_)
    shares = [float((margins[i][there[i]] > 0).mean()) for i in range(len(mine))]
    return mean_metric(shares, bar=0.9, seed=seed)


def photographs_matched(embed: Embed, folder: Path, size_px: int, seed: int) -> Result:
    """Of real subjects photographed several times, the share of photographs whose nearest other one
    shows the same subject."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    vectors = embedded(embed, [Image.open(file).convert("RGBA") for file in files], size_px)
    subjects = [file.parent.name for file in files]
    near = vectors @ vectors.T - 9 * np.eye(len(files))
    right = [
        float(subjects[int(row.argmax())] == own) for row, own in zip(near, subjects, strict=True)
    ]
    return mean_metric(right, groups=subjects, seed=seed)
