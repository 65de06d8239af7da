"""Draws labelled pictures: mascots in scenes, with everything that is true about them.

Knows nothing of models. `illustrate(character(3), Scene(pose="waving"))` is a picture with caption,
character id, keypoints and parts.
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
    "RESERVED_IDS",
    "STYLES",
    "TRAITS",
    "Character",
    "Illustration",
    "Scene",
    "action",
    "attributes",
    "caption",
    "character",
    "describe",
    "illustrate",
    "lookalikes",
    "pretraining_character",
    "random_scene",
]
