"""A stage and its gates: trained, judged, and where a gate failed trained again with its fallback.

Each try begins from the parameters that the stage before left. The next one takes the first
fallback left of a gate that failed; what those that passed would change is not tried. How many
there were is in run.json, so a run that is killed and called again makes the same tries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from onbrand.artifacts.brand_model import StageResult
from onbrand.events import Noted
from onbrand.recipe import Fallback, Gate, Stage
from onbrand.training.gates import Verdict, judge_gates
from onbrand.training.history import History
from onbrand.training.session import Session

__all__ = ["pass_gates"]

Run = Callable[[Stage | None], StageResult]
"""Trains the stage with these settings, or gives the kept result."""


def pass_gates(
    session: Session,
    history: History,
    index: int,
    stage: Stage | None,
    gates: Sequence[Gate],
    before: Mapping[str, float],
    run: Run,
) -> tuple[StageResult, Verdict | None]:
    """The result of stage `index` and what its gates say of it, after all tries it was granted.

    `stage` is None for the baseline, which has no gates. `before` are the figures of the stage
    before it.
    """
    _drop_old_tries(session, history, index, gates)
    start = {name: p.detach().clone() for name, p in session.parameters.items()}
    while True:
        used, left = _followed(gates, [one["then"] for one in history.tries[index]])
        change = used[-1] if used else None
        result = run(change.applied(stage) if change and stage else stage)
        verdict = judge_gates(gates, result.metrics, before, history.base_metrics)
        told = replace(
            result,
            changes=change.changes() if change else {},
            tries=tuple(history.tries[index]),
            gate=verdict.sentence if verdict else None,
        )
        following = None if verdict is None else _next(left, verdict.missed)
        if verdict is None or following is None:
            return _explained(session, history, told, verdict), verdict
        words = ", ".join(f"{name} = {value}" for name, value in following.items())
        session.emit(
            Noted(f"{result.name}: gate {verdict.sentence}; the fallback tries again with {words}")
        )
        if session.workers.is_first:
            history.keep_try(index, told, following)
        session.workers.wait()
        history.refresh()
        _put_back(session, start)


def _followed(
    gates: Sequence[Gate], changes: Sequence[Mapping[str, Any]]
) -> tuple[list[Fallback], list[list[Fallback]]]:
    """The fallbacks that these changes were, in order, as far as the gates name them today; and
    what each gate has left."""
    used: list[Fallback] = []
    left = [list(gate.fallback) for gate in gates]
    for change in changes:
        queue = next((q for q in left if q and q[0].changes() == change), None)
        if queue is None:
            break
        used.append(queue[0])
        left = [[f for f in q if f.changes() != change] for q in left]  # twice gives the same
    return used, left


def _next(left: Sequence[Sequence[Fallback]], missed: Sequence[int]) -> dict[str, Any] | None:
    """What the first of the missed gates that has a fallback left would change."""
    return next((left[gate][0].changes() for gate in missed if left[gate]), None)


def _drop_old_tries(session: Session, history: History, index: int, gates: Sequence[Gate]) -> None:
    """Forget tries that were followed by other changes than the recipe names today."""
    followed = [one["then"] for one in history.tries[index]]
    if len(_followed(gates, followed)[0]) < len(followed):
        if session.workers.is_first:
            history.forget_from(index)
        session.workers.wait()
        history.refresh()


def _explained(
    session: Session, history: History, result: StageResult, verdict: Verdict | None
) -> StageResult:
    """The result with what is wrong with it, when its gate failed."""
    if session.reviewer is None or verdict is None or verdict.passed:
        return result
    said = session.reviewer.explain(result.metrics, history.base_metrics)
    return replace(result, diagnosis=tuple(said))


@torch.no_grad()
def _put_back(session: Session, start: Mapping[str, torch.Tensor]) -> None:
    for name, parameter in session.parameters.items():
        parameter.copy_(start[name])
