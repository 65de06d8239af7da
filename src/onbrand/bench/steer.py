"""How a pack can be steered: drawings that its ControlNet follows, negative prompts it heeds."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from onbrand.bench.probe import Probe
from onbrand.bench.read_back import WORLDS, ask
from onbrand.bench.record import Result, mean_metric, metric
from onbrand.illustrator import FAULTS
from onbrand.judging import bootstrap
from onbrand.judging.eyes import ReadAttributes
from onbrand.judging.metrics import edge_f1

__all__ = ["follow_edges", "heed_negatives"]

FAULT_WORDS = ", ".join(kind.words for kind in FAULTS.values())


def follow_edges(probe: Probe, controlnet: Any) -> tuple[dict[str, Result], dict[str, Result]]:
    """Edge F1 at 2 px between a reserved subject's drawing and the picture that follows it, all
    worlds: (followed, of the same prompts and seeds unguided)."""
    from onbrand.generation import edge_drawing

    def measure() -> Result:
        found: Result = {"guided": [], "unguided": []}
        for world in WORLDS:
            asked = ask(world, max(2, probe.num // 4), seed=probe.seed + 1, size_px=_px(probe))
            prompts = [one.prompt for one in asked]
            wanted = [edge_drawing(one.picture) for one in asked]
            steered = {"controlnet": controlnet, "drawings": wanted}
            for name, more in (("guided", steered), ("unguided", {})):
                shown = probe.draw(prompts, **more)
                scores = [edge_f1(edge_drawing(s), w) for s, w in zip(shown, wanted, strict=True)]
                found[name] += scores
        return found

    scores = probe.kept("edges", measure)
    guided = mean_metric(scores["guided"], bar=0.6, seed=probe.seed)
    return {"edge_f1": guided}, {"edge_f1": mean_metric(scores["unguided"], seed=probe.seed)}


def heed_negatives(
    probe: Probe, reader: ReadAttributes
) -> tuple[dict[str, Result], dict[str, Result]]:
    """Share of pictures in which the reader finds a fault, and how much of it a negative prompt
    that names all faults takes away; then the share found in true drawings. Empty when the reader
    knows no faults."""

    def measure() -> Result:
        found: Result = {"plain": [], "negative": [], "real": []}
        for world in WORLDS:
            asked = ask(world, max(2, probe.num // 2), seed=probe.seed + 2, size_px=_px(probe))
            prompts = [one.prompt for one in asked]
            shown: dict[str, list[Image.Image]] = {
                "plain": probe.draw(prompts),
                "negative": probe.draw(prompts, negative_prompt=FAULT_WORDS),
                "real": [one.picture for one in asked],
            }
            for name, pictures in shown.items():
                found[name] += [seen.get("fault", "unknown") for seen in reader(pictures)]
        return found

    seen = probe.kept("negatives", measure)
    if "unknown" in seen["plain"]:
        return {}, {}
    faulty = {name: np.array([s != "none" for s in tags], float) for name, tags in seen.items()}
    pairs = np.stack([faulty["plain"], faulty["negative"]], axis=1)
    interval = bootstrap(pairs, statistic=_taken_away, seed=probe.seed)
    return (
        {
            "fault_fraction": mean_metric(list(faulty["plain"]), better="lower", seed=probe.seed),
            "faults_avoided_fraction": metric(_taken_away(pairs), interval, bar=0.3),
        },
        {"fault_fraction": mean_metric(list(faulty["real"]), better="lower", seed=probe.seed)},
    )


def _taken_away(pairs_n2: np.ndarray) -> float:
    """1 − (rate with the negative prompt) / (rate without)."""
    plain, negative = pairs_n2.mean(axis=0)
    return 1 - float(negative) / max(float(plain), 1e-9)


def _px(probe: Probe) -> int:
    return probe.model.num_px
