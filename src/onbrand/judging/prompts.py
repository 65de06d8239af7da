"""Prompts that grade a checkpoint: none of them chose it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from onbrand.illustrator import action, random_scene

__all__ = ["evaluation_prompts"]


def evaluation_prompts(
    prompts: Sequence[str], *, validation: Collection[str], num: int
) -> list[str]:
    """`num` prompts that chose nothing: the brief's without those that `validation` looked at, then
    scenes of the illustrator's grammar, which the pocket base understands. Deterministic, no
    repeats."""
    chosen = [p for p in dict.fromkeys(prompts) if p not in validation][:num]
    rng = np.random.default_rng(20_26)
    while len(chosen) < num:
        prompt = action(random_scene(rng))
        if prompt not in chosen and prompt not in validation:
            chosen.append(prompt)
    return chosen
