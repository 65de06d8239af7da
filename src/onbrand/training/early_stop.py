"""Early stop: look every k steps, keep the best checkpoint, end a stage that no longer improves.

What was seen lies in watch.json, the best parameters in best.safetensors. Both are functions of the
steps that came before, so a run resumed after a kill sees, keeps and stops the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import save

from onbrand.events import Noted
from onbrand.files import write_bytes_atomic, write_json_atomic
from onbrand.recipe import GATE_METRICS
from onbrand.training.gates import figure_of
from onbrand.training.history import BEST_FILE, WATCH_FILE

if TYPE_CHECKING:
    from onbrand.training.engine import Loop
    from onbrand.training.session import Session

__all__ = ["EarlyStop", "load_parameters"]


class EarlyStop:
    """Watches one stage of a session; does nothing when the recipe has no `stop_every`.

    stop = EarlyStop(session, loop, folder); loop.run(step, every=stop.table(...)); stop.restore()
    """

    def __init__(self, session: Session, loop: Loop, folder: Path) -> None:
        self._session, self._loop, self._folder = session, loop, folder
        self._settings = session.recipe.validation
        self._seen: list[tuple[int, float]] = []
        if self._settings.stop_every:
            self._seen = [(s, v) for s, v in _read(folder / WATCH_FILE) if s <= loop.step]
            self._stop_when_due()

    def table(
        self, every: Mapping[int, Callable[[int], Mapping[str, float] | None]]
    ) -> dict[int, Callable[[int], Mapping[str, float] | None]]:
        """The engine's `every` table with the look added to it."""
        period = self._settings.stop_every
        if not period:
            return dict(every)
        other = every.get(period)

        def look(step: int) -> Mapping[str, float]:
            drawn = dict(other(step) or {}) if other else {}
            return drawn | self._look(step)

        return {**every, period: look}

    def restore(self) -> int | None:
        """Put the best parameters in place; returns their step, None when the last ones stay."""
        best = self._best()
        if best is None or best[0] == self._loop.step:
            (self._folder / BEST_FILE).unlink(missing_ok=True)
            return None
        load_parameters(self._folder / BEST_FILE, self._session.parameters)
        return best[0]

    def _look(self, step: int) -> dict[str, float]:
        name = self._settings.stop_metric
        numbers = self._session.look(name, f"{self._folder.name}-{step:05d}")
        value = figure_of(name, numbers)
        self._seen.append((step, value))
        best = self._best()
        if best is not None and best[0] == step:
            tensors = {
                f"parameter/{k}": p.detach().contiguous()
                for k, p in self._session.parameters.items()
            }
            write_bytes_atomic(self._folder / BEST_FILE, save(tensors))
        seen = [(s, v if math.isfinite(v) else None) for s, v in self._seen]
        write_json_atomic(self._folder / WATCH_FILE, {"metric": name, "seen": seen})
        self._stop_when_due()
        return numbers

    def _best(self) -> tuple[int, float] | None:
        """The earliest of the best; None where no look gave a figure: none is better than another,
        and the stage runs to its end."""
        sign = 1 if GATE_METRICS[self._settings.stop_metric] == "higher" else -1
        told = [pair for pair in self._seen if not math.isnan(pair[1])]
        return max(told, key=lambda pair: sign * pair[1], default=None)

    def _stop_when_due(self) -> None:
        best = self._best()
        if best is None:
            return
        step, value = best
        since = [later for later, _ in self._seen if later > step]
        if len(since) < self._settings.stop_patience:
            return
        self._loop.stop()
        self._session.emit(
            Noted(
                f"{self._folder.name}: stopped at step {self._seen[-1][0]}, because "
                f"{self._settings.stop_metric} was best at step {step} ({value:.4g}); that is kept."
            )
        )


def _read(path: Path) -> list[tuple[int, float]]:
    try:
        seen = json.loads(path.read_text("utf-8"))["seen"]
        return [(int(s), math.nan if v is None else float(v)) for s, v in seen]
    except (OSError, ValueError, KeyError, TypeError):
        return []


@torch.no_grad()
def load_parameters(path: Path, parameters: Mapping[str, torch.nn.Parameter]) -> None:
    """Copy the tensors parameter/NAME of a safetensors file into the parameters, exactly."""
    with safe_open(str(path), "pt") as file:
        for name, parameter in parameters.items():
            parameter.copy_(file.get_tensor(f"parameter/{name}"))
