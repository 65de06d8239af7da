"""A few harmonised colours with names, and arithmetic on them. A colour is (r, g, b) in [0, 1]."""

from __future__ import annotations

import colorsys

__all__ = [
    "COLOURS",
    "PALE",
    "Colour",
    "darker",
    "hex_colour",
    "ink",
    "lighter",
    "mix",
    "named",
]

Colour = tuple[float, float, float]


def hex_colour(text: str) -> Colour:
    """'#rrggbb' as a colour."""
    value = int(text.lstrip("#"), 16)
    return (value >> 16) / 255, (value >> 8 & 255) / 255, (value & 255) / 255


# name -> three neighbouring tones, so that two red foxes need not be the same red
COLOURS: dict[str, tuple[str, str, str]] = {
    "red": ("#e5484d", "#d63a45", "#ec5a50"),
    "orange": ("#f2803a", "#ee6f2d", "#f59145"),
    "yellow": ("#f7c844", "#ffd34f", "#efbb35"),
    "green": ("#57b368", "#43a35f", "#76be5c"),
    "teal": ("#2fb0ab", "#229c9f", "#45bfb4"),
    "blue": ("#4a86e8", "#3c73d8", "#5b98ee"),
    "purple": ("#8e6bd8", "#7d58c9", "#9f7ee2"),
    "pink": ("#f28db2", "#ec7aa6", "#f6a1bf"),
    "brown": ("#9c6540", "#875334", "#ad774e"),
    "grey": ("#98a1ad", "#858f9c", "#a9b2bb"),
    "white": ("#f5f2ec", "#eef0f2", "#faf6ef"),
    "black": ("#41454f", "#373a45", "#4b4e58"),
}

# backdrop and wall colours
PALE: dict[str, str] = {
    "pale blue": "#cfe5f7",
    "pale pink": "#fbd9e0",
    "mint": "#cdeedd",
    "cream": "#fbf1dc",
    "lavender": "#e0d8f5",
    "peach": "#ffdcc4",
    "white": "#fdfdfc",
    "lemon": "#fcf0b8",
}


def named(name: str, tone: int = 0) -> Colour:
    """One of the three tones of a named colour."""
    return hex_colour(COLOURS[name][tone])


def mix(a: Colour, b: Colour, share_of_b: float) -> Colour:
    """a and b mixed linearly."""
    s = share_of_b
    return (
        a[0] + (b[0] - a[0]) * s,
        a[1] + (b[1] - a[1]) * s,
        a[2] + (b[2] - a[2]) * s,
    )


def lighter(colour: Colour, amount: float = 0.35) -> Colour:
    """Towards a warm white."""
    return mix(colour, (1.0, 0.985, 0.955), amount)


def darker(colour: Colour, amount: float = 0.25) -> Colour:
    """A shadow tone: darker, a little more saturated, its hue pulled towards blue-violet."""
    h, lightness, s = colorsys.rgb_to_hls(*colour)
    shade = colorsys.hls_to_rgb(h, lightness * (1 - amount), min(1.0, s * (1 + 0.15 * amount)))
    return mix(shade, (0.22, 0.17, 0.42), 0.22 * amount)


def ink(colour: Colour) -> Colour:
    """The outline that belongs to a fill: its own hue, dark, never plain black."""
    h, lightness, s = colorsys.rgb_to_hls(*colour)
    return mix(
        colorsys.hls_to_rgb(h, min(0.24, lightness * 0.38), min(0.75, s)), (0.16, 0.11, 0.2), 0.25
    )
