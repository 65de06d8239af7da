"""What a pack makes of random prompts: the first ones, the first seeds, none chosen.

python examples/draw_prompts.py docs/pictures/pack-mascots.webp
python examples/draw_prompts.py /tmp/fashion.webp --world fashion --base ./my-pack
python examples/draw_prompts.py docs/pictures/pack-styles.webp --world styles --columns 12
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image
from rich.progress import track

from onbrand.bench.read_back import ask
from onbrand.bench.worlds import WORLDS
from onbrand.generation import sample
from onbrand.illustrator import STYLES
from onbrand.models import open_pack
from onbrand.models.diffusion import load_diffusion
from onbrand.sheet import tiles

SEED = 64
SHOWN = """\
red fox, waving happily, in a meadow by day
blue cat with a yellow scarf, sitting, in a cosy room
green frog, jumping, on a beach at sunset
white rabbit, cheering with both arms up, on snowy hills by day
red mug with white dots, on a wooden table, on a plain pale blue background
blue backpack with yellow details, on a plain cream background
teal pair of headphones with pink details, on a stone podium, on a plain mint background
orange alarm clock with white details, in a cosy room
woman, wearing a long red dress with short sleeves, walking, in a city street by day
man, wearing a blue shirt with long sleeves, waving, on a plain pale pink background
shop mannequin, wearing a green coat, standing, on a plain cream background
young woman, wearing a yellow sweater, standing, on a beach at sunset""".splitlines()
EMOJI = """\
red apple, rocket, house, dog face, sunflower, bicycle, pizza, crown, umbrella, guitar, airplane,
heart suit""".replace("\n", " ").split(", ")


def in_styles() -> list[str]:
    """The same things in each drawing style, a row for each; then emoji in theirs."""
    drawn = [
        f"{'an' if style.phrase[0] in 'aeiou' else 'a'} {style.phrase} of"
        f" {'an' if what[0] in 'aeiou' else 'a'} {what}"
        for style in STYLES.values()
        for what in SHOWN
    ]
    kinds = ("3d", "flat colour", "flat", "black and white")
    return drawn + [f"a {kind} emoji of {noun}" for kind in kinds for noun in EMOJI]


def sheet(base: str, world: str, num: int, num_columns: int, num_steps: int) -> Image.Image:
    """`num` pictures of a world's prompts about reserved subjects, in rows."""
    model = load_diffusion(open_pack(base))
    prompts = (
        in_styles()
        if world == "styles"
        else [one.prompt for one in ask(world, num, seed=SEED, size_px=model.num_px)]
    )
    made: list[Image.Image] = []
    for first in track(range(0, len(prompts), num_columns), description=world):
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
    parser.add_argument("--world", choices=(*WORLDS, "styles"), default="mascots")
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
