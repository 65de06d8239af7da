"""A person's head: face, hair and the face's keypoints."""

from __future__ import annotations

import numpy as np

from onbrand.illustrator.canvas import Layer
from onbrand.illustrator.colours import Colour, darker, hex_colour, lighter, mix
from onbrand.illustrator.curves import Points, arc, blob, ellipse, superellipse
from onbrand.illustrator.fashion.body import Body
from onbrand.illustrator.fashion.person import HAIR, Person

__all__ = ["draw_hair_behind", "draw_head"]

HEAD_RX, HEAD_RY = 0.058, 0.074


def draw_head(b: Body, layer: Layer) -> None:
    """Head, face and hair, about the head's centre; names the face's keypoints."""
    head = Layer()
    if b.who.is_mannequin:
        head.fill(superellipse(0, 0, HEAD_RX * 0.92, HEAD_RY, 2.2), b.skin, "mannequin", form=True)
    else:
        hair = HAIR[b.who.hair_colour]
        for s in (-1, 1):
            head.fill(ellipse(s * HEAD_RX, 0.008, 0.013, 0.018), b.skin, "skin")
        outline = blob(
            [
                (-HEAD_RX, -0.02),
                (-0.04, -HEAD_RY),
                (0.04, -HEAD_RY),
                (HEAD_RX, -0.02),
                (0.044, 0.045),
                (0, HEAD_RY),
                (-0.044, 0.045),
            ],
            6,
        )
        head.fill(outline, b.skin, "face", form=True)
        _face(b.who, head, b.skin, hair, outline)
        _hair_before(b.who, head, hair)
        if b.who.face == "glasses":
            for s in (-1, 1):
                head.stroke(
                    arc(s * 0.027, 0.004, 0.019, 0.017, 0, 1), hex_colour("#39363f"), 0.006, "face"
                )
            head.stroke(
                np.array([(-0.009, 0.002), (0.009, 0.002)]), hex_colour("#39363f"), 0.006, "face"
            )
        head.keypoints.update(
            nose=(0.0, 0.022), left_eye=(0.026, 0.004), right_eye=(-0.026, 0.004),
            left_ear=(HEAD_RX, 0.008), right_ear=(-HEAD_RX, 0.008),
        )  # fmt: skip
    placed = head.placed(*b.pose.head, 1.0, b.pose.tilt)
    layer.shapes += placed.shapes
    layer.keypoints.update(placed.keypoints)


def draw_hair_behind(b: Body, layer: Layer) -> None:
    """Hair that falls behind the shoulders: the first thing to draw."""
    if not b.who.is_mannequin:
        hair = Layer()
        _hair_behind(b.who, hair, HAIR[b.who.hair_colour])
        layer.shapes += hair.placed(*b.pose.head, 1.0, b.pose.tilt).shapes


def _face(who: Person, head: Layer, skin: Colour, hair: Colour, outline: Points) -> None:
    rng = np.random.default_rng((who.id, 0xFACE))
    eye = [hex_colour(c) for c in ("#4a3426", "#3f6f8f", "#4c7a4f", "#2e2a33")][
        int(rng.integers(4))
    ]
    brow, wide = darker(hair, 0.25), rng.uniform(0.9, 1.12)
    lips = mix(skin, hex_colour("#c2434f"), 0.6 if who.kind == "woman" else 0.32)
    for s in (-1, 1):
        x = s * 0.026 * wide
        head.fill(
            ellipse(s * 0.036, 0.033, 0.013, 0.009),
            mix(skin, hex_colour("#e8667a"), 0.35),
            "face",
            clip=outline,
            alpha=0.6,
        )
        head.fill(ellipse(x, 0.004, 0.0125, 0.0105), (1, 1, 1), "face", line=False)
        head.fill(ellipse(x, 0.005, 0.0088, 0.0098), eye, "face", line=False)
        head.fill(ellipse(x - 0.003, 0.001, 0.003), (1, 1, 1), "face", line=False)
        head.stroke(arc(x, 0.006, 0.014, 0.013, 0.55, 0.95), darker(hair, 0.5), 0.005, "face")
        head.stroke(
            np.array([(x - s * 0.012, -0.020), (x, -0.024), (x + s * 0.012, -0.019)]),
            brow,
            0.006,
            "face",
        )
    head.stroke(
        np.array([(0.0, 0.014), (0.004, 0.026), (-0.002, 0.028)]), darker(skin, 0.28), 0.004, "face"
    )
    if who.face == "beard":
        beard = blob(
            [
                (-0.05, 0.02),
                (-0.022, 0.035),
                (0.022, 0.035),
                (0.05, 0.02),
                (0.042, 0.058),
                (0, 0.082),
                (-0.042, 0.058),
            ],
            5,
        )
        head.fill(beard, hair, "hair")
    head.stroke(arc(0, 0.041, 0.016, 0.009, 0.05, 0.45), lips, 0.0075, "face")
    if who.face == "freckles":
        for s in (-1, 1):
            for dx, dy in ((0.028, 0.024), (0.038, 0.021), (0.033, 0.030)):
                head.fill(ellipse(s * dx, dy, 0.0028), darker(skin, 0.3), "face", line=False)
    wrinkle = darker(skin, 0.22)
    for s in (-1, 1):
        if who.age != "young":
            head.stroke(np.array([(s * 0.020, 0.032), (s * 0.028, 0.046)]), wrinkle, 0.004, "face")
        if who.age == "old":
            for y in (-0.004, 0.004):
                crow = np.array([(s * 0.042, 0.0), (s * 0.051, y)])
                head.stroke(crow, wrinkle, 0.0035, "face")
            furrow = np.array([(s * 0.004, -0.036), (s * 0.024, -0.037)])
            head.stroke(furrow, wrinkle, 0.0035, "face")


