"""What chance does to generated pictures: the base draws the same prompts again, with other seeds.

No stage is to be accused of what the untouched base does to itself: for pose, oily, background and
drift no limit lies below it. Shapes and memorised are read against the real pictures, and have no
such floor: of shapes the base's own sets may be accused, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onbrand.bench.characters import drawn_pictures
from onbrand.bench.record import Result
from onbrand.illustrator import action, character, random_scene

if TYPE_CHECKING:
    from onbrand.judging.sight import See
    from onbrand.models.packs import Pack

__all__ = ["drawn_again", "sights"]

NUM_PROMPTS, NUM_REAL, NUM_TRAIN = 8, 18, 12
FIRST_SEED = 31_000


def sights(pack: Pack) -> dict[str, See]:
    """Either kind of eyes, by its name."""
    from onbrand.judging.eyes import open_twin_sight
    from onbrand.judging.training_side import open_sight

    return {"evaluation": open_twin_sight(pack), "training": open_sight(pack)}


def drawn_again(identity: int, pack: Pack, *, num_steps: int, seed: int) -> Result:
    """Per kind of eyes the excesses of one of two sets of eight over the other, both ways."""
    from onbrand.generation import sample
    from onbrand.judging.diagnosis import Diagnoser, excesses
    from onbrand.judging.indices import drift
    from onbrand.models.diffusion import load_diffusion

    who, rng = character(identity), np.random.default_rng([seed, identity, 0xA6])
    prompts = [
        f"a {who.colour} {who.species}, {action(random_scene(rng))}" for _ in range(NUM_PROMPTS)
    ]
    model = load_diffusion(pack)
    sets = [
        sample(
            model,
            prompts,
            seeds=range(first, first + NUM_PROMPTS),
            num_steps=num_steps,
        )
        for first in (FIRST_SEED, FIRST_SEED + NUM_PROMPTS)
    ]
    real = drawn_pictures(identity, NUM_REAL, size_px=pack.num_px, seed=seed)
    found: Result = {}
    for eyes, see in sights(pack).items():
        diagnoser = Diagnoser(see, train=real[:NUM_TRAIN], held_out=real[NUM_TRAIN:])
        one, other = (see(pictures) for pictures in sets)
        moved = {"prior_drift": drift(one.identity, other.identity)}
        figures = [diagnoser.figures(sight) | moved for sight in (one, other)]
        found[eyes] = [excesses(figures[0], figures[1]), excesses(figures[1], figures[0])]
    return found
