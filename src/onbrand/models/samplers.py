"""Samplers that may take the place of a pack's own, by the names that people write.

All are deterministic: a picture stays a function of its prompt, seed and settings. Ancestral and
stochastic samplers draw noise on the way, from one stream for the whole batch, and are left out; a
pack's stochastic DPM-Solver draws as the plain one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onbrand.errors import PromptError, instead

__all__ = ["SAMPLERS", "check_sampler", "open_sampler"]

SAMPLERS: Mapping[str, str] = {
    "dpm": "DPMSolverMultistepScheduler",
    "ddim": "DDIMScheduler",
    "unipc": "UniPCMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
}
"""Name -> diffusers' class: DPM-Solver++ (arXiv 2211.01095), DDIM (2010.02502), UniPC (2302.04867),
Euler as in Karras et al. (2206.00364). Each reads all of a Stable Diffusion schedule: ε or v,
spacing, zero terminal SNR."""


def check_sampler(name: str) -> None:
    """Raises `PromptError` for a name that is not in SAMPLERS; "" is the pack's own, or DDIM where
    that is none of these."""
    if name and name not in SAMPLERS:
        raise PromptError(f"no sampler {name!r}: {instead(name, SAMPLERS)}")


def open_sampler(name: str, schedule: Mapping[str, Any]) -> Any:
    """A fresh sampler of that name over the schedule, a scheduler's config.

    Raises `PromptError` for an unknown name.
    """
    import diffusers

    check_sampler(name)
    return getattr(diffusers, SAMPLERS[name]).from_config(dict(schedule))
