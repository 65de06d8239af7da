"""Sets of pictures as a stage would show them, with exactly one fault planted at a severity 1–3.

A set has `NUM_PER_SET` scenes. The clean set is the character in these scenes, the base's set a
stranger of its species and colour in the same, as an untouched base draws "a red fox, waving …".
Planted sets change one thing of the clean one; `class_…` sets change the stranger's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.illustrator import (
    ATTRIBUTES,
    TRAITS,
    Character,
    Fault,
    Scene,
    character,
    illustrate,
    mascot_faults,
    pretraining_character,
    random_scene,
)
from onbrand.judging.sight import SHAPE_FAULTS

__all__ = ["FAULTY", "NUM_PER_SET", "SEVERITIES", "PlantedSet", "oily", "planted_sets"]

NUM_PER_SET = 8
SEVERITIES = (1, 2, 3)
FAULTY = ("shapes", "pose", "oily", "background", "memorised", "drift")

SHARE = (0.5, 0.75, 1.0)  # of a set's pictures that show one pose, or another subject
SMOOTH_PX, VIVID = (0.7, 1.0, 1.5), (1.25, 1.5, 1.9)  # deviation of the blur, factor of chroma
FADED = (0.75, 0.9, 1.0)  # of the background's contrast
MOVED = ((4.0, 5.0, 0.05), (2.0, 2.0, 0.02), (0.0, 0.0, 0.0))  # px, degrees, of the brightness


@dataclass(frozen=True)
class PlantedSet:
    """A set's pictures: `clean` and `planted[fault][severity]` of the character; `class_base`, the
    untouched base's, `class_clean` and planted["drift"] for the plain class's prompts."""

    clean: Sequence[Image.Image]
    class_base: Sequence[Image.Image]
    class_clean: Sequence[Image.Image]
    planted: Mapping[str, Mapping[int, Sequence[Image.Image]]]


def planted_sets(
    identity: int, train: Sequence[Image.Image], num: int, *, size_px: int, seed: int
) -> list[PlantedSet]:
    """`num` sets of reserved character `identity`, a function of the seed; near-copies are of the
    pictures `train`."""
    who = character(identity)
    sets = []
    for number in range(num):
        rng = np.random.default_rng([seed, identity, number, 0xD1A6])
        scenes = [_scene(who, rng) for _ in range(NUM_PER_SET)]
        sets.append(_one_set(who, scenes, train, rng, size_px, 1000 * (number + 1)))
    return sets


def _scene(who: Character, rng: np.random.Generator) -> Scene:
    """A scene with a background, in which hands could be seen to be wrong."""
    while True:
        scene = random_scene(rng)
        if scene.place != "plain" and "body" in mascot_faults(who, scene):
            return scene


def _one_set(
    who: Character,
    scenes: Sequence[Scene],
    train: Sequence[Image.Image],
    rng: np.random.Generator,
    size_px: int,
    seed: int,
) -> PlantedSet:
    draw = _Draughtsman(size_px, seed)
    classes = [_stranger(who, rng) for _ in scenes], [_stranger(who, rng) for _ in scenes]
    class_base = [draw(w, s, k) for k, (w, s) in enumerate(zip(classes[0], scenes, strict=True))]
    class_clean = [
        draw(w, s, k, other=1) for k, (w, s) in enumerate(zip(classes[1], scenes, strict=True))
    ]
    clean = [draw(who, scene, k) for k, scene in enumerate(scenes)]
    planted: dict[str, dict[int, Sequence[Image.Image]]] = {name: {} for name in FAULTY}
    for severity in SEVERITIES:
        planted["shapes"][severity] = [
            draw(who, scene, k, faults=(_shape_fault(who, scene, severity, rng),))
            for k, scene in enumerate(scenes)
        ]
        planted["pose"][severity] = [
            draw(who, scene, k) for k, scene in enumerate(_one_pose(scenes, severity, rng))
        ]
        planted["oily"][severity] = [oily(picture, severity) for picture in clean]
        planted["background"][severity] = [
            draw.faded(who, scene, k, severity) for k, scene in enumerate(scenes)
        ]
        copied = rng.choice(len(train), size=len(scenes), replace=len(train) < len(scenes))
        planted["memorised"][severity] = [near_copy(train[k], severity, rng) for k in copied]
        planted["drift"][severity] = _drifted(who, scenes, class_clean, severity, rng, draw)
    return PlantedSet(
        clean=clean,
        class_base=class_base,
        class_clean=class_clean,
        planted=planted,
    )


@dataclass(frozen=True)
class _Draughtsman:
    """Draws picture k of a set, always with the same seed."""

    size_px: int
    seed: int

    def __call__(
        self,
        who: Character,
        scene: Scene,
        k: int,
        *,
        other: int = 0,
        faults: Sequence[Fault] = (),
    ) -> Image.Image:
        drawn = illustrate(
            who, scene, self.size_px, seed=self.seed + k + 500 * other, faults=faults
        )
        return Image.fromarray(drawn.pixels)

    def faded(self, who: Character, scene: Scene, k: int, severity: int) -> Image.Image:
        """The picture with its background drawn towards its mean colour."""
        drawn = illustrate(who, scene, self.size_px, seed=self.seed + k)
        pixels = drawn.pixels.astype(np.float32)
        behind = (~drawn.subject).astype(np.float32)
        mean = pixels[~drawn.subject].mean(0)
        soft = cv2.GaussianBlur(behind, (0, 0), 0.7)[..., None] * FADED[severity - 1]
        return Image.fromarray((pixels + (mean - pixels) * soft).round().astype(np.uint8))


def _stranger(who: Character, rng: np.random.Generator) -> Character:
    """Somebody else of the species and colour."""
    other = pretraining_character(int(rng.integers(1, 10**6)))
    return replace(other, species=who.species, colour=who.colour)


def _shape_fault(who: Character, scene: Scene, severity: int, rng: np.random.Generator) -> Fault:
    possible = [tag for tag in SHAPE_FAULTS if tag in mascot_faults(who, scene)]
    return Fault(possible[int(rng.integers(len(possible)))], severity)


def _one_pose(scenes: Sequence[Scene], severity: int, rng: np.random.Generator) -> list[Scene]:
    """The scenes with one pose, and one view, in a share of them."""
    pose = str(rng.choice(ATTRIBUTES["pose"]))
    num = round(SHARE[severity - 1] * len(scenes))
    return [
        replace(scene, pose=pose, view="front", mirrored=False, prop="none") if k < num else scene
        for k, scene in enumerate(scenes)
    ]


def _drifted(
    who: Character,
    scenes: Sequence[Scene],
    class_clean: Sequence[Image.Image],
    severity: int,
    rng: np.random.Generator,
    draw: _Draughtsman,
) -> list[Image.Image]:
    """In a share of the class's pictures the brand itself, or one other species, is drawn."""
    species = str(rng.choice([name for name in TRAITS["species"] if name != who.species]))
    usurper = who if rng.random() < 0.5 else replace(who, species=species)
    num = round(SHARE[severity - 1] * len(scenes))
    return [
        draw(usurper, scene, k, other=2) if k < num else class_clean[k]
        for k, scene in enumerate(scenes)
    ]


