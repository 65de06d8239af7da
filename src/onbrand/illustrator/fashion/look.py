"""The fashion world's picture: a person or mannequin wears a garment somewhere; with the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onbrand.illustrator.canvas import STYLES, Canvas, Layer
from onbrand.illustrator.chance import pick
from onbrand.illustrator.colours import PALE, hex_colour
from onbrand.illustrator.curves import ellipse
from onbrand.illustrator.fashion.body import (
    Body,
    body_of,
    draw_arms,
    draw_legs,
    draw_torso,
)
from onbrand.illustrator.fashion.garment import (
    GARMENT_TRAITS,
    Garment,
    describe_garment,
    draw_sleeves,
    wear,
)
from onbrand.illustrator.fashion.head import draw_hair_behind, draw_head
from onbrand.illustrator.fashion.person import Person, describe_person
from onbrand.illustrator.fashion.poses import FASHION_POSES
from onbrand.illustrator.faults import Fault, name_faults, paint_subject, possible_faults
from onbrand.illustrator.places import GROUND_Y, draw_place
from onbrand.illustrator.setting import PLACES, Setting, where
from onbrand.illustrator.subject import Shadow, Subject

__all__ = [
    "FASHION_ATTRIBUTES",
    "FashionPicture",
    "FashionScene",
    "fashion_attributes",
    "fashion_caption",
    "fashion_faults",
    "illustrate_fashion",
    "random_fashion_scene",
]

_BASICS = ("white", "black", "grey", "blue")
_SHOES = ("#3d3a44", "#f3efe8", "#8a5a3c", "#b8484f")


@dataclass(frozen=True, slots=True)
class FashionScene(Setting):
    """Pose, framing and setting of a fashion picture. On a plain place it is a studio."""

    WORDS: ClassVar[dict[str, tuple[str, ...]]] = {
        **Setting.WORDS, "pose": tuple(FASHION_POSES), "framing": ("whole", "upper body"),
    }  # fmt: skip

    pose: str = "standing"
    framing: str = "whole"
    mirrored: bool = False


FASHION_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    **{name: GARMENT_TRAITS[name.removeprefix("garment_")]
       for name in ("garment_kind", "garment_colour", "garment_pattern")},
    "person": ("woman", "man", "mannequin"),
    "person_pose": FashionScene.WORDS["pose"],
    **{name: FashionScene.WORDS[name] for name in ("place", "hour", "style")},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FashionPicture:
    """`pixels` (size, size, 3) uint8 and what is true of them.

    `parts` (size, size) uint8, indices into PARTS: garments by kind, skin, face, hair, shoes,
    mannequin, whose bare feet are shoes too. `keypoints`: COCO-17's names -> (x_px, y_px, inside
    the picture); a mannequin has none of the face's.
    """

    pixels: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    caption: str
    person: Person
    garment: Garment
    scene: FashionScene
    keypoints: Mapping[str, tuple[float, float, bool]]


def random_fashion_scene(rng: np.random.Generator) -> FashionScene:
    """As often met in shops: half in the studio, the rest outside."""
    style, backdrop = pick(rng, tuple(STYLES)), pick(rng, tuple(PALE))
    pose, mirrored = pick(rng, tuple(FASHION_POSES)), bool(rng.random() < 0.5)
    framing = "upper body" if rng.random() < 0.2 else "whole"
    if style == "sticker" or rng.random() < 0.5:
        return FashionScene("plain", "day", style, backdrop, pose, framing, mirrored)
    place = "city" if rng.random() < 0.4 else pick(rng, tuple(p for p in PLACES if p != "plain"))
    hour = "day" if place == "room" else pick(rng, ("day", "day", "sunset", "night"))
    return FashionScene(place, hour, style, backdrop, pose, framing, mirrored)


def fashion_caption(
    who: Person, what: Garment, scene: FashionScene, rng: np.random.Generator
) -> str:
    """A sentence fragment in natural, varied English. That of an upper body also names what is out
    of the frame: the length of trousers, how the legs stand."""
    noun = describe_person(who)
    if not who.is_mannequin and rng.random() < 0.4:
        noun = f"a {who.age} {who.kind}" if who.age != "old" else f"an old {who.kind}"
    pose = (
        scene.pose
        if scene.pose in ("standing", "walking", "waving", "turning")
        else f"standing {scene.pose}"
    )
    there = (
        "in a studio, " + where(scene)
        if scene.place == "plain" and rng.random() < 0.4
        else where(scene)
    )
    close = ["upper body"] if scene.framing == "upper body" else []
    style = STYLES[scene.style].phrase
    wearing = f"{noun}, wearing {describe_garment(what)}"
    roll = rng.random()
    if roll < 0.5:
        head = f"{'an' if style[0] in 'aeiou' else 'a'} {style} of {wearing}"
        return ", ".join([head, pose, *close, there])
    if roll < 0.8:
        return ", ".join([wearing, pose, *close, there, style])
    return ", ".join(
        ["fashion picture of " + describe_garment(what), "on " + noun, pose, *close, there, style]
    )


def _rest(what: Garment, who: Person) -> list[Garment]:
    """Plain basics that complete the outfit, lowest first, a mannequin's too."""
    rng = np.random.default_rng((what.id, who.id, 0xBA))
    words = [c for c in _BASICS if c != what.colour]
    below, above = (words[int(k)] for k in rng.choice(len(words), 2, replace=False))
    trousers = Garment(-1, "trousers", below, below, length="long")
    top = Garment(-1, "t-shirt", above, above, sleeves="short")
    if what.covers == "both":
        return []
    if what.covers == "bottom":
        return [top]
    return [trousers, top] if what.kind == "coat" else [trousers]


