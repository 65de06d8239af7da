"""`train`: the recipe's stages in order, each ending in a checkpoint, pictures, figures, a gate.

A run can be killed at any moment and called again: finished stages are kept, the one at hand goes
on from its checkpoint, and the result is the same to the bit on CPU. What a changed dataset, brief
or recipe makes untrue is moved to previous/, never mixed in, and taken back when it is true again
(see history.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from onbrand.artifacts.brand_model import BrandModel, StageResult
from onbrand.artifacts.dataset import Dataset
from onbrand.brief import Brief
from onbrand.errors import RecipeError
from onbrand.events import Finished, Listener, Noted, Warned, silent
from onbrand.files import write_json_atomic
from onbrand.recipe import Recipe, Stage
from onbrand.training import dreambooth
from onbrand.training.cache import Store
from onbrand.training.checks import check, tell_of_heads, warn_of_cut_captions
from onbrand.training.early_stop import load_parameters
from onbrand.training.engine import read_log
from onbrand.training.facts import open_history
from onbrand.training.guards import memory_errors
from onbrand.training.history import BEST_FILE, History, digest, read_run
from onbrand.training.seams import Reviewer, Sampler, Scorer
from onbrand.training.session import Session
from onbrand.training.stage import run
from onbrand.training.stage_plan import StagePlan, plan, plan_of
from onbrand.training.tries import pass_gates
from onbrand.training.workers import ALONE, Workers

if TYPE_CHECKING:
    from onbrand.models.packs import Pack

__all__ = [
    "ARMS",
    "base_metrics",
    "failed_gate",
    "loss_curves",
    "plan",
    "train",
]

ARMS = ("onbrand", dreambooth.NAME)


def train(
    dataset: Dataset,
    brief: Brief,
    recipe: Recipe,
    pack: Pack,
    out: Path,
    *,
    sample: Sampler,
    score: Scorer,
    reviewer: Reviewer | None = None,
    arm: str = "onbrand",
    cache: Path | None = None,
    learning_rate: float | None = None,
    emit: Listener = silent,
    stop_after: str | None = None,
    workers: Workers = ALONE,
) -> BrandModel:
    """Train the brand's adapter on the pack's base into the folder `out`; resume what is there.

    `arm` is "onbrand" (the recipe's stages) or "dreambooth_lora" (the baseline; `learning_rate` is
    its own, by default twice our first stage's, the best one searched: a poor rate would flatter
    us). `cache` may be shared between arms. `stop_after` names a stage to end with for now.
    `reviewer` measures drift and says what is wrong with a stage whose gate failed. Each of several
    `workers` calls this with the same arguments and gets the same model.
    A gate that fails, and whose fallbacks are used up, ends the run: the result is saved, `ship`
    names the last good stage, and `failed_gate` gives the sentence. Raises RecipeError,
    DatasetError and PackError before any work, NonFiniteLoss, OutOfMemory, StorageError, and
    KeyboardInterrupt after the checkpoint is saved.
    """
    emit = emit if workers.is_first else silent
    plans = plan(dataset, recipe, arm)
    rate = learning_rate or dreambooth.RATE_SHARE * recipe.stage[0].learning_rate
    if arm not in ARMS:
        raise RecipeError(f"no arm {arm!r}; there are {', '.join(ARMS)}")
    if stop_after is not None and stop_after not in [p.name for p in plans]:
        raise RecipeError(f"no stage {stop_after!r} to stop after: {[p.name for p in plans]}")
    stages = None if arm == dreambooth.NAME else recipe.stage
    check(dataset, recipe, pack, stages or (), plans, workers, emit)
    if recipe.reads("prior_drift") and reviewer is None:
        raise RecipeError("the recipe reads prior_drift, but nobody measures it: pass a reviewer")
    with memory_errors(recipe):
        session = open_session(
            dataset, brief, recipe, pack, Path(out), arm, cache, sample, score, emit, workers
        )
        session.reviewer = reviewer
        with workers.first_goes_first():
            history = open_history(session, plans, arm, rate)
        _before_training(session, history, arm)
        if stages:  # the baseline reads no captions and looks for no heads
            warn_of_cut_captions(session)
            tell_of_heads(session)
        model = _run_stages(session, history, plans, arm, rate, stop_after)
        if workers.is_first:
            _test_exports(session, model)
    workers.wait()
    emit(Finished("training", {"stages": len(model.stages)}))
    return model


def _run_stages(
    session: Session,
    history: History,
    plans: Sequence[StagePlan],
    arm: str,
    learning_rate: float,
    stop_after: str | None,
) -> BrandModel:
    """The stages in order, up to the first whose gate fails or the one to stop after."""
    recipe = session.recipe
    model = BrandModel(
        root=session.root,
        arm=arm,
        base=recipe.base,
        brief=session.brief,
        recipe=recipe,
        parents={
            "dataset": session.dataset.fingerprint,
            "base": session.base_fingerprint,
            "recipe": digest(recipe.model_dump()),
        },
    )
    for index, stage_plan in enumerate(plans):
        stage = None if arm == dreambooth.NAME else recipe.stage[index]
        folder = session.root / "stages" / f"{index + 1:02d}-{stage_plan.name}"
        result, verdict = pass_gates(
            session,
            history,
            index,
            stage,
            [gate for gate in recipe.gate if gate.after == stage_plan.kind],
            model.stages[-1].metrics if model.stages else history.base_metrics,
            partial(_run_stage, session, history, stage_plan, folder, index, learning_rate),
        )
        model.stages.append(result)
        model.ship = _last_good(model.stages)
        if session.workers.is_first:
            model.save()
        if verdict and not verdict.passed:
            session.emit(Warned(failed_gate(model) or ""))
        if stop_after == stage_plan.name or (verdict and not verdict.passed):
            break
    return model


def open_session(
    dataset: Dataset,
    brief: Brief,
    recipe: Recipe,
    pack: Pack,
    out: Path,
    arm: str,
    cache: Path | None,
    sample: Sampler,
    score: Scorer,
    emit: Listener,
    workers: Workers = ALONE,
    kind: type[Session] = Session,
) -> Session:
    """The base loaded, with all that a run's stages share."""
    from onbrand.models.adapters import check_lora
    from onbrand.models.diffusion import load_diffusion

    check_lora(pack, recipe.lora)
    # where float32 (or float16, whose loss is scaled) is asked for, weights are not to be rounded
    low = recipe.precision in ("auto", "bfloat16")
    model = load_diffusion(pack, dtype=None if low else "float32")
    size_px = recipe.resolution_px or pack.num_px
    if size_px % model.unit_px:  # each look draws pictures of that size
        raise RecipeError(
            f"resolution_px is {size_px}, but the base '{pack.name}' ({pack.family.title}) draws "
            f"pictures in squares of {model.unit_px} px: take a multiple of that."
        )
    return kind(
        model=model,
        pack=pack,
        dataset=dataset,
        brief=brief,
        recipe=recipe,
        root=out,
        store=Store(cache or out / "cache"),
        sample=sample,
        score=score,
        emit=emit,
        size_px=size_px,
        base_fingerprint=pack.fingerprint,
        speak=brief.trigger_prompt if arm == dreambooth.NAME else brief.prompt,
        workers=workers,
    )


