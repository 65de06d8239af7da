"""Characters followed from three pictures, nothing trained: a sheet for docs/identity.md.

    python examples/draw_followed.py OUT.webp

A row each of the first reserved characters, which no weight has seen: three drawings of it, then
what the built-in base draws of them by its identity adapter, told only the kind ("a red fox, waving
…"). First seeds, none chosen.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from onbrand.generation import sample
from onbrand.illustrator import character, illustrate, random_scene
from onbrand.judging.eyes import to_pixels
from onbrand.models import open_pack
from onbrand.models.diffusion import load_diffusion
from onbrand.models.identity import load_adapter
from onbrand.models.perception import load_identity, mean_identity
from onbrand.sheet import tiles

PROMPTS = (
    "waving happily, in a forest by day",
    "sitting sadly, holding a balloon, on a plain pale blue background",
    "jumping, at a market at night",
    "standing with a surprised face, on a beach at sunset",
)
NUM_REFERENCES = 3


def references(identity: int, size_px: int) -> list[Image.Image]:
    """The character in scenes of its own."""
    rng = np.random.default_rng((identity, 0x1D4))
    return [
        Image.fromarray(
            illustrate(
                character(identity), random_scene(rng), size_px, seed=9 * identity + k
            ).pixels
        )
        for k in range(NUM_REFERENCES)
    ]


def main() -> None:
    """Draw the sheet."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("out", type=Path)
    p.add_argument("--num", type=int, default=8, help="characters")
    p.add_argument("--base", default="pocket")
    options = p.parse_args()
    pack = open_pack(options.base)
    model, encoder = load_diffusion(pack), load_identity(pack)
    way = load_adapter(model, pack)
    rows: list[Image.Image] = []
    for identity in range(options.num):
        known = references(identity, pack.num_px)
        way.show(mean_identity(encoder, to_pixels(known, pack.num_px))[None])
        who = character(identity)
        kind = f"a {who.colour} {who.species}"
        drawn = sample(model, [f"{kind}, {text}" for text in PROMPTS], seeds=range(len(PROMPTS)))
        rows += [*known, *drawn]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    tiles(rows, NUM_REFERENCES + len(PROMPTS)).save(options.out, quality=90)


if __name__ == "__main__":
    main()
