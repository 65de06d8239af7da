"""A mascot's figure: proportions, poses, and everything below the chin.

Figure space: the point between the feet is the origin, y down, the whole figure about 1 high.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onbrand.illustrator.canvas import Layer
from onbrand.illustrator.character import Character
from onbrand.illustrator.colours import Colour, darker, hex_colour, lighter, mix, named
from onbrand.illustrator.curves import (
    Points,
    bezier,
    blob,
    ellipse,
    heart,
    limb,
    rectangle,
    superellipse,
)
from onbrand.illustrator.species import SPECIES

__all__ = ["POSES", "Figure", "Pose", "draw_arms", "draw_body", "draw_legs", "draw_tail", "figure"]

XY = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Pose:
    """Where hands and feet go. `lean` in radians bends the line of action; `lift` leaves the
    ground; `drop` lowers the hips."""

    left_hand: XY
    right_hand: XY
    left_foot: XY = (-0.10, 0.0)
    right_foot: XY = (0.10, 0.0)
    lean: float = 0.0
    lift: float = 0.0
    drop: float = 0.0
    tilt: float = 0.0  # of the head


POSES: dict[str, Pose] = {
    "standing": Pose((-0.27, -0.19), (0.27, -0.19), tilt=0.03),
    "waving": Pose((-0.27, -0.18), (0.43, -0.66), lean=-0.03, tilt=-0.07),
    "cheering": Pose((-0.42, -0.70), (0.42, -0.70), (-0.13, 0), (0.13, 0), tilt=0.0),
    "jumping": Pose(
        (-0.43, -0.52), (0.43, -0.56), (-0.20, -0.05), (0.19, 0.03), lift=0.13, tilt=0.05
    ),
    "running": Pose(
        (-0.30, -0.40), (0.33, -0.27), (-0.27, -0.13), (0.22, 0.0), 0.17, 0.03, tilt=-0.05
    ),
    "sitting": Pose((-0.26, -0.06), (0.26, -0.06), (-0.21, -0.02), (0.21, -0.02), drop=0.10),
    "dancing": Pose((-0.38, -0.34), (0.39, -0.62), (-0.03, 0.0), (0.25, -0.13), -0.14, tilt=0.14),
    "thinking": Pose((-0.05, -0.17), (0.15, -0.385), lean=0.02, tilt=0.11),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A character in a pose: what the drawing routines share."""

    who: Character
    pose: Pose
    turn: float  # where the face looks: -1 viewer's left, 0 front, 1 right
    main: Colour
    pale: Colour  # belly, muzzle, ear lining
    dark: Colour  # patches, stripes, hands of penguins
    torso: Points
    torso_width: float
    hips_y: float
    shoulders_y: float
    head_x: float
    head_y: float
    head_rx: float
    head_ry: float

    @property
    def kind(self) -> str:
        """The species' name."""
        return self.who.species


_HEADS = {
    "round": (0.310, 0.275),
    "wide": (0.348, 0.260),
    "tall": (0.285, 0.302),
    "square": (0.310, 0.268),
}
_BUILDS = {"slim": 0.155, "round": 0.215, "small": 0.165}


def figure(who: Character, pose: Pose, turn: float) -> Figure:
    """Work out proportions and colours."""
    main = named(who.colour, who.tone)
    pale = {
        "cream": hex_colour("#fdf0d6"), "white": hex_colour("#fffdfa"),
        "pale": lighter(main, 0.58), "same": lighter(main, 0.16),
    }[who.belly]  # fmt: skip
    dark = lighter(main, 0.45) if who.colour == "black" else darker(main, 0.5)
    rx, ry = _HEADS[who.head]
    width = _BUILDS[who.build]
    short = 0.05 if who.build == "small" else 0.0
    hips_y = -0.15 + pose.drop
    shoulders_y = -0.42 + pose.drop + short
    lean = np.sin(pose.lean) * 0.42
    top, low = width * 0.66, width
    mid_y, base_y = (hips_y + shoulders_y) / 2, hips_y + 0.075
    torso = blob([
        (lean, shoulders_y - 0.05), (lean * 0.9 + top, shoulders_y + 0.02),
        (lean * 0.4 + low * 0.98, mid_y + 0.04), (low * 0.82, base_y - 0.03), (0.0, base_y),
        (-low * 0.82, base_y - 0.03), (lean * 0.4 - low * 0.98, mid_y + 0.04),
        (lean * 0.9 - top, shoulders_y + 0.02),
    ])  # fmt: skip
    return Figure(
        who, pose, turn, main, pale, dark, torso, width, hips_y, shoulders_y,
        lean * 1.25 + 0.012 * turn, shoulders_y - ry * 0.82, rx, ry,
    )  # fmt: skip


