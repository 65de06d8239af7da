"""Variants of a brand's picture: small moves that the model should not read as the subject.

A picture with alpha is laid on several flat and gradient backgrounds and its caption says which;
on white alone the model learns that the subject *is* on white. An opaque picture keeps its scene;
what a turn or shift uncovers at the border is filled by reflection.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand import pixels
from onbrand.recipe import Augment

__all__ = ["BACKGROUNDS", "Backdrop", "Move", "caption_on", "draw", "known_backdrops", "moves"]

GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
VERSION = 1  # part of every cache key: raise it when pictures come out different


@dataclass(frozen=True, slots=True)
class Backdrop:
    """A background for cut-out subjects: its name in a caption and its colours, top to bottom."""

    name: str
    top_rgb: tuple[int, int, int]
    bottom_rgb: tuple[int, int, int]

    @property
    def phrase(self) -> str:
        """How a caption says it: "on a pale blue background"."""
        article = "an" if self.name[0] in "aeiou" else "a"
        return f"on {article} {self.name} background"


WHITE = Backdrop("white", (255, 255, 255), (255, 255, 255))
BACKGROUNDS: tuple[Backdrop, ...] = (
    WHITE,
    Backdrop("pale blue", (205, 226, 245), (205, 226, 245)),
    Backdrop("yellow", (250, 219, 107), (250, 219, 107)),
    Backdrop("pink", (248, 190, 205), (248, 190, 205)),
    Backdrop("green", (152, 205, 150), (152, 205, 150)),
    Backdrop("orange", (247, 173, 102), (247, 173, 102)),
    Backdrop("purple", (180, 160, 220), (180, 160, 220)),
    Backdrop("grey", (190, 192, 196), (190, 192, 196)),
    Backdrop("blue", (110, 165, 225), (160, 200, 240)),
    Backdrop("teal", (120, 200, 195), (165, 222, 216)),
    Backdrop("dark blue", (38, 50, 92), (58, 74, 126)),
    Backdrop("red", (226, 108, 100), (238, 140, 128)),
)
"""The first is the one that a plain, unmoved picture stands on."""


@dataclass(frozen=True, slots=True)
class Move:
    """One variant of a picture: turn in degrees, size factor, shift as a share of the side,
    factors of brightness and saturation."""

    flip: bool = False
    turn_degrees: float = 0.0
    scale: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    brightness: float = 1.0
    saturation: float = 1.0
    backdrop: Backdrop | None = None


def known_backdrops(unseen_words: Callable[[str], Sequence[str]]) -> tuple[Backdrop, ...]:
    """The backdrops whose words the base model knows (white always)."""
    return tuple(b for b in BACKGROUNDS if b is WHITE or not unseen_words(b.phrase))


def moves(
    key: str, augment: Augment, num: int, *, seed: int, backdrops: Sequence[Backdrop] | None
) -> list[Move]:
    """`num` variants of the picture `key`, the first unmoved; a function of (key, seed) only.

    `backdrops` None is for opaque pictures. Without any augmentation an opaque picture has one
    variant, whatever `num` says.
    """
    still = not (
        augment.flip
        or augment.rotate_degrees
        or augment.scale_fraction
        or augment.shift_fraction
        or augment.brightness_fraction
        or augment.saturation_fraction
    )
    if still and not backdrops:
        return [Move()]
    digest = hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=8).digest()
    rng = np.random.default_rng(int.from_bytes(digest, "little"))
    made = [Move(backdrop=backdrops[0] if backdrops else None)]
    order = rng.permutation(len(backdrops)) if backdrops else np.zeros(0, np.int64)
    while len(made) < num:
        flip, turn, scale, x, y, light = rng.random(), *rng.uniform(-1, 1, 5)
        colour = rng.uniform(-1, 1) if augment.saturation_fraction else 0.0
        made.append(
            Move(
                flip=bool(augment.flip and flip < 0.5),
                turn_degrees=float(turn * augment.rotate_degrees),
                scale=float(1 + scale * augment.scale_fraction),
                shift_x=float(x * augment.shift_fraction),
                shift_y=float(y * augment.shift_fraction),
                brightness=float(1 + light * augment.brightness_fraction),
                saturation=float(1 + colour * augment.saturation_fraction),
                backdrop=backdrops[int(order[len(made) % len(order)])] if backdrops else None,
            )
        )
    return made


_PLAIN = (
    r"(?:(?:no|plain|flat|solid|simple|blank|empty|clean|neutral|transparent|seamless|studio|light"
    r"|dark|pale|soft|bright|deep|warm|cool|white|black|gr[ea]y|red|orange|yellow|green|blue|purple"
    r"|pink|brown|beige|cream|mint|teal|lilac|lavender|peach|navy|off|coloured|colored)"
    r"(?:\s+and\s+|[\s-]+))"
)
_PLAIN_BACKGROUND = re.compile(
    r",?\s*(?<![\w-])(?:(?:and|isolated)\s+)*(?:"
    r"(?:(?:on|against|with|in|over|before|in\s+front\s+of)\s+)?(?:(?:an?|the)\s+)?"
    rf"{_PLAIN}+(?:background|backdrop)\b"
    r"|(?:on|against|with)\s+(?:an?\s+)?background\b"
    rf"|(?:on|against)\s+{_PLAIN}*(?:white|black|transparent)(?=\s*(?:[,.;]|$))"
    r")",
    re.IGNORECASE,
)
"""What captions of cut-outs say of it, taggers' "white background" too; "with a balloon and trees
in the background" says more."""


