"""sweep: settings of training, of sampling, and words, tried in every combination.

    sources ─▶ settings ─▶ grid ─▶ plan ─▶ run (attempt: train, draw, measure)
        ─▶ outcome ─▶ page, apply

Selection looks through the training side's encoders on validation prompts; the twins are not asked.
"""

from __future__ import annotations

from onbrand.road.sweeps.apply import apply_to_recipe
from onbrand.road.sweeps.outcome import Sweep, Trial
from onbrand.road.sweeps.page import next_commands
from onbrand.road.sweeps.plan import Plan, plan_sweep
from onbrand.road.sweeps.run import run_plan, sweep
from onbrand.road.sweeps.settings import Axis
from onbrand.road.sweeps.sources import example_sweep, parse_words

__all__ = [
    "Axis",
    "Plan",
    "Sweep",
    "Trial",
    "apply_to_recipe",
    "example_sweep",
    "next_commands",
    "parse_words",
    "plan_sweep",
    "run_plan",
    "sweep",
]
