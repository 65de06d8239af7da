"""sweep: settings of training, of sampling, and words, tried in every combination.

    settings ─▶ grid ─▶ plan ─▶ run (train, draw, measure) ─▶ outcome ─▶ page, apply

Selection looks through the training side's encoders on validation prompts; the twins are not asked.
"""

from __future__ import annotations

from onbrand.road.sweep.apply import apply_to_recipe
from onbrand.road.sweep.outcome import Sweep, Trial
from onbrand.road.sweep.page import next_commands
from onbrand.road.sweep.plan import Plan, plan_sweep
from onbrand.road.sweep.run import run_plan, sweep
from onbrand.road.sweep.settings import Axis, example_sweep, parse_words

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