def oily(picture: Image.Image, severity: int) -> Image.Image:
    """Smoothed and made vivid: blurred by 0.7, 1 or 1.5 px of 128, chroma × 1.25, 1.5 or 1.9."""
    lab = cv2.cvtColor(np.asarray(picture.convert("RGB"), np.float32) / 255, cv2.COLOR_RGB2LAB)
    blur = SMOOTH_PX[severity - 1] * max(picture.size) / 128
    vivid = np.array([1, VIVID[severity - 1], VIVID[severity - 1]], np.float32)
    lab = cv2.GaussianBlur(lab, (0, 0), blur) * vivid
    rgb: NDArray[np.float32] = np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.float32)
    return Image.fromarray((rgb.clip(0, 1) * 255).round().astype(np.uint8))


def near_copy(picture: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """A training picture, shifted, turned and brightened a little; at severity 3 itself."""
    reach_px, degrees, light = MOVED[severity - 1]
    pixels = np.asarray(picture.convert("RGB"), np.float32)
    side = pixels.shape[0]
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), float(rng.uniform(-1, 1)) * degrees, 1.0)
    turn[:, 2] += rng.uniform(-1, 1, 2) * reach_px * side / 128
    moved = cv2.warpAffine(pixels, turn, (side, side), borderMode=cv2.BORDER_REPLICATE)
    moved = moved * (1 + float(rng.uniform(-1, 1)) * light)
    return Image.fromarray(moved.round().clip(0, 255).astype(np.uint8))
