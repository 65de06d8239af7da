"""Packs the emoji into few sheets of lossy WebP, 9 MB of 36, so that they may travel to a GPU.

python scripts/pretrain/parcel.py pack .lent/emoji
python scripts/pretrain/parcel.py unpack .lent/emoji --work pretrain/emoji
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
from options import DATA, WORK
from pictures import pack_emoji
from PIL import Image

__all__ = ["main", "pack", "unpack"]

SIDE, ACROSS = 128, 32


def pack(emoji: Path, work: Path, parcel: Path, quality: int = 40) -> None:
    """Sheets of up to 1024 emoji and their labels."""
    pixels, _ = pack_emoji(emoji, work)
    parcel.mkdir(parents=True, exist_ok=True)
    shutil.copy(work / "labels.jsonl", parcel)
    each = ACROSS**2
    for k in range(0, len(pixels), each):
        sheet = np.zeros((each, SIDE, SIDE, 4), np.uint8)
        sheet[: len(pixels[k : k + each])] = pixels[k : k + each]
        grid = sheet.reshape(ACROSS, ACROSS, SIDE, SIDE, 4).swapaxes(1, 2)
        Image.fromarray(grid.reshape(ACROSS * SIDE, ACROSS * SIDE, 4)).save(
            parcel / f"{k // each:02d}.webp", quality=quality, alpha_quality=quality
        )


def unpack(parcel: Path, work: Path) -> None:
    """What `pictures.pack_emoji` would have made of the emoji themselves, nearly."""
    work.mkdir(parents=True, exist_ok=True)
    shutil.copy(parcel / "labels.jsonl", work)
    num = len((work / "labels.jsonl").read_text("utf-8").splitlines())
    sheets = [
        np.asarray(Image.open(path).convert("RGBA"))
        .reshape(ACROSS, SIDE, ACROSS, SIDE, 4)
        .swapaxes(1, 2)
        .reshape(-1, SIDE, SIDE, 4)
        for path in sorted(parcel.glob("*.webp"))
    ]
    np.save(work / "pixels.npy", np.concatenate(sheets)[:num])


def main(arguments: list[str] | None = None) -> None:
    """Pack or unpack."""
    p = argparse.ArgumentParser(prog="pretrain parcel", description=__doc__)
    p.add_argument("what", choices=("pack", "unpack"))
    p.add_argument("parcel", type=Path)
    p.add_argument("--emoji", type=Path, default=DATA / "fluent-emoji")
    p.add_argument("--work", type=Path, default=WORK / "emoji")
    options = p.parse_args(arguments)
    if options.what == "pack":
        pack(options.emoji, options.work, options.parcel)
    else:
        unpack(options.parcel, options.work)


if __name__ == "__main__":
    main()
