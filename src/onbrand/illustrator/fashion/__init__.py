"""The fashion world: people of many looks, and mannequins, who wear a garment somewhere.

Another garment is a function and a line in the table of `garment`, another pose a line in `poses`,
another haircut a branch in `head`.
"""

from __future__ import annotations

from onbrand.illustrator.fashion.garment import (
    GARMENT_TRAITS,
    Garment,
    describe_garment,
    garment,
    pretraining_garment,
)
from onbrand.illustrator.fashion.look import (
    FASHION_ATTRIBUTES,
    FashionPicture,
    FashionScene,
    fashion_attributes,
    fashion_caption,
    fashion_faults,
    illustrate_fashion,
    random_fashion_scene,
)
from onbrand.illustrator.fashion.person import (
    PERSON_TRAITS,
    Person,
    describe_person,
    person,
    pretraining_person,
)
from onbrand.illustrator.fashion.poses import COCO_17, FASHION_POSES

__all__ = [
    "COCO_17",
    "FASHION_ATTRIBUTES",
    "FASHION_POSES",
    "GARMENT_TRAITS",
    "PERSON_TRAITS",
    "FashionPicture",
    "FashionScene",
    "Garment",
    "Person",
    "describe_garment",
    "describe_person",
    "fashion_attributes",
    "fashion_caption",
    "fashion_faults",
    "garment",
    "illustrate_fashion",
    "person",
    "pretraining_garment",
    "pretraining_person",
    "random_fashion_scene",
]
