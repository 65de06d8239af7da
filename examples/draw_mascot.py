"""Draws a mascot that the base model has never seen, as a designer would deliver it.

    python examples/draw_mascot.py OUT [--id 10] [--num 25] [--name kuro]

Writes OUT/pictures (PNG + caption.txt each), OUT/lookalikes (the same mascot with one trait
changed) and OUT/brief.toml, ready for:

    onbrand new demo --brief OUT/brief.toml --pictures OUT/pictures --lookalikes OUT/lookalikes

The ids in RESERVED_IDS never enter pretraining, so the pocket pack meets this mascot here for the
first time.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from onbrand.brief import Brief
from onbrand.illustrator import (
    RESERVED_IDS,
    Character,
    Scene,
    action,
    caption,
    character,
    describe,
    illustrate,
    lookalikes,
    random_scene,
)

NUM_VALIDATION_PROMPTS = 4
NUM_REPORT_PROMPTS = 8
PICTURES_PER_LOOKALIKE = 2


def varied_scenes(num: int, rng: np.random.Generator) -> list[Scene]:
    """`num` different scenes, one of which is always the plain front view of a model sheet."""
    scenes = [Scene(pose="standing", expression="happy", place="plain", backdrop="cream")]
    while len(scenes) < num:
        scene = random_scene(rng)
        if scene not in scenes:
            scenes.append(scene)
    return scenes


def new_prompts(num: int, taken: list[Scene], rng: np.random.Generator) -> list[str]:
    """Prompts for what the mascot does in no training picture."""
    known = {(scene.pose, scene.place, scene.prop) for scene in taken}
    prompts: list[str] = []
    while len(prompts) < num:
        scene = replace(random_scene(rng), view="front", framing="full body")
        if (scene.pose, scene.place, scene.prop) not in known and action(scene) not in prompts:
            prompts.append(action(scene))
    return prompts


def draw(person: Character, scenes: list[Scene], folder: Path, stem: str, size_px: int) -> None:
    """One PNG per scene and its caption beside it, without the traits that are to be learned."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, scene in enumerate(scenes):
        drawn = illustrate(person, scene, size_px=size_px, seed=index)
        Image.fromarray(drawn.pixels).save(folder / f"{stem}{index:02d}.png")
        rng = np.random.default_rng([person.id, index])
        words = caption(person, scene, rng, subject=f"a {person.colour} {person.species}")
        (folder / f"{stem}{index:02d}.txt").write_text(words + "\n", encoding="utf-8")


def main() -> None:
    """Reads the command line and draws."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder to write into")
    parser.add_argument("--id", type=int, default=10, help="one of the reserved character ids")
    parser.add_argument("--num", type=int, default=25, help="pictures to draw")
    parser.add_argument("--name", default="kuro", help="the mascot's name, and its trigger word")
    parser.add_argument("--size", type=int, default=256, help="side of a picture in pixels")
    asked = parser.parse_args()
    if asked.id not in RESERVED_IDS:
        parser.error(f"--id {asked.id} may have been seen in pretraining: take one of 0 to 255")

    rng = np.random.default_rng([asked.id, 2026])
    person = character(asked.id)
    scenes = varied_scenes(asked.num, rng)
    draw(person, scenes, asked.out / "pictures", "", asked.size)
    for double in lookalikes(person):
        stem = f"other-{double.changed_trait}-".replace("_", "-")
        shown = varied_scenes(PICTURES_PER_LOOKALIKE, rng)
        draw(double, shown, asked.out / "lookalikes", stem, asked.size)
    Brief(
        name=asked.name,
        trigger=asked.name,
        subject=f"{person.colour} {person.species}",
        description=describe(person),
        objective="scene",
        prompts=new_prompts(NUM_VALIDATION_PROMPTS + NUM_REPORT_PROMPTS, scenes, rng),
    ).save(asked.out / "brief.toml")
    print(f"{len(scenes)} pictures of {describe(person)} in {asked.out}")


if __name__ == "__main__":
    main()