def _stand_of_mannequin(layer: Layer) -> None:
    layer.fill(ellipse(0, 0.045, 0.12, 0.018), hex_colour("#8d8f98"), "mannequin")


def _dress_up(b: Body, what: Garment) -> Layer:
    """The dressed figure, back to front. A mannequin is barefoot, its feet are called shoes."""
    layer = Layer()
    rng = np.random.default_rng((what.id, b.who.id, 0x5E))
    if b.who.is_mannequin:
        _stand_of_mannequin(layer)
    shoes = b.skin if b.who.is_mannequin else hex_colour(_SHOES[int(rng.integers(len(_SHOES)))])
    draw_hair_behind(b, layer)
    draw_legs(b, layer, shoes)
    draw_torso(b, layer)
    under = _rest(what, b.who)
    lower = [g for g in (*under, what) if g.covers == "bottom"]
    upper = [g for g in (*under, what) if g.covers != "bottom"]
    tucked = what.kind in ("skirt", "trousers")
    for worn in (upper + lower) if tucked else (lower + upper):
        wear(layer, b, worn)
    draw_arms(b, layer)
    for worn in upper:
        draw_sleeves(layer, b, worn)
    draw_head(b, layer)
    layer.keypoints.update(b.at)
    return layer


def fashion_attributes(who: Person, what: Garment, scene: FashionScene) -> dict[str, str]:
    """The ground truth that a classifier can be asked to read back."""
    worn = {name: getattr(what, name.removeprefix("garment_")) for name in
            ("garment_kind", "garment_colour", "garment_pattern")}  # fmt: skip
    shown = {name: getattr(scene, name) for name in ("place", "hour", "style")}
    return {**worn, "person": who.kind, "person_pose": scene.pose, **shown}


def fashion_faults(who: Person, scene: FashionScene) -> tuple[str, ...]:
    """Tags of the faults that could be seen in this picture, as far as `possible_faults` knows: an
    arm that is up may end out of the frame, and "hand" change nothing."""
    near = scene.framing == "upper body"
    return possible_faults(scene, near=near, limbs=True, face=not who.is_mannequin, goods=True)


def illustrate_fashion(
    who: Person,
    what: Garment,
    scene: FashionScene,
    size_px: int = 128,
    seed: int = 0,
    faults: Sequence[Fault] = (),
) -> FashionPicture:
    """Draw the person in the garment; `seed` varies what the scene leaves open, `faults` (of
    `fashion_faults`) are planted and named in the caption.

    Raises:
        ValueError: for a size below 16 px, a fault that could not be seen, or two of one tag.
    """
    rng = np.random.default_rng((seed, who.id, what.id, 0xD2))
    style = STYLES[scene.style]
    canvas = Canvas(size_px, rng)
    draw_place(canvas, scene, style, rng)
    near = scene.framing == "upper body"
    scale = rng.uniform(1.35, 1.5) if near else rng.uniform(0.76, 0.84)
    x, ground = 0.5 + rng.uniform(-0.05, 0.05), GROUND_Y + rng.uniform(0.03, 0.06)
    if near:
        ground = 0.06 + 1.0 * scale + rng.uniform(0.0, 0.03)
    layer = _dress_up(body_of(who, FASHION_POSES[scene.pose], scene.mirrored), what)
    layer = layer.placed(x, ground, scale, rng.normal(0, 0.008))
    subject = Subject(layer, (x, ground), limb=0.040 * scale)
    if not near and not style.border:
        subject.shadows += [Shadow(x, ground + 0.022, 0.17 * scale, 0.030 * scale, 0.42)]
    possible = fashion_faults(who, scene)
    paint_subject(canvas, subject, scene, possible=possible, faults=faults, seed=seed)
    points = subject.layer.points_px(size_px)
    words = name_faults(fashion_caption(who, what, scene, rng), faults)
    return FashionPicture(canvas.finish(), canvas.parts, words, who, what, scene, points)
