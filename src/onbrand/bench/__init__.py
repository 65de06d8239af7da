"""The claims, each a benchmark that prints its figures: resumable, seeded, compared with baselines.

    onbrand bench consistency        is the right character drawn? ours against both baselines
    onbrand bench ablation           what each loss and each identity mode brings
    onbrand bench pack               what a pack can do before any brand
    onbrand bench eyes               how well a pack's eyes see, and its evaluation twins
    onbrand bench training           killed runs, and where a training step's time goes
    onbrand bench diagnosis          does each diagnosis see its fault, and nothing else
    onbrand bench readme             docs/benchmarks/README.md from the JSON files

Light at import; the model libraries come in when a bench runs.
"""

from __future__ import annotations

from onbrand.bench.ablation import run_ablation
from onbrand.bench.ablation.words import row_tables
from onbrand.bench.compare import Comparison, check_kind, compare, read_result, unlike
from onbrand.bench.consistency import LEARNING_RATES, run_consistency
from onbrand.bench.diagnosis import run_diagnosis
from onbrand.bench.eyes import run_eyes
from onbrand.bench.pack import run_pack
from onbrand.bench.record import table
from onbrand.bench.render import render_readme, render_section, write_readme
from onbrand.bench.training import PARTS as TRAINING_PARTS
from onbrand.bench.training import run_training

__all__ = [
    "LEARNING_RATES",
    "TRAINING_PARTS",
    "Comparison",
    "check_kind",
    "compare",
    "read_result",
    "render_readme",
    "render_section",
    "row_tables",
    "run_ablation",
    "run_consistency",
    "run_diagnosis",
    "run_eyes",
    "run_pack",
    "run_training",
    "table",
    "unlike",
    "write_readme",
]
