"""How well an index tells planted faults from clean sets: AUC, and where the limit lies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onbrand.bench.diagnosis.plant import FAULTY, SEVERITIES
from onbrand.bench.record import Result, mean_metric, metric
from onbrand.judging import bootstrap

__all__ = ["auc", "base_accused", "calibrated", "figures"]

Floats = NDArray[np.float64]
Record = Mapping[str, Any]

AUC_BAR = 0.9
CLEAR = 2  # severity from which a fault should be named


def auc(positive: Sequence[float] | Floats, negative: Sequence[float] | Floats) -> float:
    """The probability that a faulty set's index exceeds a clean one's, ties counting half: the area
    under the ROC curve (Hanley & McNeil 1982). NaN when either has none."""
    ours, theirs = np.asarray(positive, np.float64), np.asarray(negative, np.float64)
    if not len(ours) or not len(theirs):
        return float("nan")
    ours = ours[:, None]
    return float((ours > theirs).mean() + 0.5 * (ours == theirs).mean())


def _excess(told: Mapping[str, float], fault: str) -> float:
    """What cannot be told is no alarm at any limit: a clean set's excess may lie below 0."""
    return float(told.get(fault, -math.inf))


def _named(told: Mapping[str, float], limits: Mapping[str, float]) -> set[str]:
    return {fault for fault in FAULTY if _excess(told, fault) > limits[fault]}


def _auc_of_rows(rows: Floats) -> float:
    """AUC of rows (index, is faulty); 0.5 for a resample with one kind only."""
    found = auc(rows[rows[:, 1] > 0, 0], rows[rows[:, 1] == 0, 0])
    return 0.5 if np.isnan(found) else found


def _auc_metric(
    records: Sequence[Record], fault: str, severities: Sequence[int], seed: int, bar: float | None
) -> Result:
    """The AUC over all sets of all characters, resampled by character."""
    rows: list[tuple[float, float]] = []
    groups: list[str] = []
    for number, record in enumerate(records):
        faulty = [told for s in severities for told in record["planted"][fault][str(s)]]
        rows += [(_excess(told, fault), 1.0) for told in faulty]
        rows += [(_excess(told, fault), 0.0) for told in record["clean"]]
        groups += [str(number)] * (len(faulty) + len(record["clean"]))
    table = np.array(rows)
    interval = bootstrap(table, groups, statistic=_auc_of_rows, num_resamples=1000, seed=seed)
    return metric(_auc_of_rows(table), interval, bar=bar)


def _single_auc(records: Sequence[Record], fault: str, seed: int) -> Result | None:
    """The AUC of single pictures against the same set's clean ones, a mean over sets; None for a
    fault that only a set can show."""
    found, groups = [], []
    for number, record in enumerate(records):
        for values in record["single"]:
            if fault in values:
                clean, *faulty = values[fault]
                found.append(auc([v for row in faulty for v in row], clean))
                groups.append(number)
    kept = [(a, g) for a, g in zip(found, groups, strict=True) if np.isfinite(a)]
    if not kept:
        return None
    return mean_metric([a for a, _ in kept], groups=[g for _, g in kept], seed=seed)


def figures(records: Sequence[Record], limits: Mapping[str, float], seed: int) -> dict[str, Result]:
    """Every figure of one kind of eyes over the characters' records."""
    found: dict[str, Result] = {}
    for fault in FAULTY:
        found[f"auc_{fault}"] = _auc_metric(records, fault, SEVERITIES, seed, AUC_BAR)
        for severity in SEVERITIES:
            found[f"auc_{fault}_severity_{severity}"] = _auc_metric(
                records, fault, [severity], seed, None
            )
        if single := _single_auc(records, fault, seed):
            found[f"auc_{fault}_single_picture"] = single
    return found | _naming(records, limits, seed)


def _naming(records: Sequence[Record], limits: Mapping[str, float], seed: int) -> dict[str, Result]:
    """At the shipped limits: planted faults that are named from severity 2 on, clean sets that are
    accused, and planted sets of which something else is said, too."""
    found: dict[str, Result] = {}
    others: list[float] = []
    other_groups: list[int] = []
    for fault in FAULTY:
        hits, groups = [], []
        for number, record in enumerate(records):
            for severity in SEVERITIES:
                for told in record["planted"][fault][str(severity)]:
                    others.append(float(bool(_named(told, limits) - {fault})))
                    other_groups.append(number)
                    if severity >= CLEAR:
                        hits.append(float(fault in _named(told, limits)))
                        groups.append(number)
        found[f"named_{fault}_fraction"] = mean_metric(hits, groups=groups, seed=seed)
    found["clean_accused_fraction"] = _accused([r["clean"] for r in records], limits, seed)
    found["also_named_fraction"] = mean_metric(
        others, groups=other_groups, better="lower", seed=seed
    )
    return found


def _accused(
    sets: Sequence[Sequence[Mapping[str, float]]], limits: Mapping[str, float], seed: int
) -> Result:
    """The share of sets, by character, of which anything is said."""
    alarms = [float(bool(_named(told, limits))) for some in sets for told in some]
    groups = [number for number, some in enumerate(sets) for _ in some]
    return mean_metric(alarms, groups=groups, better="lower", seed=seed)


def base_accused(
    records: Sequence[Record], limits: Mapping[str, float], seed: int
) -> dict[str, Result]:
    """The share of the untouched base's own sets ("again": two, each against the other) of which
    anything is said. What the other seems to have memorised is chance, as in `findings`."""
    sets = [
        [
            {**own, "memorised": own["memorised"] - other["memorised"]}
            for own, other in zip(again, again[::-1], strict=True)
        ]
        for again in (record["again"] for record in records)
    ]
    return {"base_accused_fraction": _accused(sets, limits, seed)}


def calibrated(records: Sequence[Record]) -> dict[str, float]:
    """Per fault the limit that tells sets of severity 2 from clean ones best: the largest Youden
    index (hits − false alarms; Youden 1950), in the middle of the range where it is reached.

    Drawings vary less than generated pictures do. So no limit lies below the largest excess of a
    set that the untouched base drew over another of its own, of other seeds ("again"): that is
    chance. What is read against the real pictures alone (shapes) has no such floor. Memorised is
    not calibrated: its limit is a definition. A fault that cannot be told of any set has none."""
    limits = {}
    for fault in FAULTY:
        if fault == "memorised":
            continue
        faulty = np.array(
            [
                _excess(told, fault)
                for record in records
                for told in record["planted"][fault][str(CLEAR)]
            ]
        )
        clean = np.array([_excess(told, fault) for record in records for told in record["clean"]])
        both = np.concatenate([faulty, clean])
        edges = np.unique(both[np.isfinite(both)])
        if not len(edges):
            continue
        middles = (edges[1:] + edges[:-1]) / 2 if len(edges) > 1 else edges
        youden = np.array([(faulty > m).mean() - (clean > m).mean() for m in middles])
        best = middles[youden >= youden.max() - 1e-9]
        chance = [
            _excess(told, fault)
            for record in records
            for told in record.get("again", ())
            if fault != "shapes"
        ]
        limits[fault] = max([float((best.min() + best.max()) / 2), *chance])
    return limits
