"""Parts of a subject, by the labels that parsers have for them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["BEHIND", "HEAD", "PARTS"]

PARTS: Mapping[str, tuple[str, ...]] = {
    "head": ("head", "mouth", "eyes", "face"),
    "ears": ("ears",),
    "eyes": ("eyes",),
    "mark": ("mark",),
    "outfit": ("outfit", "accessory"),
}
"""Part → labels that belong to it."""

HEAD: tuple[str, ...] = (*PARTS["head"], "ears", "mark", "hair")
"""All that is on an avatar's head; marks are mostly there."""

BEHIND = "background"
"""What is behind the subject."""
