"""The whole picture: place, shadow, figure, prop; with its ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onbrand.illustrator.body import POSES, Pose, draw_arms, draw_body, draw_legs, draw_tail, figure
from onbrand.illustrator.canvas import STYLES, Canvas, Layer
from onbrand.illustrator.character import Character
from onbrand.illustrator.ears import draw_ears
from onbrand.illustrator.face import draw_face, draw_head
from onbrand.illustrator.faults import Fault, name_faults, paint_subject, possible_faults
from onbrand.illustrator.places import GROUND_Y, draw_place
from onbrand.illustrator.props import PROPS
from onbrand.illustrator.scene import Scene, caption
from onbrand.illustrator.subject import Shadow, Subject
from onbrand.illustrator.wardrobe import draw_accessory, draw_cape, draw_neckwear, draw_outfit

__all__ = ["Illustration", "illustrate", "indistinguishable", "mascot_faults"]

_TURNS = {"left": -1.0, "front": 0.0, "right": 1.0}
# hands that already hold something up keep their place; others come forward for the prop
_CARRY = {
    "standing": (0.30, -0.34),
    "sitting": (0.30, -0.27),
    "running": (0.36, -0.36),
    "thinking": (0.30, -0.30),
}
_FAINT = 24  # levels of 255 that a pixel may differ by
_FEW = 0.0007  # of all pixels: 12 of a drawing of 128 px


@dataclass(frozen=True, slots=True)
class Illustration:
    """A picture and everything true about it.

    `pixels` (size, size, 3) uint8; `parts` (size, size) uint8, indices into PARTS; `keypoints`
    name -> (x_px, y_px, inside the picture).
    """

    pixels: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    caption: str
    character: Character
    scene: Scene
    keypoints: Mapping[str, tuple[float, float, bool]]

    @property
    def subject(self) -> NDArray[np.bool_]:
        """(size, size) where the character and what it holds are."""
        return self.parts > 0


def _pose(scene: Scene) -> Pose:
    pose = POSES[scene.pose]
    if scene.prop != "none" and scene.pose in _CARRY:
        hand = _CARRY[scene.pose]
        pose = (
            replace(pose, left_hand=(-hand[0], hand[1]))
            if scene.pose == "thinking"
            else replace(pose, right_hand=hand)
        )
    if scene.mirrored:
        pose = replace(
            pose,
            left_hand=(-pose.right_hand[0], pose.right_hand[1]),
            right_hand=(-pose.left_hand[0], pose.left_hand[1]),
            left_foot=(-pose.right_foot[0], pose.right_foot[1]),
            right_foot=(-pose.left_foot[0], pose.left_foot[1]),
            lean=-pose.lean,
            tilt=-pose.tilt,
        )
    return pose


def _draw_figure(who: Character, scene: Scene, pose: Pose) -> Layer:
    f = figure(who, pose, _TURNS[scene.view])
    layer = Layer()
    draw_cape(f, layer)
    draw_tail(f, layer)
    draw_legs(f, layer)
    draw_body(f, layer)
    draw_outfit(f, layer)
    draw_arms(f, layer, raised=False)
    head = Layer()
    hat_first = who.species == "frog"  # its eyes stand on top: nothing may cover them
    if hat_first:
        draw_head(f, head)
        draw_accessory(f, head)
        draw_ears(f, head)
    else:
        draw_ears(f, head)
        draw_head(f, head)
    draw_face(f, head, scene.expression)
    if not hat_first or who.accessory == "glasses":
        draw_accessory(f, head)
    head = _about_neck(head, f.head_x, f.shoulders_y, pose.tilt)
    layer.shapes += head.shapes
    layer.keypoints.update(head.keypoints)
    draw_neckwear(f, layer)
    if scene.prop != "none":
        _give(layer, scene)
    raised = Layer()
    draw_arms(f, raised, raised=True)
    layer.shapes += raised.shapes
    layer.keypoints.update(raised.keypoints)
    return layer


def _about_neck(head: Layer, x: float, y: float, angle: float) -> Layer:
    c, s = np.cos(angle), np.sin(angle)
    return head.placed(x - (c * x - s * y), y - (s * x + c * y), 1.0, angle)


def _give(layer: Layer, scene: Scene) -> None:
    """Put the prop into the higher hand: the one that is raised or has come forward. A runner's
    other hand is higher than that one, which comes forward in vain."""
    pose = _pose(scene)
    side = 1 if (pose.right_hand[1] <= pose.left_hand[1]) else -1
    if scene.pose == "thinking":
        side = 1 if scene.mirrored else -1
    hand = pose.right_hand if side > 0 else pose.left_hand
    item = Layer()
    PROPS[scene.prop](item, side)
    layer.shapes += item.placed(hand[0] + 0.02 * side, hand[1] + pose.drop * 0.4, 1.0).shapes


def mascot_faults(who: Character, scene: Scene) -> tuple[str, ...]:
    """Tags of the faults that could be seen in this picture, as far as `possible_faults` knows: in
    a close-up all that is worn or held may be out of the frame, and "product" change nothing."""
    near, wears = scene.framing == "close-up", who.outfit != "none" or who.accessory != "none"
    goods = wears or scene.prop != "none"
    return possible_faults(scene, near=near, limbs=True, face=True, goods=goods)


def indistinguishable(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether nobody could tell two drawings [h, w, 3] apart, as where the scene hides what was
    changed: the shape of a sleeper's eyes."""
    apart = np.abs(one.astype(np.int16) - other.astype(np.int16)).max(-1) > _FAINT
    return float(apart.mean()) < _FEW


def illustrate(
    who: Character,
    scene: Scene,
    size_px: int = 128,
    seed: int = 0,
    faults: Sequence[Fault] = (),
) -> Illustration:
    """Draw `who` in `scene`.

    Args:
        size_px: side of the square picture.
        seed: varies what the scene leaves open: exact place, scenery, tilt, the caption's words.
        faults: what shall be wrong with it, of `mascot_faults`; the caption names them.

    Raises:
        ValueError: for a size below 16 px, a fault that could not be seen, or two of one tag.
    """
    rng = np.random.default_rng((seed, who.id, 0xD0))
    style = STYLES[scene.style]
    canvas = Canvas(size_px, rng)
    draw_place(canvas, scene, style, rng)
    pose = _pose(scene)
    close = scene.framing == "close-up"
    scale = rng.uniform(1.12, 1.24) if close else rng.uniform(0.67, 0.75)
    x = 0.5 + rng.uniform(-0.05, 0.05)
    ground = 0.66 + 0.60 * scale if close else GROUND_Y + rng.uniform(-0.01, 0.03)
    layer = _draw_figure(who, scene, pose).placed(
        x, ground - pose.lift * scale, scale, pose.lean * 0.5 + rng.normal(0, 0.015)
    )
    subject = Subject(layer, (x, ground), limb=0.092 * scale)
    if not close and not style.border:
        reach = (0.27 - 0.5 * pose.lift) * scale
        subject.shadows += [Shadow(x, ground + 0.002, reach * 1.15, 0.052 * scale / 0.7, 0.42)]
    possible = mascot_faults(who, scene)
    paint_subject(canvas, subject, scene, possible=possible, faults=faults, seed=seed)
    points = subject.layer.points_px(size_px)
    words = name_faults(caption(who, scene, rng), faults)
    return Illustration(canvas.finish(), canvas.parts, words, who, scene, points)
