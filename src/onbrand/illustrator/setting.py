"""Where and how a picture is set, whatever it shows: place, hour, drawing style, backdrop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onbrand.illustrator.canvas import STYLES
from onbrand.illustrator.colours import PALE

__all__ = ["HOURS", "PLACES", "Setting", "where"]

PLACES: dict[str, str] = {
    "plain": "on a plain background", "meadow": "in a meadow", "forest": "in a forest",
    "beach": "on a beach", "city": "in a city street", "snow": "on snowy hills",
    "market": "at a market", "room": "in a cosy room", "desert": "in a desert",
    "mountains": "in the mountains",
}  # fmt: skip
HOURS: dict[str, str] = {"day": "by day", "sunset": "at sunset", "night": "at night"}


@dataclass(frozen=True, slots=True)
class Setting:
    """Words of PLACES, HOURS and STYLES; `backdrop` names the colour of a plain background.

    A world's own dataclass adds to it, and to `WORDS`, what else its pictures vary in.
    """

    WORDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "place": tuple(PLACES), "hour": tuple(HOURS), "style": tuple(STYLES),
        "backdrop": tuple(PALE),
    }  # fmt: skip

    place: str = "plain"
    hour: str = "day"
    style: str = "outlined"
    backdrop: str = "pale blue"

    def __post_init__(self) -> None:
        for name, words in self.WORDS.items():
            if getattr(self, name) not in words:
                raise ValueError(
                    f"{name} is one of {', '.join(words)}; got {getattr(self, name)!r}"
                )


def where(setting: Setting) -> str:
    """Place and hour in words: 'in a forest at night', 'on a plain mint background'."""
    if setting.place == "plain":
        return f"on a plain {setting.backdrop} background"
    if setting.place == "room":
        return PLACES["room"]
    return f"{PLACES[setting.place]} {HOURS[setting.hour]}"
