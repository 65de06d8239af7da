"""What a sweep found: every combination with its figures, and which one to take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from onbrand.artifacts import Arm, Pictures
from onbrand.road.sweeps.grid import Combination
from onbrand.road.sweeps.settings import Axis

if TYPE_CHECKING:
    from onbrand.judging import Take

__all__ = ["State", "Sweep", "Trial"]

State = Literal["done", "gate failed", "broken", "refused"]
"""done; its pictures are shown, but it is not taken; it made none; the recipe cannot be so."""


@dataclass(frozen=True)
class Trial:
    """A combination and what became of it. `per_prompt` are its training-side figures, a value for
    each prompt; `arm` their means with intervals; `reason` why it is not done, or "". `model` is
    the folder of the trained model and `stage` the one of its stages that drew, `num_pictures_seen`
    and `seconds` what its training took."""

    combination: Combination
    state: State
    reason: str = ""
    per_prompt: Mapping[str, Sequence[float]] = field(default_factory=dict)
    arm: Arm | None = None
    pictures: Pictures | None = None
    model: Path | None = None
    stage: str = ""
    num_pictures_seen: int = 0
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """How sentences call it: "combination 3"."""
        return f"combination {self.combination.number}"


@dataclass(frozen=True)
class Sweep:
    """All of it. `take` names what to take by `Trial.name`; `front` holds the numbers of those that
    nothing beats in identity and alignment alike; `base` and `base_pictures` are the untouched
    base's on the same prompts and seeds. `sweep.json` in `root` holds `to_dict()`."""

    root: Path
    axes: Sequence[Axis]
    prompts: Sequence[str]
    seeds: Sequence[int]
    trials: Sequence[Trial]
    base: Arm
    base_pictures: Pictures
    take: Take
    front: Sequence[int]
    grid_size: int
    num_random: int | None
    seed: int
    seconds: float

    @property
    def chosen(self) -> Trial | None:
        """The trial to take; None when nothing is good enough."""
        named = (trial for trial in self.trials if trial.name == self.take.name)
        return next(named, None) if self.take.good else None

    @property
    def lead(self) -> str:
        """What to take."""
        trial = self.chosen
        label = "none of them" if trial is None else trial.combination.label.replace(" · ", ", ")
        return f"Take {label}"

    @property
    def sentence(self) -> str:
        """What to take, and why; `take.doubt` says what is uncertain of it."""
        return f"{self.lead}: {self.take.reason}"

    def to_dict(self) -> dict[str, Any]:
        """As in sweep.json; figures are the design's metric objects."""
        from onbrand import __version__

        chosen = self.chosen
        return {
            "name": "sweep",
            "version": __version__,
            "seconds": round(self.seconds, 1),
            "axes": {axis.path: list(axis.values) for axis in self.axes},
            "grid_size": self.grid_size,
            "num_random": self.num_random,
            "seed": self.seed,
            "prompts": list(self.prompts),
            "seeds": list(self.seeds),
            "take": {
                "number": None if chosen is None else chosen.combination.number,
                "settings": None if chosen is None else dict(chosen.combination.settings),
                "reason": self.sentence,
                "doubt": self.take.doubt,
            },
            "front": list(self.front),
            "combinations": [self._trial(trial) for trial in self.trials],
            "baselines": {"base": self.base.to_dict()["metrics"]},
        }

    def _trial(self, trial: Trial) -> dict[str, Any]:
        return {
            "number": trial.combination.number,
            "settings": dict(trial.combination.settings),
            "state": trial.state,
            "reason": trial.reason,
            "metrics": {} if trial.arm is None else trial.arm.to_dict()["metrics"],
            "per_prompt": {name: list(values) for name, values in trial.per_prompt.items()},
            "num_pictures_seen": trial.num_pictures_seen,
            "seconds": round(trial.seconds, 1),
            "pictures": None if trial.pictures is None else self._place(trial.pictures.root),
            "stage": trial.stage,
            "model": None if trial.model is None else self._place(trial.model),
        }

    def _place(self, path: Path) -> str:
        """Relative to the brand's folder, which can be moved."""
        return path.relative_to(self.root.parent).as_posix()
