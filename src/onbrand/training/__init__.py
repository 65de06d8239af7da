"""Dataset + Recipe -> BrandModel: the engine, one file for a stage of any kind, losses, gates.

Names are loaded when asked for, so importing the room is torch-free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onbrand.training.checks import check_pack
    from onbrand.training.rehearsal import Forecast, StageForecast, forecast
    from onbrand.training.seams import Sampler, Scorer
    from onbrand.training.stage_plan import StagePlan, plan
    from onbrand.training.stages import base_metrics, failed_gate, loss_curves, train
    from onbrand.training.workers import ALONE, Workers, launched

__all__ = [
    "ALONE",
    "Forecast",
    "Sampler",
    "Scorer",
    "StageForecast",
    "StagePlan",
    "Workers",
    "base_metrics",
    "check_pack",
    "failed_gate",
    "forecast",
    "launched",
    "loss_curves",
    "plan",
    "train",
]

_HOMES = {
    "check_pack": "checks",
    **dict.fromkeys(("Forecast", "StageForecast", "forecast"), "rehearsal"),
    **dict.fromkeys(("Sampler", "Scorer"), "seams"),
    **dict.fromkeys(("StagePlan", "plan"), "stage_plan"),
    **dict.fromkeys(("ALONE", "Workers", "launched"), "workers"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = _HOMES.get(name, "stages")
    return getattr(import_module(f"onbrand.training.{home}"), name)
