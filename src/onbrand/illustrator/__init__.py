"""Draws labelled pictures of three worlds, with all that is true of them; knows nothing of models.

`illustrate(character(3), Scene(pose="waving"))` is a mascot with caption, character id, keypoints
and parts; `illustrate_product(product(3), Shot(stand="wooden table"))` a product with its mask;
`illustrate_fashion(person(3), garment(5), FashionScene(pose="walking"))` a garment worn, with
COCO-17 keypoints and parsing masks. `faults=[Fault("hand", 3)]` spoils any of them. Places, hours,
styles and colours are shared by all.
"""

from __future__ import annotations

from onbrand.illustrator.canvas import PARTS, STYLES
from onbrand.illustrator.captions import fashion_captions, mascot_captions, product_captions
from onbrand.illustrator.character import (
    RESERVED_IDS,
    TRAITS,
    Character,
    character,
    describe,
    lookalikes,
    pretraining_character,
)
from onbrand.illustrator.draw import (
    Illustration,
    illustrate,
    indistinguishable,
    mascot_faults,
)
from onbrand.illustrator.fashion import (
    FASHION_ATTRIBUTES,
    FashionPicture,
    FashionScene,
    Garment,
    Person,
    describe_garment,
    describe_person,
    fashion_attributes,
    fashion_caption,
    fashion_faults,
    garment,
    illustrate_fashion,
    person,
    pretraining_garment,
    pretraining_person,
    random_fashion_scene,
)
from onbrand.illustrator.faults import FAULTS, Fault
from onbrand.illustrator.product import (
    PRODUCT_ATTRIBUTES,
    PRODUCT_TRAITS,
    Product,
    ProductPicture,
    Shot,
    describe_product,
    illustrate_product,
    pretraining_product,
    product,
    product_attributes,
    product_caption,
    product_faults,
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
    "FASHION_ATTRIBUTES",
    "FAULTS",
    "PARTS",
    "PRODUCT_ATTRIBUTES",
    "PRODUCT_TRAITS",
    "RESERVED_IDS",
    "STYLES",
    "TRAITS",
    "Character",
    "FashionPicture",
    "FashionScene",
    "Fault",
    "Garment",
    "Illustration",
    "Person",
    "Product",
    "ProductPicture",
    "Scene",
    "Shot",
    "action",
    "attributes",
    "caption",
    "character",
    "describe",
    "describe_garment",
    "describe_person",
    "describe_product",
    "fashion_attributes",
    "fashion_caption",
    "fashion_captions",
    "fashion_faults",
    "garment",
    "illustrate",
    "illustrate_fashion",
    "illustrate_product",
    "indistinguishable",
    "lookalikes",
    "mascot_captions",
    "mascot_faults",
    "person",
    "pretraining_character",
    "pretraining_garment",
    "pretraining_person",
    "pretraining_product",
    "product",
    "product_attributes",
    "product_caption",
    "product_captions",
    "product_faults",
    "random_fashion_scene",
    "random_scene",
    "random_shot",
]