def caption_on(caption: str, backdrop: Backdrop | None) -> str:
    """The caption, telling of the backdrop; a background it told of before is taken out."""
    if backdrop is None:
        return caption
    bare = _PLAIN_BACKGROUND.sub("", caption).strip(" ,.;")
    return f"{bare}, {backdrop.phrase}" if bare else backdrop.phrase


def draw(
    image: Image.Image, alpha: NDArray[np.float32] | None, move: Move, size_px: int
) -> NDArray[np.uint8]:
    """The variant as [size_px, size_px, 3] uint8.

    `image` is RGB, laid on white where `alpha` (height × width in [0, 1]) is below 1. The move is
    made at twice the size and brought down by area, so that turning does not soften the lines.
    """
    plain = move == Move(backdrop=move.backdrop)
    work_px = size_px if plain else 2 * size_px
    fill = (255, 255, 255) if alpha is not None else None
    rgb = np.asarray(pixels.fit(image, work_px, fill), np.float32)
    cover = None if alpha is None else _fit_alpha(alpha, work_px)
    if not plain:
        rgb = _moved(rgb, move, size_px, 255.0 if alpha is not None else None)
        cover = None if cover is None else _moved(cover, move, size_px, 0.0)
    if cover is not None and move.backdrop is not None:
        # laid on white is a·C + (1−a)·255: exchange the white for the backdrop
        through = 1 - np.clip(cover, 0, 1)[..., None]
        ramp = np.linspace(0, 1, size_px, dtype=np.float32)[:, None, None]
        top, bottom = (
            np.asarray(c, np.float32) for c in (move.backdrop.top_rgb, move.backdrop.bottom_rgb)
        )
        rgb = rgb - through * 255 + through * (top + (bottom - top) * ramp)
    if move.saturation != 1:
        grey = rgb @ GREY_WEIGHTS
        coloured = grey[..., None] + (rgb - grey[..., None]) * move.saturation
        rgb = coloured.astype(np.float32)
    lit: NDArray[np.uint8] = np.clip(np.rint(rgb * move.brightness), 0, 255).astype(np.uint8)
    return lit


def _fit_alpha(alpha: NDArray[np.float32], size_px: int) -> NDArray[np.float32]:
    """Alpha letterboxed like its picture, transparent outside, [size_px, size_px]."""
    grey = Image.fromarray(np.rint(np.clip(alpha, 0, 1) * 255).astype(np.uint8)).convert("RGB")
    fitted = pixels.to_array(pixels.fit(grey, size_px, (0, 0, 0)))
    return np.ascontiguousarray(fitted[..., 0])


def _moved(
    array: NDArray[np.float32], move: Move, size_px: int, border: float | None
) -> NDArray[np.float32]:
    side = array.shape[0]
    centre = (side - 1) / 2
    if move.flip:
        array = np.ascontiguousarray(array[:, ::-1])
    matrix = cv2.getRotationMatrix2D((centre, centre), move.turn_degrees, move.scale)
    matrix[:, 2] += np.array([move.shift_x, move.shift_y]) * side
    warped = cv2.warpAffine(
        array,
        matrix,
        (side, side),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101 if border is None else cv2.BORDER_CONSTANT,
        borderValue=(0.0,) * 4 if border is None else (border,) * 4,
    )
    small = cv2.resize(warped, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)