def _before_training(session: Session, history: History, arm: str) -> None:
    """All that needs the untouched base: class pictures and its own figures. Then attach LoRA."""
    recipe = session.recipe
    with session.workers.first_goes_first():
        if arm == dreambooth.NAME:
            session.class_examples([session.brief.class_prompt("")])
        elif any(one.weight("prior") for s in recipe.stage for one in recipe.variants(s)):
            session.class_examples(session.class_prompts())
        if session.workers.is_first and not history.base_metrics:
            history.keep_base(session.validate("00-base"))
        if session.workers.is_first and recipe.reads("prior_drift"):
            session.draw_base_class()
    history.refresh()
    session.attach(with_identity=arm != dreambooth.NAME)


def _run_stage(
    session: Session,
    history: History,
    stage_plan: StagePlan,
    folder: Path,
    index: int,
    learning_rate: float,
    stage: Stage | None,
) -> StageResult:
    """The stage's result: the kept one if it finished before, else by running its file."""
    if stage is not None:  # a fallback may have changed them
        stage_plan = plan_of(session.dataset, stage, stage_plan.name)
    kept = history.result(index)
    if kept is not None:
        best = folder / BEST_FILE  # an early stop kept it; the resume file has the last step's
        load_parameters(
            best if best.exists() else folder / "resume.safetensors", session.parameters
        )
        if history.is_stale(index) and session.workers.is_first:
            history.keep(index, replace(kept, metrics=session.validate(folder.name)))
        session.workers.wait()
        history.refresh()
        return history.result(index) or kept
    result = run_stage(session, stage, stage_plan, folder, index, learning_rate)
    if session.workers.is_first:
        history.keep(index, result)
    session.workers.wait()
    history.refresh()
    return history.result(index) or result


