"""A few dozen kinds of goods, each a function that draws one in a `Paint`.

Another kind is a function and a line in the table of home, worn or used.
"""

from __future__ import annotations

from collections.abc import Callable

from onbrand.illustrator.canvas import Layer
from onbrand.illustrator.goods.home import HOME
from onbrand.illustrator.goods.paint import PRINT_WORDS, PRINTS, Paint
from onbrand.illustrator.goods.used import USED
from onbrand.illustrator.goods.worn import WORN

__all__ = ["GOODS", "PRINTS", "PRINT_WORDS", "UNPRINTED", "Paint"]

GOODS: dict[str, Callable[[Layer, Paint], None]] = {**HOME, **WORN, **USED}

UNPRINTED = frozenset(
    {
        "candle", "jar of jam", "phone", "laptop", "lipstick", "alarm clock",
        "pair of headphones", "pair of sunglasses",
    }
)  # fmt: skip
"""Kinds whose surface leaves no room for a print."""
