"""What each species is made of. A new one is a line here if its parts are drawn already."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SPECIES", "Species"]


@dataclass(frozen=True, slots=True)
class Species:
    """Names of what its parts are drawn as (see ears.py, face.py, and body.py for tails)."""

    ears: str  # pointed · round · long · floppy · tufts · horns · antenna · gills · frog · none
    muzzle: str  # snout · cat · beak · wide · rabbit · disc · koala · screen
    tail: str  # bushy · thin · stub · curl · fin · dragon · feathers · none
    patches: bool = False  # dark patches round the eyes
    mask: bool = False  # pale cheeks, as a fox has


SPECIES: dict[str, Species] = {
    "fox": Species("pointed", "snout", "bushy", mask=True),
    "cat": Species("pointed", "cat", "thin"),
    "dog": Species("floppy", "snout", "curl"),
    "bear": Species("round", "snout", "stub"),
    "rabbit": Species("long", "rabbit", "stub"),
    "mouse": Species("round", "cat", "thin"),
    "panda": Species("round", "snout", "stub", patches=True),
    "pig": Species("floppy", "disc", "curl"),
    "koala": Species("round", "koala", "none"),
    "frog": Species("frog", "wide", "none"),
    "owl": Species("tufts", "beak", "feathers"),
    "penguin": Species("none", "beak", "feathers"),
    "dragon": Species("horns", "snout", "dragon"),
    "axolotl": Species("gills", "wide", "fin"),
    "robot": Species("antenna", "screen", "none"),
}
