"""Characters followed from three pictures, nothing trained: a sheet for docs/identity.md.

    python examples/draw_followed.py OUT.webp
    python examples/draw_followed.py OUT.webp --together

A row each of the first reserved characters, which no weight has seen: three drawings of it, then
what the built-in base draws of them by its identity adapter, told only the kind ("a red fox, waving
…"). With --together a row each of the first pairs: a drawing of either, then both side by side.
First seeds, none chosen.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from onbrand.generation import sample
from onbrand.illustrator import character, illustrate, random_scene
from onbrand.judging.looking import to_pixels
from onbrand.models import open_pack
from onbrand.models.diffusion import DiffusionModel, load_diffusion
from onbrand.models.identity import load_adapter
from onbrand.models.identity.attended import AttendedWay
from onbrand.models.perception import load_identity, mean_identity
from onbrand.models.perception.identity import Identity
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


def kind(identity: int) -> str:
    """All that words say of a character."""
    who = character(identity)
    return f"a {who.colour} {who.species}"


@dataclass(frozen=True)
class Artist:
    """The base with its identity adapter, and the encoder that tells it whom to show."""

    model: DiffusionModel
    way: AttendedWay
    encoder: Identity
    size_px: int

    def show(self, *characters: int) -> list[list[Image.Image]]:
        """Their drawings; from now on pictures show them."""
        known = [references(identity, self.size_px) for identity in characters]
        who = [mean_identity(self.encoder, to_pixels(drawn, self.size_px)) for drawn in known]
        self.way.show(torch.stack(who))
        return known

    def alone(self, identity: int) -> list[Image.Image]:
        """A row: three drawings of it, and a picture for each prompt."""
        (known,) = self.show(identity)
        prompts = [f"{kind(identity)}, {text}" for text in PROMPTS]
        return [*known, *sample(self.model, prompts, seeds=range(len(PROMPTS)))]

    def together(self, one: int, two: int) -> list[Image.Image]:
        """A row: a drawing of either beside each other, and both in a picture for two prompts."""
        known = self.show(one, two)
        texts = PROMPTS[::2]
        left, right = ([f"{kind(who)}, {text}" for text in texts] for who in (one, two))
        drawn = sample(self.model, left, beside=[right], seeds=range(len(texts)))
        pair, half = Image.new("RGB", drawn[0].size, "white"), drawn[0].width // 2
        for k, (first, *_) in enumerate(known):
            pair.paste(first.resize((half, half)), (k * half, (pair.height - half) // 2))
        return [pair, *drawn]


def main() -> None:
    """Draw the sheet."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("out", type=Path)
    p.add_argument("--num", type=int, default=8, help="characters")
    p.add_argument("--base", default="pocket")
    p.add_argument("--together", action="store_true", help="two of them in each picture")
    options = p.parse_args()
    pack = open_pack(options.base)
    model = load_diffusion(pack)
    artist = Artist(model, load_adapter(model, pack), load_identity(pack), pack.num_px)
    ids = range(options.num)
    pairs = zip(ids[::2], ids[1::2], strict=False)
    rows = (
        [artist.together(*pair) for pair in pairs] if options.together else map(artist.alone, ids)
    )
    pictures = list(rows)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    tiles(list(chain.from_iterable(pictures)), len(pictures[0])).save(options.out, quality=90)


if __name__ == "__main__":
    main()
