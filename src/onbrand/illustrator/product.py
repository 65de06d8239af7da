"""The products' world: what a product is, how it is shown, the words for it, and the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onbrand.illustrator.canvas import PARTS, STYLES, Canvas, Layer
from onbrand.illustrator.chance import pick, unreserved
from onbrand.illustrator.character import RESERVED_IDS
from onbrand.illustrator.colours import COLOURS, PALE, darker, hex_colour, lighter, named
from onbrand.illustrator.curves import arc, ellipse
from onbrand.illustrator.faults import Fault, name_faults, paint_subject, possible_faults
from onbrand.illustrator.goods import GOODS, PRINT_WORDS, PRINTS, UNPRINTED, Paint
from onbrand.illustrator.places import draw_place
from onbrand.illustrator.setting import PLACES, Setting, where
from onbrand.illustrator.subject import Shadow, Subject

__all__ = [
    "PRODUCT_ATTRIBUTES",
    "PRODUCT_TRAITS",
    "Product",
    "ProductPicture",
    "Shot",
    "describe_product",
    "illustrate_product",
    "pretraining_product",
    "product",
    "product_attributes",
    "product_caption",
    "product_faults",
    "random_shot",
]

PRODUCT_TRAITS: dict[str, tuple[str, ...]] = {
    "kind": tuple(GOODS),
    "colour": tuple(COLOURS),
    "accent": tuple(COLOURS),
    "pattern": PRINTS,
}
_ON = {
    "paper": "on seamless paper", "wooden table": "on a wooden table",
    "stone podium": "on a stone podium", "linen cloth": "on a linen cloth",
}  # fmt: skip
_SUBJECT = [PARTS.index(part) for part in ("product", "trim", "label")]


@dataclass(frozen=True, slots=True)
class Product:
    """Fixed traits, each a word of PRODUCT_TRAITS; `tone` picks a neighbouring tone of the colour.
    The accent is never the colour, and what takes no print is plain."""

    id: int
    kind: str
    colour: str
    accent: str
    pattern: str
    tone: int = 0

    @property
    def look(self) -> tuple[str, str, str, str]:
        """What tells it from others in words. Not all of it is always drawn: some plain goods show
        no accent."""
        return self.kind, self.colour, self.accent, self.pattern


@dataclass(frozen=True, slots=True)
class Shot(Setting):
    """How a product is shown: what it stands on and how near it is."""

    WORDS: ClassVar[dict[str, tuple[str, ...]]] = {
        **Setting.WORDS, "stand": tuple(_ON), "framing": ("whole", "close-up"),
    }  # fmt: skip

    stand: str = "paper"
    framing: str = "whole"


PRODUCT_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    **{name: PRODUCT_TRAITS[name.removeprefix("product_")]
       for name in ("product_kind", "product_colour", "product_pattern")},
    **{name: Shot.WORDS[name] for name in ("stand", "place", "hour", "style")},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProductPicture:
    """`pixels` (size, size, 3) uint8 and what is true of them; `parts` (size, size) uint8, indices
    into PARTS."""

    pixels: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    caption: str
    product: Product
    shot: Shot

    @property
    def subject(self) -> NDArray[np.bool_]:
        """(size, size) where the product is, without what it stands on."""
        return np.isin(self.parts, _SUBJECT)


def product(identity: int) -> Product:
    """The product of an id, always the same; ids of RESERVED_IDS are kept for evaluation."""
    rng = np.random.default_rng((identity, 0x9D))
    kind = PRODUCT_TRAITS["kind"][identity % len(GOODS)]  # neighbours are of different kinds
    colour, accent = (list(COLOURS)[int(k)] for k in rng.choice(len(COLOURS), 2, replace=False))
    pattern = PRINTS[int(rng.choice(len(PRINTS), p=(0.48, 0.13, 0.13, 0.13, 0.13)))]
    tone = int(rng.integers(3))
    return Product(identity, kind, colour, accent, "plain" if kind in UNPRINTED else pattern, tone)


@lru_cache(maxsize=1)
def _reserved_looks() -> frozenset[tuple[str, ...]]:
    return frozenset(product(identity).look for identity in RESERVED_IDS)


def pretraining_product(number: int) -> Product:
    """The n-th product that models may learn from: none that has all words of a reserved one.

    Where plain goods show no accent (vase of flowers, cushion, potted plant, chair, wristwatch,
    book, pencil cup, guitar), one may yet look like a reserved one: 62 of the first 4,000 do.
    """
    return unreserved(product, lambda made: made.look, _reserved_looks(), number)


def describe_product(what: Product) -> str:
    """All its traits as a noun phrase: 'a red mug with blue stripes'. A plain one has 'details',
    also where none are drawn (see `pretraining_product`)."""
    printed = PRINT_WORDS.get(what.pattern, "details")
    pair = "pair of " if what.kind.startswith("pair of ") else ""
    noun = f"{pair}{what.colour} {what.kind.removeprefix(pair)}"
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun} with {what.accent} {printed}"


def product_attributes(what: Product, shot: Shot) -> dict[str, str]:
    """The ground truth that a classifier can be asked to read back."""
    return {
        name: getattr(what, name.removeprefix("product_"))
        if name.startswith("product_")
        else getattr(shot, name)
        for name in PRODUCT_ATTRIBUTES
    }


def random_shot(rng: np.random.Generator) -> Shot:
    """As often met in shops: half on seamless paper, the rest on something, somewhere."""
    style, backdrop = pick(rng, tuple(STYLES)), pick(rng, tuple(PALE))
    framing = "close-up" if rng.random() < 0.15 else "whole"
    if style == "sticker" or rng.random() < 0.45:
        return Shot(style=style, backdrop=backdrop, framing=framing)
    place = "plain" if rng.random() < 0.25 else pick(rng, tuple(p for p in PLACES if p != "plain"))
    hour = "day" if place in ("plain", "room") else pick(rng, ("day", "day", "sunset", "night"))
    return Shot(
        place, hour, style, backdrop, pick(rng, tuple(s for s in _ON if s != "paper")), framing
    )


def product_caption(
    what: Product, shot: Shot, rng: np.random.Generator, subject: str | None = None
) -> str:
    """A sentence fragment in natural, varied English. `subject` replaces the product's words."""
    who = subject or (
        describe_product(what) if rng.random() < 0.75 else describe_product(what).split(" with ")[0]
    )
    there = [_ON[shot.stand]] if shot.stand != "paper" or rng.random() < 0.3 else []
    there.append(where(shot))
    close = ["close-up"] if shot.framing == "close-up" else []
    style = STYLES[shot.style].phrase
    roll = rng.random()
    if roll < 0.5:
        head = f"{'an' if style[0] in 'aeiou' else 'a'} {style} of {who}"
        return ", ".join([head, *close, *there])
    if roll < 0.8:
        return ", ".join([who, *close, *there, style])
    return ", ".join(["product picture of " + who, *there, *close, style])