def _hair_behind(who: Person, head: Layer, colour: Colour) -> None:
    deep = darker(colour, 0.15)
    if who.hair == "long":
        head.fill(
            blob(
                [
                    (-0.070, -0.03),
                    (0, -0.09),
                    (0.070, -0.03),
                    (0.082, 0.12),
                    (0.05, 0.19),
                    (-0.05, 0.19),
                    (-0.082, 0.12),
                ],
                6,
            ),
            deep,
            "hair",
            form=True,
        )
    elif who.hair == "bob":
        head.fill(
            blob(
                [
                    (-0.072, -0.03),
                    (0, -0.09),
                    (0.072, -0.03),
                    (0.078, 0.06),
                    (0.05, 0.078),
                    (-0.05, 0.078),
                    (-0.078, 0.06),
                ],
                6,
            ),
            deep,
            "hair",
            form=True,
        )
    elif who.hair == "curly":
        for k in range(9):
            t = np.pi * (0.92 + 1.16 * k / 8)
            head.fill(ellipse(0.070 * np.cos(t), 0.005 + 0.075 * np.sin(t), 0.034), deep, "hair")
    elif who.hair == "bun":
        head.fill(ellipse(0, -0.095, 0.034, 0.030), deep, "hair", form=True)
    elif who.hair == "ponytail":
        head.fill(
            blob([(0.03, -0.07), (0.085, -0.05), (0.098, 0.05), (0.070, 0.12), (0.064, 0.03)], 6),
            deep,
            "hair",
            form=True,
        )


def _hair_before(who: Person, head: Layer, colour: Colour) -> None:
    if who.hair == "bald":
        return
    if who.hair == "curly":
        for x, y, r in (
            (-0.045, -0.045, 0.026),
            (-0.018, -0.062, 0.027),
            (0.014, -0.063, 0.027),
            (0.043, -0.046, 0.026),
        ):
            head.fill(ellipse(x, y, r), colour, "hair")
        return
    if who.hair == "short" and who.kind == "man":
        cap = [
            (-0.062, 0.0),
            (-0.066, -0.04),
            (-0.03, -0.088),
            (0.03, -0.088),
            (0.066, -0.04),
            (0.062, 0.0),
            (0.046, -0.034),
            (0.0, -0.046),
            (-0.046, -0.034),
        ]
    else:
        cap = [
            (-0.064, 0.022),
            (-0.070, -0.03),
            (-0.03, -0.090),
            (0.03, -0.090),
            (0.070, -0.03),
            (0.064, 0.022),
            (0.047, -0.02),
            (-0.014, -0.052),
            (-0.047, -0.012),
        ]
    head.fill(blob(cap, 6), colour, "hair", form=True)
    head.stroke(
        np.array([(-0.03, -0.076), (-0.012, -0.082), (0.008, -0.08)]),
        lighter(colour, 0.35),
        0.006,
        "hair",
    )
