"""The drawn sets and the emoji as fp16 latents of the frozen VAE, encoded when first asked for.

latents.npy [n, 4, s, s] float16 (the distribution's mode), fine.npy [n, s, s] (cells that show
small parts) and filled.npy [n] are memory maps: a row is encoded once, whichever script needs it;
all of them before there are --workers. made-of.json tells of which sets and encoder they are.
Drawn rows come first, then the emoji, laid on white and on pale backdrops, their style in the
caption. Run as a script it fills every row.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from draw import Beside
from numpy.typing import NDArray
from options import WORK, parser, prepare
from pictures import Pixels, pack_emoji, to_tensor
from torch import Tensor

from onbrand.bench.emoji import HELD_OUT_EVERY, emoji_caption
from onbrand.illustrator import PARTS

__all__ = ["Latents", "main"]

BACKDROPS = {
    "white": (255, 255, 255), "pale blue": (205, 229, 245), "pale pink": (250, 215, 220),
    "pale yellow": (252, 240, 200),
}  # fmt: skip

FINE = (
    "eyes", "mouth", "muzzle", "ears", "mark", "accessory", "prop", "face", "label", "trim",
)  # fmt: skip
_FINE = np.array([part in FINE for part in PARTS], np.float32)


class Latents:
    """`captions[i]` are row i's captions; the first `num_drawn` rows are drawn, the rest emoji."""

    def __init__(self, root: Path, vae: AutoencoderKL, drawn: Beside, emoji: Pixels,
                 things: list[dict[str, Any]], mascots_shown: float = 1.0) -> None:  # fmt: skip
        self.vae, self.drawn, self.emoji = vae, drawn, emoji
        self.num_drawn = len(drawn)
        mascots = np.array(["traits" in label for label in drawn.labels], np.bool_)
        self.mascots, self.others = np.nonzero(mascots)[0], np.nonzero(~mascots)[0]
        self.num_mascots = round(mascots_shown * len(self.mascots))
        self.kept = [i for i in range(len(things)) if i % HELD_OUT_EVERY]
        self.backdrops = np.random.default_rng(0).choice(
            len(BACKDROPS), len(things), p=(0.4, 0.2, 0.2, 0.2)
        )
        self.captions: list[list[str]] = [label["captions"] for label in drawn.labels]
        names = list(BACKDROPS)
        for i in self.kept:
            text = emoji_caption(things[i]["text"], things[i]["style"])
            self.captions.append(
                [text, f"{text}, on a plain {names[self.backdrops[i]]} background"]
            )
        n = len(self.captions)
        self.size = 128 // 2 ** (len(vae.config.block_out_channels) - 1)
        self.maps: dict[str, NDArray[Any]] = {}
        kinds: dict[str, tuple[tuple[int, ...], type]] = {
            "latents": ((n, 4, self.size, self.size), np.float16),
            "fine": ((n, self.size, self.size), np.bool_),
            "filled": ((n,), np.bool_),
        }
        root.mkdir(parents=True, exist_ok=True)
        told, made_of = root / "made-of.json", {"drawn": drawn.digest, "vae": encoder_digest(vae)}
        files = [told, *(root / f"{name}.npy" for name in kinds)]
        anew = not all(path.exists() for path in files)  # or an older folder's
        if not anew and json.loads(told.read_text("utf-8")) != made_of:
            raise ValueError(f"{root} is of another drawn set or VAE: delete it")
        for name, (shape, kind) in kinds.items():
            path = root / f"{name}.npy"
            if anew:
                np.lib.format.open_memmap(path, "w+", kind, shape).flush()
            self.maps[name] = np.load(path, mmap_mode="r+")
            if self.maps[name].shape != shape:
                raise ValueError(
                    f"{path} is {self.maps[name].shape}, the set needs {shape}: delete it"
                )
        told.write_text(json.dumps(made_of), "utf-8")

    @property
    def num_shown(self) -> int:
        """How many drawn rows a pass shows."""
        return self.num_mascots + len(self.others)

    def shown(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """The drawn rows of a pass, shuffled: of mascots a share, of the other worlds all."""
        rows = [rng.permutation(self.mascots)[: self.num_mascots], self.others]
        return rng.permutation(np.concatenate(rows))

    def pixels(self, row: int) -> Pixels:
        """[128, 128, 3] uint8 of a row."""
        if row < self.num_drawn:
            return self.drawn.pixels(row)
        i = self.kept[row - self.num_drawn]
        alpha = self.emoji[i][..., 3:].astype(np.float32) / 255
        back = np.array(list(BACKDROPS.values())[self.backdrops[i]])
        flat: Pixels = (self.emoji[i][..., :3] * alpha + back * (1 - alpha)).astype(np.uint8)
        return flat

    @torch.no_grad()
    def fetch(self, rows: NDArray[np.int64]) -> Tensor:
        """[b, 4, s, s] float32; rows that were never asked for are encoded and kept."""
        missing = np.unique(rows[~self.maps["filled"][rows]])
        if len(missing):
            pixels = np.stack([self.pixels(int(r)) for r in missing])
            modes = self.vae.encode(to_tensor(pixels).to(self.vae.device)).latent_dist.mode()
            self.maps["latents"][missing] = modes.contiguous().half().cpu().numpy()
            self.maps["fine"][missing] = [self.fine(int(r)) for r in missing]
            self.maps["filled"][missing] = True
        return torch.from_numpy(np.asarray(self.maps["latents"][rows], np.float32))

    def fill(self, batch: int) -> None:
        """Encode every row that is missing, `batch` at a time."""
        rows = np.flatnonzero(~self.maps["filled"])
        for start in range(0, len(rows), batch):
            self.fetch(rows[start : start + batch])
            if start // batch % 50 == 0:
                print(f"{start} of {len(rows)} latents", flush=True)

    def joints(self, row: int) -> NDArray[np.float32]:
        """[17, 3] of a row's figure (`Drawn.joints`); zeros where there is none."""
        if row >= self.num_drawn:
            return np.zeros((17, 3), np.float32)
        return self.drawn.joints(row)

    def weights(self, rows: NDArray[np.int64], detail: float) -> Tensor:
        """[b, 1, s, s] loss weights: `detail` on the FINE parts and a cell around them, else 1; of
        rows that were fetched."""
        fine = torch.from_numpy(np.asarray(self.maps["fine"][rows], np.float32))
        return 1 + (detail - 1) * fine[:, None]

    def fine(self, row: int) -> NDArray[np.bool_]:
        """[s, s], a row's cells with FINE parts and those around them; none of an emoji."""
        if row >= self.num_drawn:
            return np.zeros((self.size, self.size), np.bool_)
        fine = torch.from_numpy(_FINE[self.drawn.parts(row)])[None]
        cells = F.max_pool2d(fine, 128 // self.size)
        around: NDArray[np.bool_] = F.max_pool2d(cells, 3, stride=1, padding=1)[0].numpy() > 0
        return around

    @staticmethod
    def open(options: argparse.Namespace) -> Latents:
        """From a script's options: latents, vae, emoji, and drawn with what lies beside it of the
        other worlds (drawn-products and so on); filled where there are --workers."""
        vae = AutoencoderKL.from_pretrained(options.vae, torch_dtype=torch.float32)
        vae = vae.to(options.device, memory_format=torch.channels_last).eval()
        emoji, things = pack_emoji(options.emoji, options.work)
        drawn = Beside.open(options.drawn)
        latents = Latents(options.latents, vae, drawn, emoji, things, options.mascots)
        if options.workers:  # forked processes, which cannot encode on a GPU
            latents.fill(options.batch)
        return latents


def encoder_digest(vae: AutoencoderKL) -> str:
    """16 hex digits over the weights that latents depend on: none of the decoder's."""
    digest = hashlib.sha256()
    for name, weight in vae.state_dict().items():
        if name.startswith(("encoder.", "quant_conv.")):
            digest.update(name.encode() + weight.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def latent_options(p: argparse.ArgumentParser) -> None:
    """Where the latents and the frozen VAE are."""
    p.add_argument("--latents", type=Path, default=WORK / "latents")
    p.add_argument("--vae", type=Path, default=WORK / "vae" / "vae")
    p.add_argument("--mascots", type=float, default=1.0, help="share of them that a pass shows")


def main(arguments: list[str] | None = None) -> None:
    """Fill every row."""
    p = parser("latents", steps=0, batch=32)
    latent_options(p)
    options = p.parse_args(arguments)
    prepare(options)
    Latents.open(options).fill(options.batch)


if __name__ == "__main__":
    main()
