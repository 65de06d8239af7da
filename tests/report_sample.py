"""A report context made of drawn pictures and invented figures: what the report's tests lay out.

`python tests/report_sample.py FOLDER` writes the page, to look at.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from onbrand.artifacts.judgement import Arm, Judgement, Metric
from onbrand.illustrator import (
    Character,
    Scene,
    action,
    character,
    illustrate,
    lookalikes,
    random_scene,
)
from onbrand.report import (
    Column,
    Curve,
    Evidence,
    Neighbour,
    ReportContext,
    Shown,
    write_report,
)

ARMS = {
    "base": (0.34, 0.38, 0.49, 0.00, 1.00, 0.74, 0.00, 14.2),
    "prompt_only": (0.62, 0.66, 0.21, 0.11, 1.01, 0.71, 0.00, 9.8),
    "dreambooth_lora": (0.80, 0.83, 0.07, 0.69, 0.95, 0.58, 0.06, 5.1),
    "appearance": (0.81, 0.84, 0.06, 0.78, 0.99, 0.62, 0.00, 4.6),
    "detail": (0.87, 0.89, 0.01, 0.94, 0.98, 0.60, 0.00, 3.9),
}
TITLES = {
    "base": "Base",
    "prompt_only": "Prompt only",
    "dreambooth_lora": "DreamBooth LoRA",
    "appearance": "Appearance",
    "detail": "Detail",
}
BASELINES = ("base", "prompt_only", "dreambooth_lora")
HIGHER = {"identity", "retrieval_fraction", "alignment_ratio", "diversity"}


def drawn(who: Character, scene: Scene, seed: int, size_px: int = 128) -> Image.Image:
    return Image.fromarray(illustrate(who, scene, size_px=size_px, seed=seed).pixels)


def arm(name: str) -> Arm:
    identity, high, error, retrieval, ratio, diversity, memorised, palette = ARMS[name]
    values = {
        "identity": (identity, (2 * identity - high, high), None),
        "identity_error": (error, (max(0.0, error - 0.02), error + 0.02), 0.105),
        "retrieval_fraction": (
            retrieval,
            (max(0.0, retrieval - 0.06), min(1.0, retrieval + 0.05)),
            0.9,
        ),
        "alignment_ratio": (ratio, (ratio - 0.03, ratio + 0.03), 0.97),
        "diversity": (diversity, (diversity - 0.05, diversity + 0.05), None),
        "memorised_fraction": (memorised, None, 0.0),
        "palette_distance": (palette, (palette - 0.6, palette + 0.7), None),
    }
    metrics = {}
    for metric, (value, interval, bar) in values.items():
        higher = metric in HIGHER
        bar = None if name in BASELINES else bar
        holds = None if bar is None else (value >= bar if higher else value <= bar)
        better = "higher" if higher else "lower"
        metrics[metric] = Metric(
            value=value, interval=interval, bar=bar, holds=holds, better=better
        )
    return Arm(name=name, steps=400, metrics=metrics, diagnosis=[])


def column(name: str, who: Character, scenes: list[Scene]) -> Column:
    """Two pictures of `who` per scene."""
    rows = [
        [Shown(drawn(who, scene, 10 * n + k), f"{TITLES[name]}: {action(scene)}") for k in range(2)]
        for n, scene in enumerate(scenes)
    ]
    return Column(name, TITLES[name], rows)


def neighbours(column: Column, references: list[Shown], *, good: bool) -> list[Neighbour]:
    """Six pairs, the first of them memorised unless the page is a good one."""
    made = [row[0].picture for row in column.rows]
    return [
        Neighbour(
            Shown(made[n % len(made)], f"Made with prompt {n % len(made)}"),
            Shown(references[n].picture, f"Training picture {n:02d}.png"),
            0.21 + 0.03 * n,
            not good and n == 0,
        )
        for n in range(6)
    ]


def evidence(columns: list[Column]) -> Evidence:
    """Four pictures of the last arm beside the base's, as if they had lost their backgrounds."""
    pairs = [
        (Shown(own[0].picture, own[0].alt, f"seed {n}"), base[0])
        for n, (own, base) in enumerate(zip(columns[-1].rows[:4], columns[0].rows[:4], strict=True))
    ]
    return Evidence("Empty background", pairs, beside="the base's")


