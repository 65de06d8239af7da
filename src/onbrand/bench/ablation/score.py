"""Rows of characters become a table: each row's figures, and what it has beyond the row that it is
compared with, character by character."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onbrand.bench.ablation.rows import FIRST, RECIPES_OWN, Row
from onbrand.bench.record import Result, result
from onbrand.bench.summary import mean_figures

__all__ = ["BESIDE", "summarise_rows"]

BESIDE = ("base", "prompt_only", "real")


def summarise_rows(records: Sequence[Result], rows: Mapping[str, Row], *, seed: int) -> Result:
    """The bench's JSON object. `rows[name]` has "against", "about", "metrics" and "differences":
    the paired difference of every figure to the compared row, with its interval by character.

    What helps is a difference whose interval leaves out 0, in the figure's better direction. "ids"
    are the characters; "ours" names the row of "metrics" where it is not the recipe as it is.
    """
    told: dict[str, Result] = {}
    for name, row in rows.items():
        own = [record["rows"][name] for record in records]
        others = [record["rows"][row.against] for record in records] if row.against else []
        told[name] = {
            "against": row.against,
            "about": row.about,
            "metrics": mean_figures(own, seed=seed),
            "differences": _differences(own, others, seed=seed) if others else {},
        }
    own_row = RECIPES_OWN in told
    last = RECIPES_OWN if own_row else next(reversed(told))
    return result(
        "ablation",
        seed=seed,
        seconds=sum(float(record["seconds"]) for record in records),
        metrics=told[last]["metrics"],
        baselines={
            FIRST: told[FIRST]["metrics"],
            **{
                arm: mean_figures([record["beside"][arm] for record in records], seed=seed)
                for arm in BESIDE
            },
        },
        rows=told,
        num_characters=len(records),
        ids=[record["id"] for record in records],
        **({} if own_row else {"ours": last}),
    )


def _differences(
    own: Sequence[Mapping[str, float]], others: Sequence[Mapping[str, float]], seed: int
) -> dict[str, Result]:
    pairs = list(zip(own, others, strict=True))
    both = [{name: a[name] - b[name] for name in a if name in b} for a, b in pairs]
    return mean_figures(both, seed=seed, differences=True)
