"""Draw a sheet as the illustrator makes it: the first mascots or products, the first seeds.

python examples/draw_sheet.py docs/pictures/mascots.webp
python examples/draw_sheet.py docs/pictures/products.webp --world products --num 39 --columns 13
python examples/draw_sheet.py docs/pictures/fashion.webp --world fashion --num 24
python examples/draw_sheet.py docs/pictures/faults.webp --world faults --num 36 --columns 12
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.illustrator import (
    FAULTS,
    FashionScene,
    Fault,
    Scene,
    Shot,
    character,
    garment,
    illustrate,
    illustrate_fashion,
    illustrate_product,
    person,
    product,
    random_fashion_scene,
    random_scene,
    random_shot,
)
from onbrand.sheet import tiles


def faults(k: int, rng: np.random.Generator, size_px: int) -> NDArray[np.uint8]:
    """Four pictures to a tag: without the fault, then slight, clear and severe."""
    n, severity = divmod(k, 4)
    tag = list(FAULTS)[n % len(FAULTS)]
    planted = [Fault(tag, severity)] if severity else []
    if tag in ("hand", "face", "contact"):
        scene = Scene("meadow", style="outlined", pose="waving")
        return illustrate(character(n), scene, size_px, seed=n, faults=planted).pixels
    if tag in ("product", "scale", "text"):
        shot = Shot("room", style="outlined", stand="wooden table")
        return illustrate_product(product(n), shot, size_px, seed=n, faults=planted).pixels
    look = FashionScene("city", style="shaded", pose="with open arms")
    return illustrate_fashion(person(n), garment(n), look, size_px, seed=n, faults=planted).pixels


Drawer = Callable[[int, np.random.Generator, int], NDArray[np.uint8]]
DRAW: dict[str, Drawer] = {
    "mascots": lambda k, rng, px: illustrate(character(k), random_scene(rng), px, seed=k).pixels,
    "products": lambda k, rng, px: (
        illustrate_product(product(k), random_shot(rng), px, seed=k).pixels
    ),
    "fashion": lambda k, rng, px: (
        illustrate_fashion(person(k), garment(k), random_fashion_scene(rng), px, seed=k).pixels
    ),
    "faults": faults,
}


def sheet(world: str, num: int, num_columns: int, size_px: int, seed: int) -> Image.Image:
    """`num` pictures of a world's first characters, products or people, in random scenes."""
    rng = np.random.default_rng(seed)
    return tiles([Image.fromarray(DRAW[world](k, rng, size_px)) for k in range(num)], num_columns)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--world", choices=tuple(DRAW), default="mascots")
    parser.add_argument("--num", type=int, default=24)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--size", type=int, default=160, help="side of a picture in pixels")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.path.parent.mkdir(parents=True, exist_ok=True)
    page = sheet(options.world, options.num, options.columns, options.size, options.seed)
    page.save(options.path, quality=88)
    print(options.path)


if __name__ == "__main__":
    main()
