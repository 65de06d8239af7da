"""How near a pack's pictures are, as a whole, to the worlds it learned: a Fréchet distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onbrand.bench.probe import Probe, kept_array
from onbrand.bench.read_back import ask
from onbrand.bench.record import Result, metric
from onbrand.bench.worlds import WORLDS
from onbrand.events import Advanced, Started
from onbrand.judging.looking import Embed
from onbrand.judging.metrics import frechet_distance

__all__ = ["AT_LEAST", "frechet_ratio"]

BAR, AT_LEAST = 4.0, 5000  # fewer pictures flatter: chance alone parts the true drawings further
CHUNK = 120  # pictures between savings; a multiple of the worlds


def frechet_ratio(probe: Probe, features: Embed, num: int) -> dict[str, Result]:
    """Distance of `num` generated pictures, all worlds alike, to as many true drawings of other
    prompts, over the distance that true drawings of their own prompts have to these: 1 for a model
    that draws as the illustrator does."""
    seen: dict[str, list[NDArray[np.float64]]] = {"made": [], "true": [], "other": []}
    probe.emit(Started("likeness", num, "pictures"))
    for start in range(0, num, CHUNK):
        for name, rows in seen.items():
            rows.append(_chunk(probe, features, name, start, min(CHUNK, num - start)))
        probe.emit(Advanced("likeness", min(num, start + CHUNK), {}))
    made, true, other = (np.concatenate(rows) for rows in seen.values())
    ratio = frechet_distance(made, other) / max(frechet_distance(true, other), 1e-12)
    bar = BAR if num >= AT_LEAST else None
    return {"frechet_ratio": metric(ratio, bar=bar, better="lower")}


def _chunk(probe: Probe, features: Embed, name: str, start: int, num: int) -> NDArray[np.float64]:
    """Features [num, d] of pictures start … start + num, kept in a file of their own."""
    part = probe.named(f"likeness-{name}-{start:05d}-{num}", ["attributes"])

    def look() -> NDArray[np.float64]:
        seed = [probe.seed, start, int(name == "other")]
        each = -(-num // len(WORLDS))
        asked = [
            one
            for world in WORLDS
            for one in ask(world, each, seed=_number(seed), size_px=probe.model.num_px)
        ][:num]
        pictures = [one.picture for one in asked]
        if name == "made":
            prompts = [one.prompt for one in asked]
            pictures = probe.draw(prompts, probe.few_steps, first=20_000 + start)
        return features(pictures)

    return kept_array(probe.folder / f"{part}.npy", look)


def _number(parts: list[int]) -> int:
    """One seed of several."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
