"""A new character from three pictures, without training: is the right one drawn?

For every reserved character: three reference pictures, an identity made of them, and prompts about
what it does. Four arms draw the same prompts with the same seeds:

    followed            the identity beside the plain kind of subject ("a red fox, waving …")
    followed_described  the identity beside every trait in words
    prompt_only         every trait in words, nobody's identity
    class_prompt        the plain kind of subject alone: what chance and the words give

Retrieval is the design's: the nearest among the character, 19 others and 8 one-trait look-alikes of
each, by the evaluation twin. Finished characters are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.bench.probe import kept
from onbrand.bench.record import Result, mean_metric
from onbrand.events import Advanced, Finished, Listener, Started, silent
from onbrand.illustrator import action, character, describe, illustrate, random_scene
from onbrand.judging import character_gallery, open_eyes
from onbrand.judging.metrics import identity_scores, line_up, retrieve
from onbrand.sheet import tiles

if TYPE_CHECKING:
    from torch import Tensor

    from onbrand.models.diffusion import DiffusionModel
    from onbrand.models.packs import Pack

__all__ = ["ARMS", "measure_follow"]

ARMS = ("followed", "followed_described", "prompt_only", "class_prompt")
NUM_REFERENCES = 3
NUM_GALLERY = 6
BAR = 0.80
TASK = "following"

Embed = Callable[[Sequence[Image.Image]], NDArray[np.float64]]


def measure_follow(
    folder: Path,
    pack: Pack,
    *,
    num_characters: int,
    num_prompts: int,
    num_steps: int,
    seed: int,
    emit: Listener = silent,
) -> Result:
    """{"metrics", "baselines"} over the characters, and a sheet per character in `folder`.

    Raises PackError when the pack has no identity adapter.
    """
    from onbrand.models.diffusion import load_diffusion
    from onbrand.models.identity import load_adapter

    model = load_diffusion(pack)
    load_adapter(model, pack)
    embed = open_eyes(pack).embed
    emit(Started(TASK, num_characters, "characters"))
    records = []
    for identity in range(num_characters):
        work_on = partial(
            _character, identity, folder, pack, model, embed, num_prompts, num_steps, seed
        )
        name = f"identity-{identity:03d}-{num_prompts}-{num_steps}"
        records.append(kept(folder, name, work_on))
        emit(Advanced(TASK, identity + 1, {"retrieval": np.mean(records[-1]["followed"]["right"])}))
    emit(Finished(TASK, {"characters": num_characters}))
    arms = {arm: _metrics(records, arm, seed) for arm in ARMS}
    real = _metrics(records, "real", seed)
    ours = {f"follow_{name}": m for name, m in arms.pop("followed").items()}
    beside = {
        arm: {f"follow_{name}": m for name, m in found.items()}
        for arm, found in {**arms, "real": real}.items()
    }
    return {"metrics": ours, "baselines": beside}


def _metrics(records: Sequence[Mapping[str, Result]], arm: str, seed: int) -> Result:
    """Means over all pictures, intervals resampled by character."""
    groups = [k for k, record in enumerate(records) for _ in record[arm]["right"]]
    right = [float(r) for record in records for r in record[arm]["right"]]
    identity = [float(c) for record in records for c in record[arm]["identity"]]
    bar = BAR if arm == "followed" else None
    return {
        "retrieval_fraction": mean_metric(right, groups=groups, bar=bar, seed=seed),
        "identity": mean_metric(identity, groups=groups, seed=seed),
    }


def _character(
    identity: int,
    folder: Path,
    pack: Pack,
    model: DiffusionModel,
    embed: Embed,
    num_prompts: int,
    num_steps: int,
    seed: int,
) -> Result:
    """Per arm: which pictures were nearest to the right character, and their mean cosine to the
    line-up's real ones of it, as everywhere."""
    from onbrand.generation import sample

    rng = np.random.default_rng([seed, identity, 0xF0])
    who, size = character(identity), pack.num_px
    references = _drawn(identity, NUM_REFERENCES, rng, size)
    actions = [action(random_scene(rng)) for _ in range(num_prompts)]
    gallery = character_gallery(identity, num_pictures=NUM_GALLERY, size_px=size, seed=seed)
    known = [embed(pictures) for pictures in gallery.pictures]
    kind = f"a {who.colour} {who.species}"
    arms = {
        "followed": (kind, True),
        "followed_described": (describe(who), True),
        "prompt_only": (describe(who), False),
        "class_prompt": (kind, False),
    }
    vector = _vector(pack, references)
    shown: dict[str, list[Image.Image]] = {"real": _drawn(identity, num_prompts, rng, size)}
    for arm, (subject, follows) in arms.items():
        assert model.way is not None
        model.way.show(vector if follows else None)
        prompts = [f"{subject}, {what}" for what in actions]
        seeds = [seed + k for k in range(num_prompts)]
        shown[arm] = sample(model, prompts, seeds=seeds, num_steps=num_steps)
    rows = [[*references, *shown[arm]] for arm in ARMS]
    path = folder / "sheets" / f"{identity:03d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    tiles([picture for row in rows for picture in row], len(rows[0])).save(path)
    return {arm: _scores(embed(pictures), known) for arm, pictures in shown.items()}


def _scores(rows: NDArray[np.float64], known: Sequence[NDArray[np.float64]]) -> Result:
    """The brand itself is the line-up's first."""
    nearest = retrieve(rows, line_up(known))
    return {
        "right": (nearest == 0).tolist(),
        "identity": identity_scores(rows, known[0]).tolist(),
    }


def _vector(pack: Pack, pictures: Sequence[Image.Image]) -> Tensor:
    """The identity [1, d] of the pictures, by the training side's encoder."""
    from onbrand.judging.looking import to_pixels
    from onbrand.models.perception import load_identity, mean_identity

    return mean_identity(load_identity(pack), to_pixels(pictures, pack.num_px))[None]


def _drawn(identity: int, num: int, rng: np.random.Generator, size_px: int) -> list[Image.Image]:
    """The character in scenes of its own."""
    return [
        Image.fromarray(
            illustrate(
                character(identity),
                random_scene(rng),
                size_px=size_px,
                seed=int(rng.integers(2**31)),
            ).pixels
        )
        for _ in range(num)
    ]
