"""What a place is drawn around, ready to paint: the last steps that all worlds share."""

from __future__ import annotations

from dataclasses import dataclass, field

from onbrand.illustrator.canvas import Canvas, Layer, Style
from onbrand.illustrator.colours import Colour

__all__ = ["Shadow", "Subject"]


@dataclass(frozen=True, slots=True)
class Shadow:
    """A soft spot on the ground: centre, radii and darkness."""

    x: float
    y: float
    rx: float
    ry: float
    alpha: float
    colour: Colour = (0.16, 0.11, 0.26)


@dataclass(slots=True)
class Subject:
    """A placed drawing and its shadows; planted faults may change all of it.

    `ground` is the point it stands on; `limb` the width of its arms, 0 where it has none.
    """

    layer: Layer
    ground: tuple[float, float]
    shadows: list[Shadow] = field(default_factory=list)
    limb: float = 0.0

    def paint(self, canvas: Canvas, style: Style) -> None:
        """Shadows, then the drawing."""
        for spot in self.shadows:
            canvas.soft(spot.x, spot.y, spot.rx, spot.ry, spot.colour, spot.alpha)
        canvas.paint(self.layer, style)
