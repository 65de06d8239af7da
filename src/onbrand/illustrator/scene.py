"""What happens in a picture: pose, expression, view, prop, place, hour and drawing style; and the
words for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onbrand.illustrator.canvas import STYLES
from onbrand.illustrator.character import Character, describe, trait_phrases
from onbrand.illustrator.colours import PALE
from onbrand.illustrator.setting import Setting, where

__all__ = ["ATTRIBUTES", "Scene", "action", "attributes", "caption", "random_scene"]

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "pose": (
        "standing",
        "waving",
        "cheering",
        "jumping",
        "running",
        "sitting",
        "dancing",
        "thinking",
    ),
    "expression": ("happy", "laughing", "sad", "angry", "surprised", "sleepy", "winking", "calm"),
    "view": ("front", "left", "right"),
    "prop": (
        "none",
        "balloon",
        "ice cream",
        "umbrella",
        "flower",
        "book",
        "cup",
        "gift",
        "star",
        "lantern",
        "ball",
        "flag",
    ),
    **{name: Setting.WORDS[name] for name in ("place", "hour", "style")},
    "framing": ("full body", "close-up"),
}

_MANNER = {
    "happy": "happily", "laughing": "laughing", "sad": "sadly", "angry": "angrily",
    "surprised": "looking surprised", "sleepy": "sleepily", "winking": "winking", "calm": "calmly",
}  # fmt: skip
_FACE = {
    "happy": "a happy smile", "laughing": "a laughing face", "sad": "a sad face",
    "angry": "an angry face", "surprised": "a surprised face", "sleepy": "a sleepy face",
    "winking": "a wink", "calm": "a calm face",
}  # fmt: skip
_POSE = {
    "standing": "standing", "waving": "waving", "cheering": "cheering with both arms up",
    "jumping": "jumping", "running": "running", "sitting": "sitting", "dancing": "dancing",
    "thinking": "thinking with a hand on the chin",
}  # fmt: skip
_PROP = {"ice cream": "an ice cream", "umbrella": "an umbrella"}


@dataclass(frozen=True, slots=True)
class Scene(Setting):
    """A mascot's circumstances; values are words of ATTRIBUTES. `mirrored` swaps left and right
    hands."""

    WORDS: ClassVar[dict[str, tuple[str, ...]]] = {**Setting.WORDS, **ATTRIBUTES}

    pose: str = "standing"
    expression: str = "happy"
    view: str = "front"
    prop: str = "none"
    framing: str = "full body"
    mirrored: bool = False


def random_scene(rng: np.random.Generator) -> Scene:
    """A scene as often met in practice: a third on plain backdrops, most seen whole."""

    def pick(name: str, first: float | None = None) -> str:
        """Any word alike, or the first one `first` times as often as each other."""
        words = ATTRIBUTES[name]
        if first is None:
            return words[int(rng.choice(len(words)))]
        weights = np.array([first, *(1.0 for _ in words[1:])])
        return words[int(rng.choice(len(words), p=weights / weights.sum()))]

    style = pick("style")
    place = pick("place", 4.5)
    if style == "sticker":
        place = "plain"
    hour = "day" if place in ("plain", "room") else pick("hour", 2)
    return Scene(
        pose=pick("pose"),
        expression=pick("expression"),
        view=pick("view", 2),
        prop=pick("prop", 6),
        place=place,
        hour=hour,
        style=style,
        framing=pick("framing", 6),
        backdrop=tuple(PALE)[int(rng.integers(len(PALE)))],
        mirrored=bool(rng.random() < 0.5),
    )


def _holding(scene: Scene) -> str:
    return _PROP.get(scene.prop, f"a {scene.prop}")


def action(scene: Scene) -> str:
    """What the subject does and where, without the subject: 'waving happily in a forest at night,
    holding a lantern'."""
    parts = [f"{scene.pose} {_MANNER[scene.expression]} {where(scene)}"]
    if scene.prop != "none":
        parts.append(f"holding {_holding(scene)}")
    return ", ".join(parts)


def attributes(person: Character, scene: Scene) -> dict[str, str]:
    """The ground truth that a classifier can be asked to read back."""
    return {
        "species": person.species,
        "colour": person.colour,
        "outfit": person.outfit,
        "accessory": person.accessory,
        **{name: getattr(scene, name) for name in ATTRIBUTES},
    }


def _subject(person: Character, rng: np.random.Generator) -> str:
    """The character in words: all traits, or some of them, as people would write."""
    roll = rng.random()
    if roll < 0.3:
        return describe(person)
    worn = [v for k, v in trait_phrases(person).items() if k in ("outfit", "accessory")]
    others = [v for k, v in trait_phrases(person).items() if k not in ("outfit", "accessory")]
    rng.shuffle(others)
    size = {"slim": "", "round": "chubby ", "small": "little "}[person.build]
    noun = f"{size if rng.random() < 0.4 else ''}{person.colour} {person.species}"
    if rng.random() < 0.25:
        noun += " mascot"
    who = ("an " if noun[0] in "aeiou" else "a ") + noun
    with_ = others[: int(rng.integers(0, 3))] if roll < 0.8 else []
    if worn and rng.random() < 0.85:
        with_ += [f"wearing {worn[0]}" + (f" and {worn[1]}" if len(worn) > 1 else "")]
    if not with_:
        return who
    first, *rest = with_
    return f"{who} {'' if first.startswith('wearing') else 'with '}{first}" + "".join(
        f", {phrase}" for phrase in rest
    )


def caption(
    person: Character, scene: Scene, rng: np.random.Generator, subject: str | None = None
) -> str:
    """A sentence fragment in natural, varied English. `subject` replaces the description of the
    character (a brand's trigger word, say). A close-up's words also name what is out of the frame:
    clothes, the prop, what the legs do."""
    who = subject or _subject(person, rng)
    manner, there = _MANNER[scene.expression], where(scene)
    pose = _POSE[scene.pose] if rng.random() < 0.5 else scene.pose
    if rng.random() < 0.7:
        doing = f"{pose} {manner}" if "with" not in pose else f"{pose}, {manner}"
    else:
        doing = f"{pose} with {_FACE[scene.expression]}"
    pieces = [doing]
    if scene.prop != "none":
        pieces.append(f"holding {_holding(scene)}")
    if scene.view != "front" and rng.random() < 0.7:
        pieces.append(f"facing {scene.view}")
    if scene.framing == "close-up":
        pieces.append("close-up")
    style = STYLES[scene.style].phrase
    roll = rng.random()
    if roll < 0.55:
        head = ("an " if style[0] in "aeiou" else "a ") + style
        return f"{head} of {who}, {', '.join(pieces)}, {there}"
    if roll < 0.85:
        return f"{who}, {', '.join(pieces)}, {there}, {style}"
    return f"{style}, {there}, {who}, {', '.join(pieces)}"