def run_stage(
    session: Session,
    stage: Stage | None,
    stage_plan: StagePlan,
    folder: Path,
    index: int,
    learning_rate: float,
) -> StageResult:
    """Run the file of the stage's kind; None is the baseline's."""
    seed = session.recipe.seed * 1000 + index
    if stage is None:
        return dreambooth.run(session, learning_rate, stage_plan, folder, seed)
    return run(session, stage, stage_plan, folder, seed)


def _last_good(stages: Sequence[StageResult]) -> dict[str, str]:
    """What stands for the stage to ship until somebody compares them: the last whose gate did not
    fail."""
    good = [s.name for s in stages if not (s.gate or "").startswith("failed")]
    if not good:
        reason = f"No stage passed its gate ({stages[0].gate}): look before you ship."
        return {"stage": stages[0].name, "reason": reason}
    return {"stage": good[-1], "reason": f"{good[-1]} is the last good stage."}


def _test_exports(session: Session, model: BrandModel) -> None:
    """Load the files of every stage that was not tested yet in plain diffusers, on one base;
    load_test.json beside them keeps what came out.

    The last stage is compared with the model in memory, the others with what our own reader makes
    of their files. Raises WeightsError when they do not give what was trained.
    """
    from onbrand.models.diffusion import load_diffusion
    from onbrand.models.load_test import check_export

    folders = {stage.name: model.root / stage.folder for stage in model.stages}
    untested = {name: folder for name, folder in folders.items() if not _tested(folder)}
    if not untested:
        return
    plain = load_diffusion(session.pack, device="cpu")
    found: dict[str, float] = {}
    with session.evaluating():
        for name, folder in untested.items():
            # with an identity the model in memory predicts more than the LoRA that is tested
            alone = name == model.stages[-1].name and session.model.way is None
            differences = check_export(folder, plain, model=session.model if alone else None)
            write_json_atomic(folder / "load_test.json", {"largest_difference": differences})
            found |= {file: max(found.get(file, 0.0), d) for file, d in differences.items()}
    session.emit(
        Noted(
            f"{' and '.join(untested)} {'loads' if len(untested) == 1 else 'load'} in plain "
            f"diffusers from {' and from '.join(found)} "
            f"(largest difference {max(found.values()):.1g})."
        )
    )


def _tested(folder: Path) -> bool:
    """Whether the load test was made of all files that lie there now."""
    from onbrand.models.layout import read_json
    from onbrand.models.load_test import exported

    path = folder / "load_test.json"
    told = read_json(path).get("largest_difference") if path.is_file() else None
    return isinstance(told, dict) and set(told) == {file.name for file in exported(folder)}


def failed_gate(model: BrandModel) -> str | None:
    """The sentence of the gate at which the model's training ended; None if none failed."""
    for stage in model.stages:
        if stage.gate and stage.gate.startswith("failed"):
            tried = f" after {len(stage.tries) + 1} tries" if stage.tries else ""
            return " ".join([f"stage {stage.name}: gate {stage.gate}{tried}.", *stage.diagnosis])
    return None


def loss_curves(root: Path) -> dict[str, list[dict[str, float]]]:
    """Log lines of each stage under the model folder `root`, in order: {"step", "loss", …}."""
    folders = sorted(p.parent for p in Path(root).glob("stages/*/log.jsonl"))
    return {folder.name.split("-", 1)[1]: read_log(folder) for folder in folders}


def base_metrics(root: Path) -> dict[str, float]:
    """The untouched base's figures on the validation prompts, as the run in `root` kept them;
    {} when nothing was trained there, or run.json is damaged."""
    told = read_run(root) or {"base_metrics": {}}
    return {k: float(v) for k, v in told["base_metrics"].items()}
