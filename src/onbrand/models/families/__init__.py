"""sd15 · sdxl · sd3 · flux: each family's prompts, noise, LoRA places and pipeline, a file each.

`kinds` holds the facts (no torch), `conditioning` what a network is told of prompts, `variance`
and `flow` the two ways of noising. `onbrand.models.diffusion` is the face that all share.
"""

from __future__ import annotations

from onbrand.models.families.kinds import FAMILIES, FLUX, SD3, SD15, SDXL, Family, part_names

__all__ = ["FAMILIES", "FLUX", "SD3", "SD15", "SDXL", "Family", "part_names"]
