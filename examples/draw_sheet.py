"""Draw a sheet of mascots as the illustrator makes them: the first characters, the first seeds.

python examples/draw_sheet.py docs/pictures/mascots.webp
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from onbrand.illustrator import RESERVED_IDS, character, illustrate, random_scene


def sheet(num: int, num_columns: int, size_px: int, seed: int) -> Image.Image:
    """`num` pictures of as many characters, in random scenes and styles."""
    rng = np.random.default_rng(seed)
    rows = -(-num // num_columns)
    page = Image.new("RGB", (num_columns * size_px, rows * size_px), "white")
    for k in range(num):
        drawn = illustrate(character(RESERVED_IDS[k]), random_scene(rng), size_px, seed=k)
        row, column = divmod(k, num_columns)
        page.paste(Image.fromarray(drawn.pixels), (column * size_px, row * size_px))
    return page


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--num", type=int, default=24)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--size", type=int, default=160, help="side of a picture in pixels")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.path.parent.mkdir(parents=True, exist_ok=True)
    sheet(options.num, options.columns, options.size, options.seed).save(options.path, quality=88)
    print(options.path)


if __name__ == "__main__":
    main()
