"""Encodes the drawn set and the emoji through the frozen VAE into fp16 latents.

latents.npy [n, 4, s, s] float16 (the distribution's mode), captions.jsonl (a list of captions per
row), mirror.npy (bool: the caption survives a horizontal flip). Emoji are laid on white and on
pale backdrops, each style named in its caption.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from draw import Drawn
from numpy.typing import NDArray
from options import WORK, parser, prepare
from pictures import HELD_OUT_EVERY, Pixels, pack_emoji, to_tensor
from tokens import emoji_caption
from torch import Tensor

__all__ = ["Latents", "main"]

BACKDROPS = {
    "white": (255, 255, 255), "pale blue": (205, 229, 245), "pale pink": (250, 215, 220),
    "pale yellow": (252, 240, 200), "black": (20, 20, 24),
}  # fmt: skip


class Latents:
    """The encoded set: `latents` memmap [n, 4, s, s] fp16, `captions[i]`, `mirror[i]`."""

    def __init__(self, root: Path) -> None:
        self.latents: NDArray[np.float16] = np.load(root / "latents.npy", mmap_mode="r")
        lines = (root / "captions.jsonl").read_text("utf-8").splitlines()
        self.captions: list[list[str]] = [json.loads(line) for line in lines]
        self.mirror: NDArray[np.bool_] = np.load(root / "mirror.npy")

    def batch(self, rows: NDArray[np.int64]) -> Tensor:
        """[b, 4, s, s] float32."""
        return torch.from_numpy(np.asarray(self.latents[np.sort(rows)], np.float32))


def pictures(drawn: Drawn | None, emoji: Pixels, things: list[dict[str, str]]) -> Iterator[
    tuple[Pixels, list[str]]
]:
    """Every picture once, with its captions."""
    for i in range(len(drawn) if drawn else 0):
        assert drawn is not None
        yield drawn.pixels(i), drawn.labels[i]["captions"]
    rng = np.random.default_rng(0)
    names = list(BACKDROPS)
    for i, thing in enumerate(things):
        if i % HELD_OUT_EVERY == 0:
            continue
        name = "white" if rng.random() < 0.5 else names[int(rng.integers(len(names) - 1))]
        alpha = emoji[i][..., 3:].astype(np.float32) / 255
        flat = emoji[i][..., :3] * alpha + np.array(BACKDROPS[name]) * (1 - alpha)
        text = emoji_caption(thing["text"], thing["style"])
        yield flat.astype(np.uint8), [text, f"{text}, on a plain {name} background"]


def handed(captions: list[str]) -> bool:
    """True when a caption names a side, so the picture must not be mirrored."""
    words = " ".join(captions).replace("-", " ").split()
    return any(w.strip(",.") in ("left", "right", "leftwards", "rightwards") for w in words)


@torch.no_grad()
def main(arguments: list[str] | None = None) -> None:
    """Encode everything in batches."""
    p: argparse.ArgumentParser = parser("latents", steps=0, batch=32)
    p.add_argument("--vae", type=Path, default=WORK / "vae" / "vae")
    options = p.parse_args(arguments)
    prepare(options)
    vae = AutoencoderKL.from_pretrained(options.vae, torch_dtype=torch.float32)
    vae = vae.to(memory_format=torch.channels_last).eval()
    drawn = Drawn.open(options.drawn)
    emoji, things = pack_emoji(options.emoji, options.work)
    chunks: list[NDArray[np.float16]] = []
    captions: list[list[str]] = []
    waiting: list[Pixels] = []

    def flush() -> None:
        if waiting:
            modes = vae.encode(to_tensor(np.stack(waiting))).latent_dist.mode()
            chunks.append(modes.contiguous().half().numpy())
            waiting.clear()

    for pixels, texts in pictures(drawn, emoji, things):
        waiting.append(pixels)
        captions.append(texts)
        if len(waiting) == options.batch:
            flush()
            if len(chunks) % 100 == 0:
                print(f"{len(captions)} encoded", flush=True)
    flush()
    latents = np.concatenate(chunks)
    np.save(options.out / "latents.npy", latents)
    np.save(options.out / "mirror.npy", np.array([not handed(c) for c in captions]))
    lines = "".join(json.dumps(c) + "\n" for c in captions)
    (options.out / "captions.jsonl").write_text(lines, "utf-8")
    print(f"{len(latents)} latents, mean {latents.astype(np.float32).mean((0, 2, 3)).round(3)}"
          f" std {latents.astype(np.float32).std((0, 2, 3)).round(3)}", flush=True)


if __name__ == "__main__":
    main()