def draw_tail(f: Figure, layer: Layer) -> None:
    """The tail, behind everything; it swings away from where the face looks."""
    kind = SPECIES[f.kind].tail
    side = -1.0 if f.turn > 0 else 1.0
    y = f.hips_y
    if kind == "bushy":
        tail = blob(
            [
                (0.05 * side, y + 0.03),
                (0.26 * side, y + 0.04),
                (0.40 * side, y - 0.12),
                (0.36 * side, y - 0.30),
                (0.24 * side, y - 0.20),
                (0.19 * side, y - 0.07),
            ]
        )
        layer.fill(tail, f.main, "tail", form=True)
        tip = ellipse(0.37 * side, y - 0.26, 0.10, 0.11)
        layer.fill(tip, f.pale, "tail", clip=tail)
        layer.keypoints["tail_tip"] = (0.36 * side, y - 0.29)
    elif kind in ("thin", "curl"):
        end = (0.33 * side, y - 0.27) if kind == "thin" else (0.25 * side, y - 0.17)
        path = bezier((0.10 * side, y + 0.02), (0.44 * side, y + 0.06), end)
        layer.fill(limb(path, 0.055, 0.05), f.main, "tail")
        layer.keypoints["tail_tip"] = end
    elif kind == "stub":
        layer.fill(ellipse(0.19 * side, y - 0.01, 0.075), f.pale, "tail")
        layer.keypoints["tail_tip"] = (0.24 * side, y - 0.01)
    elif kind in ("dragon", "fin"):
        path = bezier((0.08 * side, y + 0.02), (0.34 * side, y + 0.12), (0.42 * side, y - 0.13))
        layer.fill(limb(path, 0.16, 0.035), f.main, "tail", form=True)
        tip = np.array([(0.36 * side, y - 0.10), (0.43 * side, y - 0.25), (0.49 * side, y - 0.09)])
        layer.fill(tip, f.pale if kind == "fin" else f.dark, "tail")
        layer.keypoints["tail_tip"] = (0.43 * side, y - 0.24)
    elif kind == "feathers":
        tail = blob(
            [(0.0, y - 0.05), (0.19 * side, y), (0.25 * side, y + 0.10), (0.10 * side, y + 0.07)]
        )
        layer.fill(tail, f.dark, "tail")
        layer.keypoints["tail_tip"] = (0.24 * side, y + 0.09)


def draw_legs(f: Figure, layer: Layer) -> None:
    """Legs and feet; soles face the viewer when sitting."""
    sitting = f.pose.drop > 0
    worn = f.who.outfit == "overalls"
    cloth = named(f.who.outfit_colour) if worn else f.main
    for side, name, foot in ((-1, "left", f.pose.left_foot), (1, "right", f.pose.right_foot)):
        hip = (side * f.torso_width * 0.5, f.hips_y)
        knee = ((hip[0] + foot[0]) / 2 + side * 0.03, (hip[1] + foot[1]) / 2)
        layer.fill(limb(bezier(hip, knee, (foot[0], foot[1] - 0.04)), 0.115, 0.09), cloth, "legs")
        birdy = SPECIES[f.kind].muzzle == "beak"
        paw = (
            hex_colour("#f5a623")
            if birdy
            else mix(f.main, f.dark, 0.35 if f.kind != "panda" else 0.9)
        )
        if sitting:
            layer.fill(ellipse(foot[0], foot[1], 0.085, 0.09), paw, "legs", form=True)
            layer.fill(ellipse(foot[0], foot[1] + 0.012, 0.045, 0.05), f.pale, "legs", line=False)
        else:
            layer.fill(
                ellipse(foot[0] + 0.022 * (f.turn or side * 0.6), foot[1] - 0.035, 0.088, 0.05),
                paw, "legs", form=True,
            )  # fmt: skip
        layer.keypoints[f"{name}_foot"] = foot


