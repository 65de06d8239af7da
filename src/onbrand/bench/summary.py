"""Characters' records become the consistency bench's figures, with intervals and bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from onbrand.bench.record import MIN_GROUPS, Result, mean_metric, metric, result
from onbrand.judging import bootstrap
from onbrand.judging.protocol import BETTER

__all__ = ["BASELINES", "OURS", "TRUE", "mean_figures", "summarise"]

OURS = "onbrand"
TRUE = "true_drawings"
"""The illustrator's own drawings of the prompts: what a perfect model would have."""
BASELINES = ("prompt_only", "dreambooth_lora")
BESIDE = ("base", *BASELINES, "real", TRUE)


def summarise(records: Sequence[Result], *, seed: int) -> Result:
    """The bench's JSON object from the characters' records: means, intervals by character, bars.

    The identity error's bar is half of prompt_only's and of dreambooth_lora's; against the latter
    both alignments and diversity may lose 2 %, and expression and pose are to be read 10 points
    oftener. "identity_error_over_…" are ratios to these baselines' errors, paired by character, and
    "characters" has each one's own figures, for pairs of whatever else.
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
    bars |= {f"{name}_fraction": min(1.0, trainer[f"{name}_fraction"] + 0.10)
             for name in ("expression", "pose") if f"{name}_fraction" in trainer}  # fmt: skip
    metrics |= {f"identity_error_over_{arm}": _error_over(arm, records, seed) for arm in BASELINES}
    for name, bar in bars.items():
        if name in metrics:
            ours = metrics[name]
            metrics[name] = ours | metric(
                ours["value"], ours["interval"], bar=bar, better=ours["better"]
            )
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
        characters=[_told(record) for record in records],
        chance=records[0]["chance"],
        shipped={arm: sum(record["shipped"] == arm for record in records) for arm in stages},
    )


def _arm_metrics(records: Sequence[Result], arm: str, seed: int) -> dict[str, Result]:
    return mean_figures(
        [record["arms"][arm] for record in records if arm in record["arms"]], seed=seed
    )


def _error_over(arm: str, records: Sequence[Result], seed: int) -> Result:
    """Our mean identity error over that arm's, characters resampled with both; half is the bar."""
    pairs = np.array(
        [[record["arms"][one]["identity_error"] for one in (OURS, arm)] for record in records]
    )

    def ratio(rows: NDArray[np.float64]) -> float:
        ours, theirs = rows.mean(axis=0)
        return float(ours / max(theirs, 1e-12))

    enough = len(pairs) >= MIN_GROUPS
    interval = bootstrap(pairs, statistic=ratio, seed=seed) if enough else None
    return metric(ratio(pairs), interval, bar=0.5, better="lower") | {"num": len(pairs)}


def _told(record: Result) -> Result:
    """A character's figures to four places, by arm: what ships, and the baselines it is paired
    with."""
    figures = {
        arm: {name: round(value, 4) for name, value in record["arms"][arm].items()}
        for arm in (OURS, *BASELINES)
    }
    return {"id": record["id"], "shipped": record["shipped"], "figures": figures}


def mean_figures(
    found: Sequence[Mapping[str, float]], *, seed: int, differences: bool = False
) -> dict[str, Result]:
    """Means of all figures (or of `differences` of them) with intervals by character, each over the
    characters that have it: not everybody wears something."""
    names = list(dict.fromkeys(name for figures in found for name in figures))
    return {
        name: mean_metric(
            [figures[name] for figures in found if name in figures],
            better=BETTER[name],
            seed=seed,
            share=name.endswith("_fraction") and not differences,
        )
        for name in names
    }
