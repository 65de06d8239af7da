"""The only place that loads weights.

A pack (`packs`) names one model for each role. `diffusion` is the text-to-image part's one face,
`families` what each kind of base does behind it (prompts, noise, pipeline), `adapters` attaches,
saves and loads LoRA, `perception` holds the encoders that training and judging share, `twins` the
encoders that only judging may use.

Importing this package is light; torch comes with the submodules.
"""

from __future__ import annotations

from onbrand.models.packs import DEFAULT_PACK, Pack, may_be_on_hub, open_pack

__all__ = ["DEFAULT_PACK", "Pack", "may_be_on_hub", "open_pack"]
