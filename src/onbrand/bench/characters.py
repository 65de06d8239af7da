"""A reserved character as a brand: its pictures, captions, brief and evaluation prompts, drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit
from PIL import Image

from onbrand.bench.worlds import NAMED
from onbrand.brief import Brief
from onbrand.files import write_json_atomic, write_text_atomic
from onbrand.illustrator import (
    Scene,
    action,
    attributes,
    caption,
    character,
    describe,
    illustrate,
    random_scene,
)
from onbrand.pixels import write_png

__all__ = [
    "draw_brand",
    "drawn_pictures",
    "drawn_prompts",
    "named_attributes",
    "new_scenes",
    "quick_recipe",
]

NUM_VALIDATION_PROMPTS = 4


def named_attributes(person_and_scene: dict[str, str]) -> dict[str, str]:
    """The attributes that `action` puts into words, without those it leaves open."""
    return {name: person_and_scene[name] for name in NAMED["mascots"]}


def trigger_word(identity: int) -> str:
    """A made-up word, another one for each identity under 1,600: "bafuzo"."""
    onsets, vowels = "bdfgjkvz", "aeiou"
    syllables = [onset + vowel for onset in onsets for vowel in vowels]
    return "".join(syllables[identity // 40**place % 40] for place in (1, 0)) + "zo"


def _scenes(num: int, rng: np.random.Generator, taken: Sequence[Scene] = ()) -> list[Scene]:
    """`num` scenes, none twice and none of `taken`."""
    scenes: list[Scene] = []
    while len(scenes) < num:
        scene = random_scene(rng)
        if scene not in scenes and scene not in taken:
            scenes.append(scene)
    return scenes


def new_scenes(num: int, taken: Sequence[Scene], rng: np.random.Generator) -> list[Scene]:
    """Scenes whose prompts differ, seen from the front and whole, for prompts do not say otherwise;
    their pose, place and prop come together in no scene of `taken`."""
    known = {(scene.pose, scene.place, scene.prop) for scene in taken}
    scenes: list[Scene] = []
    while len(scenes) < num:
        scene = replace(random_scene(rng), view="front", framing="full body")
        new = (scene.pose, scene.place, scene.prop) not in known
        if new and action(scene) not in [action(other) for other in scenes]:
            scenes.append(scene)
    return scenes


def draw_brand(
    identity: int,
    out: Path,
    *,
    num_train: int,
    num_held_out: int,
    num_prompts: int,
    size_px: int,
    seed: int,
    name: str | None = None,
    pose: str | None = None,
) -> None:
    """Draw character `identity` into `out`: pictures/ with captions, brief.toml, expected.json.

    `name` is the brand's and its trigger word; without one it is made of the id. `pose` is the one
    in all pictures; the prompts stay as they are.
    The last `num_held_out` pictures are held out. expected.json lists the evaluation prompts with
    the attributes they name and the scenes they tell of; neither they nor the validation prompts
    (brief.toml) repeat a training picture's combination of pose, place and prop.
    """
    rng = np.random.default_rng([seed, identity, 0xB4])
    who = character(identity)
    scenes = _scenes(num_train + num_held_out, rng)
    for number, scene in enumerate(scenes):
        shown = scene if pose is None else replace(scene, pose=pose, view="front", mirrored=False)
        drawn = illustrate(who, shown, size_px=size_px, seed=number)
        path = out / "pictures" / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(Image.fromarray(drawn.pixels), path)
        subject = f"a {who.colour} {who.species}"
        words = caption(who, scene, rng, subject=subject)
        if pose is not None:  # chances of its own, so that the prompts below stay as they are
            words = caption(who, shown, np.random.default_rng([seed, number]), subject=subject)
        write_text_atomic(path.with_suffix(".txt"), words + "\n")
    asked = new_scenes(NUM_VALIDATION_PROMPTS + num_prompts, scenes, rng)
    evaluation = asked[NUM_VALIDATION_PROMPTS:]
    write_json_atomic(
        out / "expected.json",
        [
            {
                "prompt": action(scene),
                "attributes": named_attributes(attributes(who, scene)),
                "scene": asdict(scene),
            }
            for scene in evaluation
        ],
    )
    Brief(
        name=name or f"hero {identity}",
        trigger=name or trigger_word(identity),
        subject=f"{who.colour} {who.species}",
        description=describe(who),
        objective="scene",
        prompts=[action(scene) for scene in asked],
        held_out=[f"{number:02d}.png" for number in range(num_train, len(scenes))],
    ).save(out / "brief.toml")


def drawn_pictures(identity: int, num: int, *, size_px: int, seed: int) -> list[Image.Image]:
    """`num` more pictures of the character, in scenes of their own: never trained on."""
    rng = np.random.default_rng([seed, identity, 0x3E])
    who = character(identity)
    return [
        Image.fromarray(
            illustrate(who, random_scene(rng), size_px=size_px, seed=900_000 + n).pixels
        )
        for n in range(num)
    ]


def drawn_prompts(
    identity: int, scenes: Sequence[Mapping[str, Any]], num: int, *, size_px: int
) -> list[Image.Image]:
    """The illustrator's own `num` drawings of each scene of expected.json, one scene after the
    other: what a perfect model would draw for the prompts."""
    who = character(identity)
    return [
        Image.fromarray(
            illustrate(who, Scene(**scene), size_px=size_px, seed=950_000 + num * k + n).pixels
        )
        for k, scene in enumerate(scenes)
        for n in range(num)
    ]


def quick_recipe(recipe_toml: str) -> str:
    """A valid recipe with hardly any steps, pictures or checks left: for a run that only must
    work."""
    recipe = tomlkit.parse(recipe_toml).unwrap()
    for stage in recipe["stage"]:
        stage.pop("num_epochs", None)
        stage.update(num_steps=3, batch_size=2, gradient_accumulation=1, warmup_steps=0)
    recipe["validation"] = {"num_prompts": 1, "num_per_prompt": 2, "num_steps": 3}
    recipe["prior"] = {"num_pictures": 2}
    recipe.pop("gate", None)
    return tomlkit.dumps(recipe)