def draw_body(f: Figure, layer: Layer) -> None:
    """Torso, belly and belly marks."""
    layer.fill(f.torso, f.main, "body", form=True)
    middle = (f.hips_y + f.shoulders_y) / 2 + 0.03
    x = 0.045 * f.turn
    if f.who.belly != "same" or f.kind == "penguin":
        belly = superellipse(x, middle, f.torso_width * 0.68, 0.135, 2.3)
        layer.fill(belly, f.pale, "belly", clip=f.torso)
    if f.who.mark == "belly heart":
        layer.fill(heart(x, middle - 0.005, 0.062), hex_colour("#ef5d77"), "mark", line=False)
    if f.who.mark == "stripes":
        for k in range(3):
            y = f.shoulders_y + 0.07 + 0.075 * k
            for side in (-1, 1):
                stripe = rectangle(side * f.torso_width * 0.98, y, f.torso_width * 0.62, 0.03)
                layer.fill(stripe, f.dark, "mark", clip=f.torso)
    layer.keypoints["hips"] = (0.0, f.hips_y)
    for side, name in ((-1, "left"), (1, "right")):
        layer.keypoints[f"{name}_shoulder"] = _shoulder(f, side)


def _shoulder(f: Figure, side: int) -> XY:
    lean = float(np.sin(f.pose.lean)) * 0.36
    return lean + side * f.torso_width * 0.72, f.shoulders_y + 0.035


def draw_arms(f: Figure, layer: Layer, *, raised: bool) -> None:
    """The arms whose hands are above the chin (`raised`) or below it."""
    chin = f.shoulders_y + 0.05
    for side, name, hand in ((-1, "left", f.pose.left_hand), (1, "right", f.pose.right_hand)):
        if (hand[1] < chin) != raised:
            continue
        hand = (hand[0], hand[1] + f.pose.drop * 0.4)
        shoulder = _shoulder(f, side)
        reach = (hand[0] - shoulder[0], hand[1] - shoulder[1])
        bend = 0.24 if hand[0] * side > 0 else -0.45
        elbow = (
            shoulder[0] + reach[0] / 2 - side * bend * reach[1] * 0.55 + side * 0.01,
            shoulder[1] + reach[1] / 2 + abs(reach[0]) * 0.28,
        )
        path = bezier(shoulder, elbow, hand)
        sleeve = f.who.outfit in ("t-shirt", "striped sweater")
        skin = f.dark if f.kind == "panda" else f.main
        layer.fill(limb(path, 0.098, 0.086), skin, "arms", form=True)
        if sleeve:
            cloth = named(f.who.outfit_colour)
            length = 12 if f.who.outfit == "striped sweater" else 6
            covered = path[:length] if length < 12 else path[:10]
            layer.fill(limb(covered, 0.112, 0.108), cloth, "outfit", form=True)
            if f.who.outfit == "striped sweater":
                for k in (3, 7):
                    layer.stroke(_across(path, k), lighter(cloth, 0.55), 0.022, "outfit")
        layer.fill(ellipse(hand[0], hand[1], 0.054), lighter(skin, 0.12), "arms", form=False)
        layer.keypoints[f"{name}_hand"] = hand
        layer.keypoints[f"{name}_elbow"] = (float(path[6, 0]), float(path[6, 1]))


def _across(path: Points, k: int) -> Points:
    direction = path[k + 1] - path[k - 1]
    normal = np.array([-direction[1], direction[0]]) / (np.linalg.norm(direction) + 1e-9)
    return np.stack([path[k] - normal * 0.042, path[k] + normal * 0.042])
