"""Which measure of following a prompt a brand's traits leave alone: told on true drawings.

A prompt does not name what a brand always shows. So a perfect picture of a reserved character must
fit it as well as one of its plain kind does, and one with a wrong attribute must not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from onbrand.bench.characters import new_scenes
from onbrand.bench.record import Result, mean_metric
from onbrand.illustrator import ATTRIBUTES, Character, Scene, action, character
from onbrand.illustrator import illustrate as draw
from onbrand.judging import metrics as m
from onbrand.judging.looking import to_pixels
from onbrand.models.perception import Alignment

__all__ = ["prompts_followed"]

NUM_PROMPTS = 10
NAMED = ("pose", "expression", "prop", "place")
PLAIN: dict[str, Any] = {
    "outfit": "none", "accessory": "none", "mark": "none", "ears": "usual", "belly": "same",
    "head": "round", "build": "slim",
}  # fmt: skip


@torch.inference_mode()
def prompts_followed(
    eye: Alignment, identities: Sequence[int], size_px: int, seed: int
) -> dict[str, Result]:
    """Of each measure what is kept, as a ratio of means of ten prompts, a value per character:
    `…_with_traits_ratio` by true drawings of the character over those of its plain kind (1 is
    right), `…_with_one_wrong_ratio` by drawings with one named attribute wrong over true ones (the
    lower, the keener)."""
    kept: dict[str, list[float]] = {}
    for identity in identities:
        who = character(identity)
        rng = np.random.default_rng([seed, identity, 0xF0])
        scenes = new_scenes(NUM_PROMPTS, [], rng)
        texts = eye.embed_texts([f"a {who.colour} {who.species}, {action(s)}" for s in scenes])
        told = texts.float().cpu().numpy().astype(np.float64)
        spoiled = [_spoiled(scene, number, rng) for number, scene in enumerate(scenes)]
        shown = {
            "true": _drawn(eye, who, scenes, size_px),
            "plain": _drawn(eye, replace(who, **PLAIN), scenes, size_px),
            "wrong": _drawn(eye, who, spoiled, size_px),
        }
        for name, fits in (
            ("alignment", m.alignment),
            ("directional_alignment", m.directional_alignment),
        ):
            means = {which: float(fits(seen, told).mean()) for which, seen in shown.items()}
            for other, ratio in (
                ("traits", means["true"] / means["plain"]),
                ("one_wrong", means["wrong"] / means["true"]),
            ):
                kept.setdefault(f"{name}_with_{other}_ratio", []).append(ratio)
    return {
        name: mean_metric(values, better="lower" if "one_wrong" in name else "higher", seed=seed)
        for name, values in kept.items()
    }


def _spoiled(scene: Scene, number: int, rng: np.random.Generator) -> Scene:
    """The scene with another value of one of the attributes that its prompt names, in turn."""
    named = [name for name in NAMED if getattr(scene, name) != "none"]
    name = named[number % len(named)]
    others = [word for word in ATTRIBUTES[name] if word != getattr(scene, name)]
    changed: dict[str, Any] = {name: others[int(rng.integers(len(others)))]}
    return replace(scene, **changed)


def _drawn(
    eye: Alignment, who: Character, scenes: Sequence[Scene], size_px: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The eye's vectors of the character in these scenes."""
    pictures = [
        Image.fromarray(draw(who, scene, size_px=size_px, seed=number).pixels)
        for number, scene in enumerate(scenes)
    ]
    vectors = eye.embed_pixels(to_pixels(pictures, size_px))
    return np.asarray(vectors.float().cpu().numpy(), np.float64)
