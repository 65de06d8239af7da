"""Judgement: the figures of a report: every stage and baseline, and which stage to ship.

    {"stages": [{"name", "steps", "metrics": {…}, "diagnosis": […]}], "baselines": {…}, "ship": {…}}

A metric is {"value", "interval", "bar", "holds", "better"}, in reports and benches alike.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from onbrand.artifacts.folder import DAMAGED, listed, not_finite_as_none, read_json
from onbrand.errors import ArtifactError
from onbrand.files import write_json_atomic

__all__ = ["Arm", "Judgement", "Metric", "alignment_name"]

FILE_NAME = "report.json"


def alignment_name(figures: Container[str]) -> str:
    """The figure that tells how prompts are followed where arms are compared, of those that the
    arm compared with has: that of directions, which a brand's traits do not move; where all
    pictures have one text there is only the plain one."""
    return "directional_alignment" if "directional_alignment" in figures else "alignment"


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: `interval` its 95 % bounds, `bar` what it must reach and `holds` whether it
    does (None without a bar), `better` the direction that is good."""

    value: float
    interval: tuple[float, float] | None = None
    bar: float | None = None
    holds: bool | None = None
    better: Literal["higher", "lower"] = "higher"

    def to_dict(self) -> dict[str, Any]:
        """As in report.json; a value that is no finite number is null."""
        interval = None if self.interval is None else list(self.interval)
        fields = {
            "value": float(self.value),
            "interval": interval and [float(end) for end in interval],
            "bar": None if self.bar is None else float(self.bar),
            "holds": None if self.holds is None else bool(self.holds),
            "better": self.better,
        }
        return dict(not_finite_as_none(fields))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Metric:
        """The reverse of `to_dict`; null becomes NaN. Raises one of `DAMAGED`."""
        value, interval = fields["value"], fields.get("interval")
        return cls(
            value=math.nan if value is None else float(value),
            interval=None if interval is None else (_number(interval[0]), _number(interval[1])),
            bar=fields.get("bar"),
            holds=fields.get("holds"),
            better=fields["better"],
        )


@dataclass(frozen=True)
class Arm:
    """A stage or a baseline: `steps` trained so far, its figures by name, and what they say."""

    name: str
    steps: int
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    diagnosis: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """As in report.json."""
        return {
            "name": self.name,
            "steps": int(self.steps),
            "metrics": {name: metric.to_dict() for name, metric in self.metrics.items()},
            "diagnosis": list(self.diagnosis),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Arm:
        """The reverse of `to_dict`. Raises one of `DAMAGED`."""
        metrics = {name: Metric.from_dict(metric) for name, metric in fields["metrics"].items()}
        return cls(fields["name"], int(fields["steps"]), metrics, list(fields["diagnosis"]))


@dataclass(frozen=True)
class Judgement:
    """The stages in order, the baselines by name, and `ship`: "stage" (None: none), "chosen" (the
    best one by the training side's figures, whether it ships or not) and "reason"."""

    stages: Sequence[Arm]
    baselines: Mapping[str, Arm] = field(default_factory=dict)
    ship: Mapping[str, str | None] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As in report.json."""
        return {
            "stages": [arm.to_dict() for arm in self.stages],
            "baselines": {name: arm.to_dict() for name, arm in self.baselines.items()},
            "ship": dict(self.ship),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Judgement:
        """The reverse of `to_dict`. Raises one of `DAMAGED`."""
        return cls(
            stages=[Arm.from_dict(arm) for arm in listed(fields, "stages")],
            baselines={name: Arm.from_dict(arm) for name, arm in fields["baselines"].items()},
            ship=dict(fields["ship"]),
        )

    def save(self, path: str | Path) -> Path:
        """Writes the JSON file (report.json, if `path` is a folder). Raises `StorageError`."""
        file = _file(path)
        write_json_atomic(file, self.to_dict())
        return file

    @classmethod
    def load(cls, path: str | Path) -> Judgement:
        """The judgement in a report.json, or in a folder that has one. Raises `ArtifactError`."""
        file = _file(path)
        try:
            return cls.from_dict(read_json(file))
        except DAMAGED as fault:
            raise ArtifactError(f"{file} is no report of onbrand ({fault})") from fault


def _file(path: str | Path) -> Path:
    return Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