def loss_curves(rng: np.random.Generator) -> list[Curve]:
    """Two noisy, falling curves."""
    steps = list(range(0, 400, 4))
    return [
        Curve(name, steps, [floor + 0.2 * np.exp(-s / 90) + 0.03 * rng.normal() for s in steps])
        for name, floor in (("appearance", 0.16), ("detail", 0.12))
    ]


def sample(num_prompts: int = 5, *, good: bool = True) -> ReportContext:
    """A full page about reserved character 8; the arms' pictures drift from it by fewer traits."""
    rng = np.random.default_rng(4)
    who = character(8)
    drift = {
        "base": character(77),
        "prompt_only": character(201),
        "dreambooth_lora": lookalikes(who)[0],
        "appearance": lookalikes(who)[3],
        "detail": who,
    }
    scenes = [random_scene(rng) for _ in range(num_prompts)]
    prompts = [action(scene) for scene in scenes]
    columns = [column(name, drift[name], scenes) for name in ARMS]
    real = [random_scene(rng) for _ in range(10)]
    notes = ["held out" if n % 5 == 0 else "" for n in range(10)]
    references = [
        Shown(drawn(who, s, 90 + n, 192), f"The brand {action(s)}", notes[n])
        for n, s in enumerate(real)
    ]
    likes = [
        Shown(drawn(other, Scene(), 3), f"The brand with another {other.changed_trait}",
              f"other {other.changed_trait}".replace("_", " "))
        for other in lookalikes(who)
    ]  # fmt: skip
    detail = (
        "Ship detail: its identity 0.87 beats appearance's 0.81, alignment is within 3 % of the "
        "base's, and no picture is memorised."
    )
    nothing = "Ship nothing yet: 12 % of detail's pictures repeat a training picture."
    judgement = Judgement(
        stages=[arm("appearance"), arm("detail")],
        baselines={name: arm(name) for name in BASELINES},
        ship={
            "stage": "detail" if good else None,
            "chosen": "detail",
            "reason": detail if good else nothing,
        },
    )
    return ReportContext(
        brand="kuro",
        sentence=detail if good else nothing,
        good=good,
        judgement=judgement,
        prompts=prompts,
        columns=columns,
        references=references,
        lookalikes=likes,
        curves=loss_curves(rng),
        neighbours=neighbours(columns[-1], references, good=good),
        coverage_holes=["no picture seen from the left", "expression “sleepy” is missing"],
        skipped=[("pictures/broken.png", "cut off after 1,024 bytes")],
        recipe_toml='base = "pocket"\nseed = 7\n\n[lora]\nrank = 16\n\n[[stage]]\n'
        'kind = "appearance"\nlearning_rate = 1e-4\nnum_steps = 120\n\n[[stage]]\n'
        'kind = "detail"\nlearning_rate = 5e-5\nnum_steps = 60\n'
        "losses = { perceptual = 0.1, identity = 0.1 }",
        lineage=[("pictures", "9f2c41d07be3a655"), ("base", "c07be3a69f2c41d0")],
        commands=["onbrand train kuro", "onbrand report kuro --baselines"],
        facts=[("Base", "pocket"), ("Pictures seen", "1,984 per arm"), ("Time", "6 min 12 s")],
        diagnosis=() if good else ["Compare the closest pairs below; train less or augment more."],
        evidence=() if good else [evidence(columns)],
        chance={"retrieval_fraction": 1 / 180},
    )


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    print(*write_report(target, sample(good="--bad" not in sys.argv)))
