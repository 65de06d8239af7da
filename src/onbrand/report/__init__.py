"""Artifacts → pages that people read: one look for all of them."""

from __future__ import annotations

from onbrand.report.context import Column, Curve, Evidence, Neighbour, ReportContext, Shown
from onbrand.report.page import build_page, write_report
from onbrand.report.sweep import SweepContext, SweepRow, build_sweep_page, write_sweep
from onbrand.report.wording import arm_title, figure, measure, spread

__all__ = [
    "Column",
    "Curve",
    "Evidence",
    "Neighbour",
    "ReportContext",
    "Shown",
    "SweepContext",
    "SweepRow",
    "arm_title",
    "build_page",
    "build_sweep_page",
    "figure",
    "measure",
    "spread",
    "write_report",
    "write_sweep",
]
