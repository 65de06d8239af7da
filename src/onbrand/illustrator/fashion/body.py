"""A person's body, drawn from joints; garments measure themselves on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onbrand.illustrator.canvas import Layer
from onbrand.illustrator.colours import Colour, darker, hex_colour
from onbrand.illustrator.curves import Points, blob, ellipse, limb
from onbrand.illustrator.fashion.person import SKIN, Person
from onbrand.illustrator.fashion.poses import HIP_Y, FashionPose, Joints, joints

__all__ = [
    "Body",
    "body_of",
    "draw_arms",
    "draw_legs",
    "draw_torso",
    "sleeve",
    "torso",
]

XY = tuple[float, float]
_IVORY = hex_colour("#ece5da")
_SHOULDERS = {"woman": 0.080, "man": 0.100, "mannequin": 0.082}
_WAISTS = {"woman": 0.056, "man": 0.074, "mannequin": 0.056}
_HIPS = {"woman": 0.088, "man": 0.082, "mannequin": 0.084}
_GIRTH = {"slim": -0.006, "average": 0.002, "curvy": 0.022}


@dataclass(frozen=True, slots=True)
class Body:
    """Joints and measures in figure space that drawing and garments share."""

    who: Person
    pose: Joints
    skin: Colour
    waist_out: float
    hip_out: float
    thigh: float

    @property
    def at(self) -> dict[str, XY]:
        """Joints by name."""
        return self.pose.at

    @property
    def neck(self) -> XY:
        """Where a collar lies."""
        (lx, ly), (rx, ry) = self.at["left_shoulder"], self.at["right_shoulder"]
        return (lx + rx) / 2, (ly + ry) / 2 - 0.012

    @property
    def hip_x(self) -> float:
        """The middle of the hips."""
        return (self.at["left_hip"][0] + self.at["right_hip"][0]) / 2

    @property
    def hip_y(self) -> float:
        """Their height."""
        return HIP_Y

    @property
    def waist_y(self) -> float:
        """Where a belt lies."""
        return HIP_Y - 0.115

    def side_at(self, y: float) -> XY:
        """The torso's left and right edge in the picture at height y, from ribs to hips."""
        t = float(np.clip((y - self.neck[1]) / (self.hip_y - self.neck[1]), 0, 1))
        middle = self.neck[0] + (self.hip_x - self.neck[0]) * t
        half = float(np.interp(y, [self.waist_y, self.hip_y], [self.waist_out, self.hip_out]))
        return middle - half, middle + half

    def leg(self, side: str, share: float) -> Points:
        """The leg's middle line from the hip down to `share` of its length."""
        path = np.array([self.at[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle")])
        return _part_of(path, share)

    def leg_x(self, y: float) -> list[float]:
        """Where the two legs are at height y."""
        found = []
        for side in ("left", "right"):
            path = self.leg(side, 1.0)
            found.append(float(np.interp(y, path[:, 1], path[:, 0])))
        return found


def _part_of(path: Points, share: float) -> Points:
    """The first `share` of an open line, as nine points."""
    steps = np.sqrt((np.diff(path, axis=0) ** 2).sum(1))
    way = np.concatenate([[0.0], np.cumsum(steps)])
    t = np.linspace(0, share * way[-1], 9)
    return np.stack([np.interp(t, way, path[:, k]) for k in (0, 1)], axis=1)


def body_of(who: Person, pose: FashionPose, mirrored: bool) -> Body:
    """The body of a person in a pose."""
    girth = _GIRTH[who.build]
    placed = joints(pose, _SHOULDERS[who.kind] + girth * 0.4, 0.042 + girth * 0.4, mirrored)
    skin = _IVORY if who.is_mannequin else SKIN[who.skin]
    return Body(
        who, placed, skin, _WAISTS[who.kind] + girth, _HIPS[who.kind] + girth, 0.078 + girth
    )


def torso(b: Body, loose: float, hem_y: float, neck: float) -> Points:
    """The outline from the shoulders to a hem, `loose` wider than the body, open by `neck`."""
    (lx, ly), (rx, ry) = b.at["left_shoulder"], b.at["right_shoulder"]
    x, y = b.neck
    right, left = b.side_at(b.waist_y)
    low_right, low_left = b.side_at(hem_y)
    chest = b.neck[1] + 0.115
    return blob(
        [
            (x - neck, y - 0.006), (x, y + 0.022), (x + neck, y - 0.006),
            (lx + 0.012 + loose, ly + 0.004), (lx - 0.006 + loose, chest),
            (left + loose, b.waist_y), (low_left + loose, hem_y - 0.008),
            ((low_left + low_right) / 2, hem_y), (low_right - loose, hem_y - 0.008),
            (right - loose, b.waist_y), (rx + 0.006 - loose, chest),
            (rx - 0.012 - loose, ry + 0.004),
        ],
        5,
    )  # fmt: skip


def sleeve(b: Body, side: str, share: float, width: float) -> Points:
    """The outline of a sleeve over `share` of the arm."""
    path = np.array([b.at[f"{side}_{joint}"] for joint in ("shoulder", "elbow", "wrist")])
    return limb(_part_of(path, share * 0.96), width, width * (0.88 if share < 1 else 0.66))


def draw_legs(b: Body, layer: Layer, shoes: Colour) -> None:
    """Legs and shoes."""
    part = "mannequin" if b.who.is_mannequin else "skin"
    for side in ("right", "left"):
        layer.fill(limb(b.leg(side, 1.0), b.thigh, 0.034), b.skin, part, form=True)
        x, y = b.at[f"{side}_ankle"]
        turn = 1 if side == "left" else -1
        foot = blob(
            [
                (x - 0.022, y - 0.012),
                (x + 0.022, y - 0.012),
                (x + 0.026 + 0.014 * turn, y + 0.030),
                (x - 0.026 + 0.014 * turn, y + 0.030),
            ],
            5,
        )
        layer.fill(foot, shoes, "shoes", form=True)


def draw_torso(b: Body, layer: Layer) -> None:
    """Neck and torso."""
    part = "mannequin" if b.who.is_mannequin else "skin"
    x, y = b.neck
    head = b.pose.head
    layer.fill(torso(b, 0.0, b.hip_y + 0.04, 0.03), b.skin, part, form=True)
    layer.fill(
        limb(np.array([(x, y + 0.03), (x * 0.7 + head[0] * 0.3, y - 0.02), head]), 0.052, 0.042),
        darker(b.skin, 0.10),
        part,
    )


def draw_arms(b: Body, layer: Layer) -> None:
    """Arms and hands; sleeves come over them."""
    part = "mannequin" if b.who.is_mannequin else "skin"
    for side in ("right", "left"):
        path = np.array([b.at[f"{side}_{joint}"] for joint in ("shoulder", "elbow", "wrist")])
        layer.fill(limb(_part_of(path, 1.0), 0.042, 0.026), b.skin, part, form=True)
        wrist, elbow = path[2], path[1]
        along = (wrist - elbow) / np.linalg.norm(wrist - elbow)
        hand = wrist + along * 0.016
        turn = float(np.arctan2(along[1], along[0]))
        layer.fill(ellipse(hand[0], hand[1], 0.026, 0.017, turn), b.skin, part, form=True)
