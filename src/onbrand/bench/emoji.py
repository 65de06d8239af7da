"""Real emoji, things with names and styles, from `../shared/data`.

Every 50th picture, a thing in a style, is never learned; its thing is, in other styles.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["EMOJI", "HELD_OUT_EVERY", "STYLES", "Emoji", "emoji_caption", "held_out_emoji", "nouns"]

EMOJI = Path("../shared/data/fluent-emoji")
HELD_OUT_EVERY = 50
STYLES = {
    "3d": "3d", "color": "flat colour", "flat": "flat", "high-contrast": "black and white",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Emoji:
    """A thing's name in words, its style (a key of STYLES), and its picture's file."""

    name: str
    style: str
    file: Path

    @property
    def caption(self) -> str:
        """What pretraining called it."""
        return emoji_caption(self.name, self.style)

    def mask(self, side_px: int) -> NDArray[np.bool_]:
        """(side, side) where it lies in `picture`."""
        whole = Image.open(self.file).convert("RGBA").resize((side_px, side_px))
        return np.asarray(whole)[..., 3] > 127

    def picture(self, side_px: int) -> Image.Image:
        """On white."""
        whole = Image.open(self.file).convert("RGBA").resize((side_px, side_px))
        white = Image.new("RGBA", whole.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, whole).convert("RGB")


def emoji_caption(name: str, style: str) -> str:
    """'a flat colour emoji of a red apple'."""
    return f"a {STYLES[style]} emoji of {name.replace('_', ' ').lower()}"


def _all(folder: Path) -> list[Emoji]:
    lines = (folder / "metadata.jsonl").read_text("utf-8").splitlines()
    things = sorted((json.loads(line) for line in lines), key=lambda thing: thing["file_name"])
    return [Emoji(t["text"], t["style"], folder / t["file_name"]) for t in things]


def held_out_emoji(folder: Path = EMOJI) -> list[Emoji]:
    """Those whose noun and style were never seen together in pretraining; [] without the folder."""
    return _all(folder)[::HELD_OUT_EVERY] if (folder / "metadata.jsonl").is_file() else []


def nouns(asked: list[Emoji], folder: Path, seed: int, among: int = 20) -> list[list[str]]:
    """Captions of each, the true one first, the others of other things in the same style."""
    names = sorted({thing.name for thing in _all(folder)})
    rows = []
    for number, thing in enumerate(asked):
        rng = np.random.default_rng((seed, number, 0xE0))
        others = list(rng.choice(names, among + 1, replace=False))
        wrong = [str(name) for name in others if name != thing.name][: among - 1]
        rows.append([thing.caption, *(emoji_caption(name, thing.style) for name in wrong)])
    return rows
