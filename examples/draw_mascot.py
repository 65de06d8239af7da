"""Draws a mascot that the base model has never seen, as a designer would deliver it.

    python examples/draw_mascot.py OUT [--id 10] [--name kuro] [--num 20] [--held-out 20]

Writes OUT/pictures (PNG + caption.txt each), OUT/lookalikes (the same mascot with one trait
changed) and OUT/brief.toml, ready for the line below. Half of the pictures are held out: what is
nearer to a training picture than any of them counts as memorised, and of five the least is chance.

    onbrand new demo --brief OUT/brief.toml --pictures OUT/pictures --lookalikes OUT/lookalikes

The ids in RESERVED_IDS never enter pretraining, so the pocket pack meets this mascot here for the
first time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from onbrand.bench.characters import draw_brand
from onbrand.illustrator import (
    RESERVED_IDS,
    Scene,
    character,
    describe,
    illustrate,
    lookalikes,
)
from onbrand.pixels import write_png

NUM_REPORT_PROMPTS = 8


def main() -> None:
    """Reads the command line and draws."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder to write into")
    parser.add_argument("--id", type=int, default=10, help="one of the reserved character ids")
    parser.add_argument("--name", default="kuro", help="the mascot's name, and its trigger word")
    parser.add_argument("--num", type=int, default=20, help="pictures to learn from")
    parser.add_argument("--held-out", type=int, default=20, help="more pictures, to judge by")
    parser.add_argument("--size", type=int, default=256, help="side of a picture in pixels")
    parser.add_argument("--seed", type=int, default=22, help="of the scenes")
    asked = parser.parse_args()
    if asked.id not in RESERVED_IDS:
        parser.error(f"--id {asked.id} may have been seen in pretraining: take one of 0 to 255")

    draw_brand(
        asked.id,
        asked.out,
        num_train=asked.num,
        num_held_out=asked.held_out,
        num_prompts=NUM_REPORT_PROMPTS,
        size_px=asked.size,
        seed=asked.seed,
        name=asked.name,
    )
    mascot = character(asked.id)
    for number, double in enumerate(lookalikes(mascot)):
        pixels = illustrate(double, Scene(), size_px=asked.size, seed=number).pixels
        trait = f"{number}-other-{double.changed_trait}".replace("_", "-")
        write_png(Image.fromarray(pixels), asked.out / "lookalikes" / f"{trait}.png")
    num = asked.num + asked.held_out
    print(f"{num} pictures of {asked.name}, {describe(mascot)}: {asked.out}")


if __name__ == "__main__":
    main()
