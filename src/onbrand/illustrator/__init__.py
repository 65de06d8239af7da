"""Draws labelled pictures: mascots in scenes and products on stands, with all that is true of them.

Knows nothing of models. `illustrate(character(3), Scene(pose="waving"))` is a picture with caption,
character id, keypoints and parts; `illustrate_product(product(3), Shot(stand="wooden table"))` one
with caption, product and parts. Places, hours, styles and colours are shared by both worlds.
"""

from __future__ import annotations

from onbrand.illustrator.canvas import PARTS, STYLES
from onbrand.illustrator.character import (
    RESERVED_IDS,
    TRAITS,
    Character,
    character,
    describe,
    lookalikes,
    pretraining_character,
)
from onbrand.illustrator.draw import Illustration, illustrate
from onbrand.illustrator.product import (
    PRODUCT_TRAITS,
    Product,
    ProductPicture,
    Shot,
    describe_product,
    illustrate_product,
    pretraining_product,
    product,
    product_caption,
    random_shot,
)
from onbrand.illustrator.scene import (
    ATTRIBUTES,
    Scene,
    action,
    attributes,
    caption,
    random_scene,
)

__all__ = [
    "ATTRIBUTES",
    "PARTS",
    "PRODUCT_TRAITS",
    "RESERVED_IDS",
    "STYLES",
    "TRAITS",
    "Character",
    "Illustration",
    "Product",
    "ProductPicture",
    "Scene",
    "Shot",
    "action",
    "attributes",
    "caption",
    "character",
    "describe",
    "describe_product",
    "illustrate",
    "illustrate_product",
    "lookalikes",
    "pretraining_character",
    "pretraining_product",
    "product",
    "product_caption",
    "random_scene",
    "random_shot",
]
