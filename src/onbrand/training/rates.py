"""Whether a recipe's learning rate is meant for a base of this size. Names and sizes of files alone
are read, no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onbrand.models.packs import DEFAULT_PACK, open_pack

if TYPE_CHECKING:
    from onbrand.models.packs import Pack
    from onbrand.recipe import Recipe

__all__ = ["too_fast"]

MOST = 5e-4
"""More than a large base's LoRA is trained with: diffusers' examples take 1e-4 for Stable Diffusion
1.5 and XL and 4e-4 for 3 (examples/dreambooth); the built-in base takes 1e-3."""

LARGE_TIMES = 10.0


def too_fast(recipe: Recipe, pack: Pack) -> str | None:
    """What to say of a recipe with the small base's learning rate on one many times as large; None
    where there is nothing to say."""
    rate = max(stage.learning_rate for stage in recipe.stage)
    times = _network_bytes(pack) / _network_bytes(open_pack(DEFAULT_PACK))
    if rate <= MOST or times < LARGE_TIMES:
        return None
    return (
        f"learning_rate = {rate:g} is meant for the built-in base, and '{pack.name}' is "
        f"{times:.0f} times as large: about 1e-4 is usual there, or it forgets what it knew. The "
        "recipe 'large' has settings for such bases"
    )


def _network_bytes(pack: Pack) -> int:
    folder = pack.root / pack.family.network
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