def _stand(layer: Layer, stand: str, y: float, rng: np.random.Generator) -> None:
    """What the product stands on, its upper face at height y."""
    if stand == "wooden table":
        wood = hex_colour(("#c08a57", "#a8744a", "#d3a676")[int(rng.integers(3))])
        top = np.array([(-0.05, y - 0.06), (1.05, y - 0.06), (1.05, 1.05), (-0.05, 1.05)])
        layer.fill(top, wood, "stand", line=False, glow=darker(wood, 0.12))
        for x in np.arange(-0.1, 1.2, 0.22) + rng.uniform(0, 0.2):
            seam = np.array([(x, y - 0.06), (0.5 + (x - 0.5) * 1.35, 1.05)])
            layer.stroke(seam, darker(wood, 0.2), 0.006, "stand")
        edge = np.array([(-0.05, y - 0.06), (1.05, y - 0.06)])
        layer.stroke(edge, lighter(wood, 0.35), 0.012, "stand")
    elif stand == "stone podium":
        stone = hex_colour(("#d9d5ce", "#c9ced6", "#e6d6cd")[int(rng.integers(3))])
        front = arc(0.5, y, 0.40, 0.07, 0.0, 0.5)
        side = np.concatenate([front, np.array([(0.10, 1.05), (0.90, 1.05)])])
        layer.fill(side, stone, "stand", glow=darker(stone, 0.25))
        layer.fill(ellipse(0.5, y, 0.40, 0.07), lighter(stone, 0.35), "stand")
    elif stand == "linen cloth":
        linen = hex_colour(("#f1e7d6", "#e3ded8", "#f3dcd6")[int(rng.integers(3))])
        x = np.linspace(-0.05, 1.05, 12)
        edge = np.stack([x, y - 0.07 + 0.008 * np.sin(11 * x + rng.uniform(0, 6))], axis=1)
        whole = np.concatenate([edge, np.array([(1.05, 1.05), (-0.05, 1.05)])])
        layer.fill(whole, linen, "stand", line=False, glow=darker(linen, 0.10))
        for start in rng.uniform(-0.1, 1.1, 3):
            lean = (start - 0.5) * 0.5
            fold = [(start, y - 0.03), (start + lean * 0.4 + 0.01, y + 0.1), (start + lean, 1.05)]
            layer.stroke(np.array(fold), darker(linen, 0.10), 0.012, "stand", alpha=0.7)


def product_faults(shot: Shot) -> tuple[str, ...]:
    """Tags of the faults that could be seen in this picture."""
    near = shot.framing == "close-up"
    return possible_faults(shot, near=near, limbs=False, face=False, goods=True)


def illustrate_product(
    what: Product, shot: Shot, size_px: int = 128, seed: int = 0, faults: Sequence[Fault] = ()
) -> ProductPicture:
    """Draw the product in a shot; `seed` varies what the shot leaves open, `faults` (of
    `product_faults`) are planted and named in the caption.

    Raises:
        ValueError: for a size below 16 px, a fault that could not be seen, or two of one tag.
    """
    rng = np.random.default_rng((seed, what.id, 0xD1))
    style = STYLES[shot.style]
    canvas = Canvas(size_px, rng)
    draw_place(canvas, shot, style, rng)
    scale = rng.uniform(0.80, 0.92) if shot.framing == "close-up" else rng.uniform(0.52, 0.64)
    x, ground = 0.5 + rng.uniform(-0.05, 0.05), 0.5 + 0.46 * scale + rng.uniform(0.03, 0.07)
    if shot.stand != "paper":
        stand = Layer()
        _stand(stand, shot.stand, ground, rng)
        canvas.paint(stand, style)
    layer = Layer()
    paint = Paint(named(what.colour, what.tone), named(what.accent), what.pattern)
    GOODS[what.kind](layer, paint)
    layer = layer.placed(x, ground, scale, rng.normal(0, 0.01))
    subject = Subject(layer, (x, ground))
    if not style.border:
        reach = max(float(np.ptp(s.points[:, 0])) for s in layer.shapes) / 2
        subject.shadows = [
            Shadow(x + 0.06 * scale, ground, reach * 1.35, 0.07 * scale, 0.30),
            Shadow(x, ground - 0.003, reach * 0.95, 0.03 * scale, 0.55, (0.13, 0.09, 0.22)),
        ]
    possible = product_faults(shot)
    paint_subject(canvas, subject, shot, possible=possible, faults=faults, seed=seed)
    words = name_faults(product_caption(what, shot, rng), faults)
    return ProductPicture(canvas.finish(), canvas.parts, words, what, shot)
