"""Characters' records become the consistency bench's figures, with intervals and bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onbrand.bench.record import Result, mean_metric, metric, result
from onbrand.judging.protocol import BETTER

__all__ = ["BASELINES", "OURS", "mean_figures", "summarise"]

OURS = "onbrand"
BASELINES = ("prompt_only", "dreambooth_lora")
BESIDE = ("base", *BASELINES, "real")


def summarise(records: Sequence[Result], *, seed: int) -> Result:
    """The bench's JSON object from the characters' records: means, intervals by character, bars.

    The identity error's bar is half of prompt_only's and of dreambooth_lora's; against the latter
    both alignments and diversity may lose 2 %, and expression and pose are to be read 10 points
    oftener.
    Arms that a character lacks (a stage behind a failed gate) are left out of that character alone.
    """
    metrics = _arm_metrics(records, OURS, seed)
    baselines = {arm: _arm_metrics(records, arm, seed) for arm in BESIDE}
    bars = {"retrieval_fraction": 0.90, "alignment_ratio": 0.97, "memorised_fraction": 0.0}
    bars["identity_error"] = min(0.5 * baselines[a]["identity_error"]["value"] for a in BASELINES)
    trainer = {name: m["value"] for name, m in baselines["dreambooth_lora"].items()}
    bars |= {name: 0.98 * trainer[name]
             for name in ("alignment", "directional_alignment", "diversity")
             if name in trainer}  # fmt: skip
    bars |= {f"{name}_fraction": trainer[f"{name}_fraction"] + 0.10
             for name in ("expression", "pose") if f"{name}_fraction" in trainer}  # fmt: skip
    for name, bar in bars.items():
        if name in metrics:
            ours = metrics[name]
            metrics[name] = metric(ours["value"], ours["interval"], bar=bar, better=ours["better"])
    stages = [
        arm
        for arm in dict.fromkeys(name for record in records for name in record["arms"])
        if arm not in (OURS, *BESIDE)
    ]
    return result(
        "consistency",
        seed=seed,
        seconds=sum(float(record["seconds"]) for record in records),
        metrics=metrics,
        baselines=baselines,
        stages={arm: _arm_metrics(records, arm, seed) for arm in stages},
        num_characters=len(records),
        chance=records[0]["chance"],
        shipped={arm: sum(record["shipped"] == arm for record in records) for arm in stages},
    )


def _arm_metrics(records: Sequence[Result], arm: str, seed: int) -> dict[str, Result]:
    return mean_figures(
        [record["arms"][arm] for record in records if arm in record["arms"]], seed=seed
    )


def mean_figures(found: Sequence[Mapping[str, float]], *, seed: int) -> dict[str, Result]:
    """Means of all figures with intervals by character, each over the characters that have it: not
    everybody wears something."""
    names = list(dict.fromkeys(name for figures in found for name in figures))
    return {
        name: mean_metric(
            [figures[name] for figures in found if name in figures], better=BETTER[name], seed=seed
        )
        for name in names
    }
