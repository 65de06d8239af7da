"""How a product is coloured: its main colour, a second one, and what is printed on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onbrand.illustrator.canvas import Layer
from onbrand.illustrator.colours import Colour, lighter
from onbrand.illustrator.curves import Points, ellipse, rectangle, star

__all__ = ["PRINTS", "PRINT_WORDS", "Paint"]

PRINT_WORDS = {"striped": "stripes", "dotted": "dots", "checked": "checks", "starred": "stars"}
PRINTS = ("plain", *PRINT_WORDS)


@dataclass(frozen=True, slots=True)
class Paint:
    """`main` and `accent` colours; `pattern` is a word of PRINTS, repeated every `step`; `part`
    labels the printed surface."""

    main: Colour
    accent: Colour
    pattern: str = "plain"
    part: str = "product"
    step: float = 0.16

    def body(self, layer: Layer, outline: Points, *, line: bool = True) -> None:
        """The large surface of a product, with its print; without `line` it is never outlined."""
        layer.fill(outline, self.main, self.part, form=line, line=line)
        (left, top), (right, bottom) = outline.min(0), outline.max(0)
        step = self.step
        if self.pattern == "striped":
            for y in np.arange(top + 0.6 * step, bottom, step):
                band = rectangle((left + right) / 2, y, right - left, 0.38 * step)
                layer.fill(band, self.accent, self.part, clip=outline)
        elif self.pattern == "checked":
            for row, y in enumerate(np.arange(top + step / 2, bottom + step, step)):
                for x in np.arange(left + step / 2 + row % 2 * step, right + step, 2 * step):
                    square = rectangle(x, y, step, step)
                    layer.fill(square, self.accent, self.part, clip=outline)
        elif self.pattern in ("dotted", "starred"):
            for row, y in enumerate(np.arange(top + 0.56 * step, bottom, step)):
                for x in np.arange(left + (0.38 + row % 2 / 2) * step, right, step):
                    spot = (
                        star(x, y, 0.34 * step)
                        if self.pattern == "starred"
                        else ellipse(x, y, 0.2 * step)
                    )
                    layer.fill(spot, self.accent, self.part, clip=outline)

    def trim(self, layer: Layer, outline: Points) -> None:
        """A smaller part in the second colour: a lid, a handle, a sole."""
        layer.fill(outline, self.accent, "trim", form=True)

    def gleam(self, layer: Layer, outline: Points) -> None:
        """The light on glass, glaze or metal."""
        layer.fill(outline, lighter(self.main, 0.75), "product", line=False, alpha=0.6)
