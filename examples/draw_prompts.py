"""What a pack makes of random prompts: the first ones, the first seeds, none chosen.

python examples/draw_prompts.py docs/pictures/pack-mascots.webp
python examples/draw_prompts.py /tmp/fashion.webp --world fashion --base ./my-pack
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image
from rich.progress import track

from onbrand.bench.read_back import WORLDS, ask
from onbrand.generation import sample
from onbrand.models import open_pack
from onbrand.models.diffusion import load_diffusion
from onbrand.sheet import tiles

SEED = 64


def sheet(base: str, world: str, num: int, num_columns: int, num_steps: int) -> Image.Image:
    """`num` pictures of a world's prompts about reserved subjects, in rows."""
    model = load_diffusion(open_pack(base))
    prompts = [one.prompt for one in ask(world, num, seed=SEED, size_px=model.num_px)]
    made: list[Image.Image] = []
    for first in track(range(0, num, num_columns), description=world):
        row = prompts[first : first + num_columns]
        made += sample(model, row, seeds=range(first, first + len(row)), num_steps=num_steps)
    return tiles(made, num_columns)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path)
    parser.add_argument("--base", default="pocket", help="a pack's name, a folder or a hub id")
    parser.add_argument("--world", choices=tuple(WORLDS), default="mascots")
    parser.add_argument("--num", type=int, default=64)
    parser.add_argument("--columns", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    options.path.parent.mkdir(parents=True, exist_ok=True)
    page = sheet(options.base, options.world, options.num, options.columns, options.steps)
    page.save(options.path, quality=88)
    print(options.path)


if __name__ == "__main__":
    main()
