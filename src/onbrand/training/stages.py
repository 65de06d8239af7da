"""`train`: the recipe's stages in order, each ending in a checkpoint, pictures, figures, a gate.

A run can be killed at any moment and called again: finished stages are kept, the one at hand goes
on from its checkpoint, and the result is the same to the bit on CPU. What a changed dataset, brief
or recipe makes untrue is moved to previous/, never mixed in (see history.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from onbrand.artifacts.brand_model import BrandModel, StageResult
from onbrand.artifacts.dataset import Dataset
from onbrand.brief import Brief
from onbrand.errors import DatasetError, RecipeError, counted
from onbrand.events import Finished, Listener, Noted, Warned, silent
from onbrand.files import write_json_atomic
from onbrand.recipe import Recipe, Stage
from onbrand.training import appearance, detail, dreambooth
from onbrand.training.cache import Store
from onbrand.training.early_stop import BEST_FILE, load_parameters
from onbrand.training.engine import read_log
from onbrand.training.history import History, digest
from onbrand.training.session import Critic, Sampler, Scorer, Session, StagePlan
from onbrand.training.tries import pass_gates

if TYPE_CHECKING:
    from onbrand.models.packs import Pack

__all__ = ["ARMS", "base_metrics", "failed_gate", "loss_curves", "plan", "train"]

ARMS = ("onbrand", dreambooth.NAME)
CHOOSING = ("identity", "alignment", "diversity")  # what a stage is chosen by


def plan(dataset: Dataset, recipe: Recipe, arm: str = "onbrand") -> list[StagePlan]:
    """What each stage of the arm will see. The baseline sees as many pictures as the recipe."""
    names: list[str] = []
    plans: list[StagePlan] = []
    for stage in recipe.stage:
        count = names.count(stage.kind) + 1
        names.append(stage.kind)
        name = stage.kind if count == 1 else f"{stage.kind}-{count}"
        plans.append(_plan_of(stage, name))
    if arm == "onbrand":
        return plans
    half = max(1, recipe.stage[0].batch_size // 2)
    num_steps = max(1, sum(p.num_pictures_seen for p in plans) // (2 * half))
    return [StagePlan(dreambooth.NAME, dreambooth.NAME, num_steps, half, half)]


def _plan_of(stage: Stage, name: str) -> StagePlan:
    num_prior = stage.batch_size if stage.losses.get("prior") else 0
    return StagePlan(name, stage.kind, stage.num_steps, stage.batch_size, num_prior)


def train(
    dataset: Dataset,
    brief: Brief,
    recipe: Recipe,
    pack: Pack,
    out: Path,
    *,
    sample: Sampler,
    score: Scorer,
    critic: Critic | None = None,
    arm: str = "onbrand",
    cache: Path | None = None,
    learning_rate: float | None = None,
    emit: Listener = silent,
    stop_after: str | None = None,
) -> BrandModel:
    """Train the brand's adapter on the pack's base into the folder `out`; resume what is there.

    `arm` is "onbrand" (the recipe's stages) or "dreambooth_lora" (the baseline; `learning_rate` is
    its own, by default a quarter of our first stage's: a poor rate would flatter us). `cache` may
    be shared between arms. `stop_after` names a stage to end with for now. `critic` measures drift
    and says what is wrong with a stage whose gate failed.
    A gate that fails, and whose fallbacks are used up, ends the run: the result is saved, `ship`
    names the last good stage, and `failed_gate` gives the sentence. Raises RecipeError and
    DatasetError before any work, NonFiniteLoss, StorageError, and KeyboardInterrupt after the
    checkpoint is saved.
    """
    plans = plan(dataset, recipe, arm)
    rate = learning_rate or dreambooth.RATE_SHARE * recipe.stage[0].learning_rate
    _check(dataset, arm, plans, stop_after, emit)
    _check_figures(dataset, recipe, critic)
    out = Path(out)
    session = _open_session(dataset, brief, recipe, pack, out, arm, cache, sample, score, emit)
    session.critic = critic
    history = _open_history(session, plans, arm, rate)
    _before_training(session, history, arm)
    _warn_of_cut_captions(session, arm)
    model = BrandModel(
        root=out,
        arm=arm,
        base=recipe.base,
        brief=brief,
        recipe=recipe,
        parents={"dataset": dataset.fingerprint, "base": session.base_fingerprint},
    )
    for index, stage_plan in enumerate(plans):
        stage = None if arm == dreambooth.NAME else recipe.stage[index]
        folder = out / "stages" / f"{index + 1:02d}-{stage_plan.name}"
        result, verdict = pass_gates(
            session,
            history,
            index,
            stage,
            [gate for gate in recipe.gate if gate.after == stage_plan.kind],
            model.stages[-1].metrics if model.stages else history.base_metrics,
            partial(_run_stage, session, history, stage_plan, folder, index, rate),
        )
        model.stages.append(result)
        model.ship = _ship(model.stages, len(plans))
        model.save()
        if verdict and not verdict.passed:
            emit(Warned(failed_gate(model) or ""))
        if stop_after == stage_plan.name or (verdict and not verdict.passed):
            break
    _test_export(session, model)
    emit(Finished("training", {"arm": arm, **model.ship}))
    return model


def _check(
    dataset: Dataset,
    arm: str,
    plans: Sequence[StagePlan],
    stop_after: str | None,
    emit: Listener,
) -> None:
    """Refuse before any work what cannot be trained; warn of what is likely a mistake."""
    if arm not in ARMS:
        raise RecipeError(f"no arm {arm!r}; there are {', '.join(ARMS)}")
    if not dataset.train:
        raise DatasetError(
            f"{dataset.root} has no training picture. Add pictures and curate again."
        )
    if stop_after is not None and stop_after not in [p.name for p in plans]:
        raise RecipeError(f"no stage {stop_after!r} to stop after: {[p.name for p in plans]}")
    largest = max(p.batch_size for p in plans)
    if len(dataset.train) < largest:
        emit(
            Warned(
                f"{len(dataset.train)} training pictures, but batches of {largest}: pictures "
                "repeat within a batch. Lower batch_size, or add pictures."
            )
        )


def _check_figures(dataset: Dataset, recipe: Recipe, critic: Critic | None) -> None:
    """Refuse gates that could never open."""
    if recipe.reads("validation_loss") and not dataset.held_out:
        raise DatasetError(
            f"the recipe reads validation_loss, but {dataset.root} holds out no picture: name some "
            "under held_out in brief.toml"
        )
    if recipe.reads("prior_drift") and critic is None:
        raise RecipeError("the recipe reads prior_drift, but nobody measures it: pass a critic")


def _warn_of_cut_captions(session: Session, arm: str) -> None:
    """Tell once which captions are longer than the base reads."""
    if arm == dreambooth.NAME:
        return  # it reads no captions
    cut = [a for a in session.dataset.train if session.model.cut_off(session.speak(a.caption))]
    if cut:
        session.emit(
            Warned(
                f"the base reads {session.model.max_tokens} tokens of a prompt; the end is lost of "
                f"{counted(len(cut), 'caption')}, such as that of {cut[0].source}: shorten them, "
                "or the description in brief.toml."
            )
        )


def _open_session(
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
) -> Session:
    from onbrand.models.diffusion import load_diffusion

    model = load_diffusion(pack)
    return Session(
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
        size_px=recipe.resolution_px or pack.num_px,
        base_fingerprint=pack.fingerprint,
        speak=brief.trigger_prompt if arm == dreambooth.NAME else brief.prompt,
    )


def _open_history(
    session: Session, plans: Sequence[StagePlan], arm: str, learning_rate: float
) -> History:
    """What the folder was trained from, compared with what is asked for now."""
    brief, recipe = session.brief, session.recipe
    return History.open(
        session.root,
        trains={
            "base": session.base_fingerprint,
            "dataset": session.dataset.fingerprint,
            "brief": digest([brief.prompt("{subject}"), brief.class_prompt("{subject}")]),
            "recipe": digest(
                [
                    arm,
                    recipe.seed,
                    recipe.precision,
                    recipe.lora.model_dump(),
                    recipe.prior.model_dump(),
                ]
            ),
            "size": session.size_px,
        },
        looks=digest([session.validation_prompts(), recipe.validation.model_dump()]),
        stages=[
            _stage_facts(recipe, p, i, learning_rate, session.validation_prompts())
            for i, p in enumerate(plans)
        ],
        emit=session.emit,
    )


def _before_training(session: Session, history: History, arm: str) -> None:
    """All that needs the untouched base: class pictures and its own figures. Then attach LoRA."""
    from onbrand.models.adapters import attach_lora, lora_parameters

    if arm == dreambooth.NAME:
        session.class_examples([session.brief.class_prompt("")])
    elif any(stage.losses.get("prior") for stage in session.recipe.stage):
        session.class_examples(session.class_prompts())
    if not history.base_metrics:
        history.keep_base(session.validate("00-base"))
    attach_lora(session.model, session.recipe.lora, seed=session.recipe.seed)
    session.parameters = lora_parameters(session.model)


def _stage_facts(
    recipe: Recipe,
    stage_plan: StagePlan,
    index: int,
    learning_rate: float,
    looked_at: Sequence[str],
) -> dict[str, str]:
    """Name and fingerprint of a stage, for the history."""
    if stage_plan.kind == dreambooth.NAME:
        settings: object = [stage_plan.num_steps, stage_plan.batch_size, learning_rate]
    else:
        settings = recipe.stage[index].model_dump()
        if recipe.validation.stop_every:  # what decides where it stops changes its weights
            settings = [settings, recipe.validation.model_dump(), list(looked_at)]
    return {"name": stage_plan.name, "fingerprint": digest([stage_plan.kind, settings])}


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
        stage_plan = _plan_of(stage, stage_plan.name)
    kept = history.result(index)
    if kept is not None:
        best = folder / BEST_FILE  # an early stop kept it; the resume file has the last step's
        exact = best if best.exists() else folder / "resume.safetensors"
        load_parameters(exact, session.parameters)
        if history.is_stale(index):
            kept = replace(kept, metrics=session.validate(folder.name))
            history.keep(index, kept)
        return kept
    seed = session.recipe.seed * 1000 + index
    if stage is None:
        result = dreambooth.run(session, learning_rate, stage_plan, folder, seed)
    elif stage.kind == "detail":
        result = detail.run(session, stage, stage_plan, folder, seed)
    else:
        result = appearance.run(session, stage, stage_plan, folder, seed)
    history.keep(index, result)
    return result


def _ship(stages: Sequence[StageResult], num_planned: int) -> dict[str, str]:
    """Which stage to ship, and why in one sentence."""
    failed = [s for s in stages if s.gate and s.gate.startswith("failed")]
    good = [s for s in stages if s not in failed]
    if not good:
        first = stages[0].name
        return {
            "stage": first,
            "reason": f"No stage passed its gate ({first} {failed[0].gate}): look before you ship.",
        }
    last = good[-1]
    figures = ", ".join(f"{k} {last.metrics[k]:.3f}" for k in CHOOSING if k in last.metrics)
    if failed:
        reason = f"{last.name} is the last good stage: {failed[0].name} {failed[0].gate}."
    elif len(stages) < num_planned:
        reason = f"{last.name} is the last stage trained so far ({figures})."
    else:
        gates = "passed its gate" if last.gate else "has no gate to fail"
        reason = f"{last.name} is the last stage and {gates} ({figures})."
    return {"stage": last.name, "reason": reason}


def _test_export(session: Session, model: BrandModel) -> None:
    """Load the shipped stage's files in plain diffusers, once; load_test.json keeps what came out.

    Raises WeightsError when they do not give what was trained.
    """
    from onbrand.models.adapters import check_export

    shipped = next(s for s in model.stages if s.name == model.ship["stage"])
    folder = session.root / shipped.folder
    path = folder / "load_test.json"
    if path.is_file():
        return
    in_memory = session.model if shipped is model.stages[-1] else None
    with session.evaluating():
        differences = check_export(folder, session.pack, model=in_memory)
    write_json_atomic(path, {"largest_difference": differences})
    session.emit(
        Noted(
            f"{shipped.name} loads in plain diffusers, as diffusers and as kohya file "
            f"(largest difference {max(differences.values()):.1g})."
        )
    )


def failed_gate(model: BrandModel) -> str | None:
    """The sentence of the gate at which the model's training ended; None if none failed."""
    for stage in model.stages:
        if stage.gate and stage.gate.startswith("failed"):
            tried = f" after {len(stage.tries) + 1} tries" if stage.tries else ""
            said = " ".join([f"{model.ship['reason']}", *stage.diagnosis])
            return f"stage {stage.name}: gate {stage.gate}{tried}. {said}"
    return None


def loss_curves(root: Path) -> dict[str, list[dict[str, float]]]:
    """Log lines of each stage under the model folder `root`, in order: {"step", "loss", …}."""
    folders = sorted(p.parent for p in Path(root).glob("stages/*/log.jsonl"))
    return {folder.name.split("-", 1)[1]: read_log(folder) for folder in folders}


def base_metrics(root: Path) -> dict[str, float]:
    """The untouched base's figures on the validation prompts, as the run in `root` kept them;
    {} when nothing was trained there."""
    path = Path(root) / "run.json"
    if not path.is_file():
        return {}
    return {k: float(v) for k, v in json.loads(path.read_text())["base_metrics"].items()}
