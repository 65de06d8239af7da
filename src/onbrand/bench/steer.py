"""How a pack can be steered: drawings that its ControlNet follows, negative prompts it heeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.bench.probe import READERS, Probe
from onbrand.bench.read_back import Asked, ask
from onbrand.bench.record import Result, mean_metric, metric
from onbrand.bench.worlds import WORLDS
from onbrand.events import Noted
from onbrand.illustrator import FAULTS
from onbrand.judging import bootstrap
from onbrand.judging.looking import Embed, ReadAttributes
from onbrand.judging.metrics import edge_f1

__all__ = ["Figures", "faults_avoided", "follow_edges", "follow_joints", "heed_negatives"]

Figures = dict[str, Result]

FAULT_WORDS = ", ".join(kind.words for kind in FAULTS.values())


def follow_edges(probe: Probe, controlnet: Any) -> tuple[Figures, Figures]:
    """Edge F1 at 2 px between a reserved subject's drawing and the picture that follows it, all
    worlds: (followed, of the same prompts and seeds unguided)."""
    from onbrand.generation import edge_drawing

    def measure() -> Result:
        asked = _asked(probe, tuple(WORLDS), max(2, probe.num // 4), 1)
        wanted = [edge_drawing(one.picture) for one in asked]
        return {
            name: [edge_f1(edge_drawing(s), w) for s, w in zip(shown, wanted, strict=True)]
            for name, shown in _both(probe, asked, wanted, controlnet).items()
        }

    scores = probe.kept("edges", measure, ["controlnet"])
    guided = mean_metric(scores["guided"], bar=0.6, seed=probe.seed)
    return {"edge_f1": guided}, {"edge_f1": mean_metric(scores["unguided"], seed=probe.seed)}


def follow_joints(probe: Probe, controlnet: Any, joints: Embed) -> tuple[Figures, Figures, Figures]:
    """Share of joints that the pack's estimator finds within 5 % of the side of where the drawing
    has them, mascots and people: (followed, unguided, in true drawings, which is the most that
    could be found)."""
    from onbrand.generation import pose_drawing

    def measure() -> Result:
        asked = _asked(probe, ("mascots", "fashion"), max(2, probe.num // 4), 3)
        asked = [one for one in asked if one.joints[[5, 6], 2].any()]
        wanted = [pose_drawing(one.joints, probe.model.num_px) for one in asked]
        shown = _both(probe, asked, wanted, controlnet)
        shown["real"] = [one.picture for one in asked]
        return {name: _found(joints(made), asked, probe) for name, made in shown.items()}

    shares = probe.kept("joints", measure, ["controlnet", "twin_pose"])
    guided, unguided, real = (
        {"joints_fraction": mean_metric(shares[name], bar=bar, seed=probe.seed)}
        for name, bar in (("guided", 0.8), ("unguided", None), ("real", None))
    )
    return guided, unguided, real


def _asked(probe: Probe, worlds: Sequence[str], each: int, salt: int) -> list[Asked]:
    size_px, seed = probe.model.num_px, probe.seed + salt
    return [one for world in worlds for one in ask(world, each, seed=seed, size_px=size_px)]


def _both(
    probe: Probe, asked: Sequence[Asked], drawings: Sequence[Image.Image], controlnet: Any
) -> dict[str, list[Image.Image]]:
    """The same prompts and seeds with the drawings and without."""
    prompts = [one.prompt for one in asked]
    few = probe.few_steps
    guided = probe.draw(prompts, few, controlnet=controlnet, drawings=drawings)
    return {"guided": guided, "unguided": probe.draw(prompts, few)}


def _found(seen_n173: NDArray[np.float64], asked: Sequence[Asked], probe: Probe) -> list[float]:
    """Per picture, the share of its joints that are where they should be."""
    shares = []
    for seen, one in zip(seen_n173, asked, strict=True):
        there = one.joints[:, 2] > 0
        away = np.linalg.norm(seen[there, :2] - one.joints[there, :2], axis=1)
        shares.append(float((away <= 0.05 * probe.model.num_px).mean()))
    return shares


def heed_negatives(probe: Probe, reader: ReadAttributes) -> tuple[Figures, Figures]:
    """Share of pictures in which the reader finds a fault, and how much of it a negative prompt
    that names all faults takes away; then the share found in true drawings. Empty when the reader
    knows no faults; nothing is taken away, with a note, where there is none."""

    def measure() -> Result:
        found: Result = {"plain": [], "negative": [], "real": []}
        for world in WORLDS:
            asked = _asked(probe, (world,), max(2, probe.num // 4), 2)
            prompts, few = [one.prompt for one in asked], probe.few_steps
            shown: dict[str, list[Image.Image]] = {
                "plain": probe.draw(prompts, few),
                "negative": probe.draw(prompts, few, negative_prompt=FAULT_WORDS),
                "real": [one.picture for one in asked],
            }
            for name, pictures in shown.items():
                found[name] += [seen.get("fault", "unknown") for seen in reader(pictures)]
        return found

    seen = probe.kept("negatives", measure, READERS)
    if "unknown" in seen["plain"]:
        return {}, {}
    faulty = {name: np.array([s != "none" for s in tags], float) for name, tags in seen.items()}
    rates = {
        name: mean_metric(list(row), better="lower", seed=probe.seed)
        for name, row in faulty.items()
    }
    ours: Figures = {"fault_fraction": rates["plain"]}
    avoided = faults_avoided(faulty["plain"], faulty["negative"], probe.seed)
    if avoided:
        ours["faults_avoided_fraction"] = avoided
    else:
        probe.emit(Noted("no picture has a fault: there is none for a negative prompt to avoid"))
    return ours, {"fault_fraction": rates["real"]}


def faults_avoided(
    plain_n: NDArray[np.float64], negative_n: NDArray[np.float64], seed: int
) -> Result | None:
    """1 − (rate with the negative prompt) / (rate without), of pictures with (1) or without (0) a
    fault; None where none has one without."""

    def share(pairs_n2: NDArray[np.float64]) -> float:
        plain, negative = pairs_n2.mean(axis=0)
        return 1 - float(negative) / float(plain) if plain else math.nan

    pairs = np.stack([plain_n, negative_n], axis=1)
    if not plain_n.any():
        return None
    return metric(share(pairs), bootstrap(pairs, statistic=share, seed=seed), bar=0.3)
