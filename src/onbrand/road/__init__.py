"""The road: the stages in order, as plain functions. Folders in, folders out.

    new ─▶ curate ─▶ train (plan: what that will take) ─▶ generate
                       ├────▶ report (compare: all stages and baselines, same prompts and seeds)
                       └────▶ sweep (settings in every combination, same prompts and seeds)
    make_identity ─▶ generate (a character followed from its pictures, without training)

Stages never import each other; the road hands one stage's artifact to the next, and passes a
callable where a stage needs another's skill (training gets `sample` and `score`). Importing the
road brings in no model library; calling it does.
"""

from __future__ import annotations

from onbrand.road.compare import Comparison, compare, entry_of, untouched
from onbrand.road.contest import Contest, Drawn, Entry, open_contest
from onbrand.road.identity import Likeness, compare_identities, make_identity
from onbrand.road.learn import plan, train, train_baseline
from onbrand.road.page import report
from onbrand.road.picture import generate
from onbrand.road.start import curate, new
from onbrand.road.sweeps import (
    Sweep,
    example_sweep,
    next_commands,
    parse_words,
    plan_sweep,
    run_plan,
    sweep,
)

__all__ = [
    "Comparison",
    "Contest",
    "Drawn",
    "Entry",
    "Likeness",
    "Sweep",
    "compare",
    "compare_identities",
    "curate",
    "entry_of",
    "example_sweep",
    "generate",
    "make_identity",
    "new",
    "next_commands",
    "open_contest",
    "parse_words",
    "plan",
    "plan_sweep",
    "report",
    "run_plan",
    "sweep",
    "train",
    "train_baseline",
    "untouched",
]
