"""A brand of a few small drawn pictures, for tests that train on it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import onbrand as ob
from onbrand.artifacts.dataset import Asset, Dataset
from onbrand.brief import Brief
from onbrand.files import fingerprint_file
from onbrand.recipe import Recipe

__all__ = [
    "SHORTEST_RECIPE",
    "at_work_elsewhere",
    "cut_off_cut_out",
    "draw_picture",
    "drawn_brand",
    "tiny_brief",
    "tiny_dataset",
    "tiny_recipe",
]


SHORTEST_RECIPE = """
base = "{base}"
[lora]
rank = 2
[validation]
num_prompts = 1
num_per_prompt = 1
num_steps = 1
[[stage]]
kind = "appearance"
batch_size = 2
num_steps = 1
"""
"""One step of one stage, on the base that is put in."""


def draw_picture(index: int, *, size_px: int = 40, cut_out: bool = False) -> Image.Image:
    """A round orange creature on a plain ground, its place a function of the index."""
    rng = np.random.default_rng(index)
    ground = rng.integers(120, 250, 3)
    rgb: NDArray[np.uint8] = np.empty((size_px, size_px, 3), np.uint8)
    rgb[:] = ground
    alpha: NDArray[np.uint8] = np.zeros((size_px, size_px), np.uint8)
    x, y = (int(v) for v in rng.integers(size_px // 3, 2 * size_px // 3, 2))
    for canvas, colour in ((rgb, (235, 120, 40)), (alpha, 255)):
        cv2.circle(canvas, (x, y), size_px // 4, colour, -1)
    cv2.circle(rgb, (x - 3, y - 2), 2, (20, 20, 30), -1)
    cv2.circle(rgb, (x + 3, y - 2), 2, (20, 20, 30), -1)
    if not cut_out:
        return Image.fromarray(rgb)
    return Image.fromarray(np.dstack([rgb, alpha]))


def cut_off_cut_out() -> Image.Image:
    """A tall cut-out whose subject reaches past each side; but for a hole it is opaque."""
    rgba: NDArray[np.uint8] = np.full((60, 30, 4), (235, 120, 40, 255), np.uint8)
    rgba[20:30, 10:20, 3] = 0
    return Image.fromarray(rgba)


def tiny_dataset(root: Path, *, num: int = 5, first: int = 0) -> Dataset:
    """`num` training pictures (every second a cut-out) and one held out, saved under root."""
    root.mkdir(parents=True, exist_ok=True)
    assets = []
    for i in range(num + 1):
        cut_out = i % 2 == 1
        path = root / "pictures" / f"{i:02d}.png"
        path.parent.mkdir(exist_ok=True)
        draw_picture(first + i, cut_out=cut_out).save(path)
        assets.append(
            Asset(
                key=fingerprint_file(path),
                file=f"pictures/{path.name}",
                caption=["waving", "sleeping on a sofa", "on a white background", ""][i % 4],
                split="held_out" if i == num else "train",
                tags=[],
                source=path.name,
                width_px=40,
                height_px=40,
                has_alpha=cut_out,
            )
        )
    dataset = Dataset(root=root, assets=assets, skipped=[], coverage={})
    dataset.save()
    return dataset


def drawn_brand(root: Path, recipe: str, *, num: int = 6) -> Path:
    """The brand folder root/kuro of `num` drawn pictures; `recipe` is the text of its recipe."""
    (root / "drawn").mkdir()
    for index in range(num):
        draw_picture(index).save(root / "drawn" / f"{index}.png")
    (root / "recipe.toml").write_text(recipe)
    return ob.new(root / "kuro", pictures=root / "drawn", recipe=str(root / "recipe.toml"))


def tiny_brief() -> Brief:
    """A brief with two validation prompts."""
    return Brief(
        name="Kuro",
        trigger="kuro",
        subject="fox mascot",
        description="a round orange fox mascot",
        objective="scene",
        prompts=["waving at night", "eating ramen"],
    )


def tiny_recipe(**changes: object) -> Recipe:
    """Two short stages with every loss, class pictures and no gate; `changes` replace fields."""
    stage = {"batch_size": 2, "warmup_steps": 1, "learning_rate": 1e-2}
    move = {
        "flip": False,
        "rotate_degrees": 4,
        "scale_fraction": 0.05,
        "shift_fraction": 0.03,
        "brightness_fraction": 0.03,
    }
    fields: dict[str, object] = {
        "base": "pocket",
        "seed": 7,
        "precision": "float32",  # so that stored losses hold on every processor
        "lora": {"rank": 2, "alpha": 2},
        "validation": {"num_prompts": 2, "num_per_prompt": 1, "num_steps": 2, "guidance": 2.0},
        "prior": {"num_pictures": 3, "weight": 1.0},
        "stage": [
            {"kind": "appearance", "num_steps": 6, "augment": move, **stage},
            {
                "kind": "detail",
                "num_steps": 4,
                "losses": {"perceptual": 0.1, "identity": 0.1, "prior": 1.0},
                "loss_max_timestep": 700,
                "every": 1,
                **stage,
            },
        ],
        "gate": [],
        **changes,
    }
    return Recipe.model_validate(fields)


@contextmanager
def at_work_elsewhere(brand: Path) -> Iterator[None]:
    """Another process holds the brand's folder."""
    hold = (
        "import sys; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(brand / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield
        other.communicate()
