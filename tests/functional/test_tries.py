"""Gates that try again, stages that stop early: what is kept, what is told, and the same after a
kill."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from brand_folder import tiny_brief, tiny_dataset, tiny_recipe
from PIL import Image
from safetensors.torch import load_file, save_file

from onbrand import training
from onbrand.artifacts.brand_model import BrandModel
from onbrand.artifacts.dataset import Dataset
from onbrand.errors import DatasetError, RecipeError
from onbrand.events import Advanced, Event, Noted, Warned
from onbrand.generation import sample
from onbrand.models.packs import Pack
from onbrand.recipe import Recipe

LORA = "pytorch_lora_weights.safetensors"
NEVER = {"after": "appearance", "metric": "identity", "at_least": 9.0}
FALLBACK = [{"learning_rate": 1e-3}, {"num_steps": 4, "losses": {"prior": 1.0}}]


def brightness(pictures: Sequence[Image.Image], texts: Sequence[str], /) -> dict[str, float]:
    """Figures that need no encoder."""
    return {"identity": float(np.mean([np.asarray(p.convert("L")).mean() for p in pictures])) / 255}


class Grey:
    """A reviewer that needs no encoder: drift is the difference in brightness."""

    def drift(self, own: Sequence[Image.Image], base: Sequence[Image.Image], /) -> float:
        ours, theirs = (brightness(pictures, ())["identity"] for pictures in (own, base))
        return abs(ours - theirs)

    def explain(self, own: Mapping[str, float], base: Mapping[str, float], /) -> list[str]:
        return [f"Grey: {own['identity']:.3f} against {base['identity']:.3f}. Add colour."]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return tiny_dataset(tmp_path_factory.mktemp("brand"))


def run(dataset: Dataset, recipe: Recipe, pack: Pack, out: Path, **more: object) -> BrandModel:
    return training.train(
        dataset, tiny_brief(), recipe, pack, out, sample=sample, score=brightness, reviewer=Grey(),
        **more,
    )  # fmt: skip


def lora(folder: Path) -> bytes:
    return (folder / LORA).read_bytes()


def one_stage(**changes: object) -> Recipe:
    """The tiny recipe's first stage alone."""
    return tiny_recipe(stage=[tiny_recipe().stage[0].model_dump()], **changes)


def test_a_failing_gate_tries_the_fallbacks_and_keeps_what_came_before(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """Each fallback in turn, from where the stage began; the earlier tries lie in tries/, are in
    the manifest and told; the last one's failure ends the run, with the diagnosis."""
    events: list[Event] = []
    recipe = one_stage(gate=[{**NEVER, "fallback": FALLBACK}])
    model = run(dataset, recipe, tiny_pack, tmp_path / "m", emit=events.append)
    (stage,) = model.stages
    assert [one["changes"] for one in stage.tries] == [{}, FALLBACK[0]]
    assert stage.changes == FALLBACK[1]
    assert (stage.num_steps, stage.num_pictures_seen) == (4, 4 * (2 + 2))
    assert all(one["gate"].startswith("failed: identity") for one in stage.tries)
    assert len([e for e in events if isinstance(e, Noted) and "fallback" in e.message]) == 2
    said = training.failed_gate(model) or ""
    assert "after 3 tries" in said
    assert "Grey: " in said
    assert BrandModel.load(model.root).stages == model.stages
    plain = run(dataset, one_stage(), tiny_pack, tmp_path / "plain")
    slow = one_stage()
    slow = slow.model_copy(update={"stage": [recipe.gate[0].fallback[0].applied(slow.stage[0])]})
    slower = run(dataset, slow, tiny_pack, tmp_path / "slow")
    tries = [model.root / one["folder"] for one in stage.tries]
    assert lora(tries[0]) == lora(plain.root / plain.stages[0].folder), (
        "the first try is the recipe"
    )
    assert lora(tries[1]) == lora(slower.root / slower.stages[0].folder), "from where it began"
    assert all((folder / "preview.png").is_file() for folder in tries)
    kept = (model.root / "run.json").read_bytes()
    assert run(dataset, recipe, tiny_pack, tmp_path / "m").stages == model.stages
    assert (model.root / "run.json").read_bytes() == kept, "nothing is trained twice"


def test_a_gate_that_failed_tries_its_own_fallback(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """Of two gates with fallbacks one fails: what the other would change is not tried."""
    passes = {"after": "appearance", "metric": "identity", "at_least": 0.0}
    gates = [{**passes, "fallback": {"num_steps": 3}}, {**NEVER, "fallback": FALLBACK[:1]}]
    model = run(dataset, one_stage(gate=gates), tiny_pack, tmp_path / "m")
    (stage,) = model.stages
    assert [one["then"] for one in stage.tries] == [FALLBACK[0]]
    assert stage.changes == FALLBACK[0]


def test_a_fallback_that_two_gates_name_is_tried_once(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """The same settings give the same model: the second gate goes on with its next one."""
    gates = [{**NEVER, "fallback": FALLBACK[:1]}, {**NEVER, "fallback": FALLBACK}]
    model = run(dataset, one_stage(gate=gates), tiny_pack, tmp_path / "m")
    (stage,) = model.stages
    assert [one["then"] for one in stage.tries] == FALLBACK
    assert run(dataset, one_stage(gate=gates), tiny_pack, tmp_path / "m").stages == model.stages


def test_a_try_that_passes_goes_on_to_the_next_stage(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """A gate that the second try meets lets the run go on; nothing is wrong any more."""
    losses = run(dataset, one_stage(), tiny_pack, tmp_path / "plain").stages[0].metrics
    slow = one_stage(gate=[{**NEVER, "fallback": FALLBACK[:1]}])
    other = run(dataset, slow, tiny_pack, tmp_path / "slow").stages[0].metrics
    bound = (losses["validation_loss"] + other["validation_loss"]) / 2
    first, second = sorted((losses, other), key=lambda m: -m["validation_loss"])
    gate = {"after": "appearance", "metric": "validation_loss", "at_most": bound}
    if first is losses:  # the slower one is better: let it be the fallback, else the quicker
        recipe = tiny_recipe(gate=[{**gate, "fallback": FALLBACK[0]}])
    else:
        stages = [s.model_dump() for s in tiny_recipe().stage]
        stages[0]["learning_rate"] = 1e-3
        recipe = tiny_recipe(stage=stages, gate=[{**gate, "fallback": {"learning_rate": 1e-2}}])
    model = run(dataset, recipe, tiny_pack, tmp_path / "m")
    assert [stage.name for stage in model.stages] == ["appearance", "detail"]
    assert model.stages[0].metrics["validation_loss"] == pytest.approx(second["validation_loss"])
    assert len(model.stages[0].tries) == 1
    assert model.stages[0].diagnosis == ()
    assert training.failed_gate(model) is None


@pytest.mark.parametrize("at", [3, 5, 8])
def test_tries_are_the_same_after_a_stop_at_any_step(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path, at: int
) -> None:
    """Stopped in the first try or in a later one, resumed: the same tries, the same weights."""
    recipe = one_stage(gate=[{**NEVER, "fallback": FALLBACK[:1]}])
    whole = run(dataset, recipe, tiny_pack, tmp_path / "whole")
    steps = 0

    def stop(event: Event) -> None:
        nonlocal steps
        steps += isinstance(event, Advanced) and event.task == "appearance"
        if steps == at:
            raise KeyboardInterrupt  # as a kill: nothing is saved that is not saved already

    with pytest.raises(KeyboardInterrupt):
        run(dataset, recipe, tiny_pack, tmp_path / "cut", emit=stop)
    resumed = run(dataset, recipe, tiny_pack, tmp_path / "cut")
    assert resumed.stages[0].metrics == whole.stages[0].metrics
    assert list(resumed.stages[0].tries) == list(whole.stages[0].tries)
    assert lora(resumed.checkpoint()) == lora(whole.checkpoint())


def test_a_changed_fallback_forgets_the_tries_that_it_made(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """Another learning rate in the fallback is another model: the stage starts anew."""
    first = one_stage(gate=[{**NEVER, "fallback": FALLBACK[:1]}])
    run(dataset, first, tiny_pack, tmp_path / "m")
    other = one_stage(gate=[{**NEVER, "fallback": {"learning_rate": 5e-3}}])
    model = run(dataset, other, tiny_pack, tmp_path / "m")
    assert model.stages[0].changes == {"learning_rate": 5e-3}
    fresh = run(dataset, other, tiny_pack, tmp_path / "fresh")
    assert lora(model.checkpoint()) == lora(fresh.checkpoint())


LOOK = {"num_prompts": 2, "num_per_prompt": 1, "num_steps": 2, "guidance": 2.0}


def stopping(rate: float, **changes: object) -> Recipe:
    """Up to twelve steps at a rate, looked at after every second."""
    stage = {**tiny_recipe().stage[0].model_dump(), "num_steps": 12, "learning_rate": rate}
    look = {**LOOK, "stop_every": 2, "stop_patience": 2, **changes}
    return tiny_recipe(stage=[{**stage, "schedule": "constant"}], validation=look)


def seen(model: BrandModel) -> list[tuple[int, float]]:
    """What an early stop looked at."""
    path = model.root / model.stages[0].folder / "watch.json"
    return [(s, v) for s, v in json.loads(path.read_text("utf-8"))["seen"]]


def test_a_stage_that_no_longer_improves_stops_and_keeps_its_best_checkpoint(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """Far too fast a rate worsens the held-out loss: the stage ends after two looks without a
    better one, with the weights of the best step, and is measured on these."""
    events: list[Event] = []
    model = run(dataset, stopping(0.5), tiny_pack, tmp_path / "m", emit=events.append)
    looks = seen(model)
    best, value = min(looks, key=lambda pair: pair[1])
    assert looks[-1][0] == best + 4 < 12
    assert model.stages[0].best_step == best
    assert model.stages[0].metrics["validation_loss"] == pytest.approx(value, rel=1e-4)
    assert any(isinstance(e, Noted) and f"best at step {best}" in e.message for e in events)
    log = [line["step"] for line in training.loss_curves(model.root)["appearance"]]
    assert log[-1] == looks[-1][0]
    again = run(dataset, stopping(0.5), tiny_pack, tmp_path / "m")
    assert again.stages == model.stages


@pytest.mark.parametrize("gone", [False, True])
def test_a_best_checkpoint_that_changed_or_went_is_made_anew(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path, gone: bool
) -> None:
    """What the stage behind would begin from is never taken as it lies: the stage is trained anew,
    to the same bytes."""
    told: list[str] = []
    model = run(dataset, stopping(0.5), tiny_pack, tmp_path / "m")
    best = model.root / model.stages[0].folder / "best.safetensors"
    before = best.read_bytes()
    if gone:
        best.unlink()
    else:
        save_file({name: tensor + 1 for name, tensor in load_file(best).items()}, best)

    def listen(event: Event) -> None:
        if isinstance(event, Warned):
            told.append(event.message)

    again = run(dataset, stopping(0.5), tiny_pack, tmp_path / "m", emit=listen)
    assert any("best.safetensors; it is trained anew" in message for message in told)
    assert best.read_bytes() == before
    assert lora(again.checkpoint()) == lora(model.checkpoint())


def test_a_figure_that_nobody_has_stops_nothing(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """An early stop on what the scorer does not tell: the stage runs to its end, which is kept."""
    recipe = stopping(1e-3, stop_metric="shape_doubt")
    model = run(dataset, recipe, tiny_pack, tmp_path / "m")
    assert model.stages[0].num_steps == 12
    assert model.stages[0].best_step is None
    plain = run(dataset, stopping(1e-3, stop_every=0), tiny_pack, tmp_path / "plain")
    assert lora(model.checkpoint()) == lora(plain.checkpoint())


@pytest.mark.parametrize("at", [3, 5, 6])
def test_an_early_stop_is_the_same_after_a_stop_at_any_step(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path, at: int
) -> None:
    """Stopped before and after looks, resumed twice: the same looks, the same best weights."""
    recipe = stopping(0.5)
    whole = run(dataset, recipe, tiny_pack, tmp_path / "whole")
    for last in (2, at):

        def stop(event: Event, last: int = last) -> None:
            if isinstance(event, Advanced) and event.task == "appearance" and event.done == last:
                raise KeyboardInterrupt  # as a kill: before the step's own checkpoint

        with pytest.raises(KeyboardInterrupt):
            run(dataset, recipe, tiny_pack, tmp_path / "cut", emit=stop)
    resumed = run(dataset, recipe, tiny_pack, tmp_path / "cut")
    assert seen(resumed) == seen(whole)
    assert resumed.stages[0].best_step == whole.stages[0].best_step
    assert lora(resumed.checkpoint()) == lora(whole.checkpoint())


def test_a_stage_that_improves_to_the_end_is_not_stopped(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """A figure that only grows never stops a stage; the weights are those of a run that was not
    looked at."""
    patient = stopping(1e-3, stop_patience=99)
    model = run(dataset, patient, tiny_pack, tmp_path / "m")
    blind = run(dataset, stopping(1e-3, stop_every=0), tiny_pack, tmp_path / "blind")
    assert seen(model)[-1][0] == 12
    last = load_file(model.root / model.stages[0].folder / "resume.safetensors")
    theirs = load_file(blind.root / blind.stages[0].folder / "resume.safetensors")
    assert all(last[name].equal(theirs[name]) for name in theirs), "looking changes nothing"


def test_drift_is_measured_where_the_recipe_reads_it(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """A gate on prior_drift has the class drawn by the base and by the stage."""
    gate = {"after": "appearance", "metric": "prior_drift", "at_most": 1.0}
    model = run(dataset, one_stage(gate=[gate]), tiny_pack, tmp_path / "m")
    assert model.stages[0].metrics["prior_drift"] > 0
    assert (model.stages[0].gate or "").startswith("passed: prior_drift")
    assert (
        "prior_drift" not in run(dataset, one_stage(), tiny_pack, tmp_path / "n").stages[0].metrics
    )


def test_a_gate_on_drift_that_comes_later_measures_what_is_trained(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """A trained folder gets the gate: nothing is trained again, and the figure is there."""
    plain = run(dataset, one_stage(), tiny_pack, tmp_path / "m")
    gate = {"after": "appearance", "metric": "prior_drift", "at_most": 1.0}
    model = run(dataset, one_stage(gate=[gate]), tiny_pack, tmp_path / "m")
    assert (model.stages[0].gate or "").startswith("passed: prior_drift")
    assert model.stages[0].files == plain.stages[0].files
    assert not (model.root / "previous").exists()


def test_drift_is_from_the_bare_base_whatever_the_identity_learned(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """What the base draws is drawn before an identity is attached, which is no nobody to it: run
    again, whatever was learned, the figure is the same."""
    gate = {"after": "appearance", "metric": "prior_drift", "at_most": 1.0}
    recipe = one_stage(gate=[gate], identity={"mode": "tokens"})
    model = run(dataset, recipe, tiny_pack, tmp_path / "m")
    bare = one_stage(gate=[gate])
    run(dataset, bare, tiny_pack, tmp_path / "bare", cache=tmp_path / "m" / "cache")
    drawn = sorted((tmp_path / "m" / "cache" / "class_pictures").glob("**/*.png"))
    asked = recipe.validation.num_prompts * recipe.validation.num_per_prompt
    assert len(drawn) == asked, "the runs compare with the same pictures"
    kept = model.root / "run.json"
    told = json.loads(kept.read_text("utf-8"))
    told["looked"] = [""]  # as after an upgrade: it is to be measured again, in another process
    kept.write_text(json.dumps(told), "utf-8")
    again = run(dataset, recipe, tiny_pack, tmp_path / "m")
    assert again.stages[0].metrics == model.stages[0].metrics


def test_gates_that_could_never_open_are_refused_before_any_work(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """No held-out picture for a held-out loss; nobody to measure drift."""
    loss = {"after": "appearance", "metric": "validation_loss", "at_most": 1.0}
    alone = Dataset(root=dataset.root, assets=dataset.train, skipped=[], coverage={})
    with pytest.raises(DatasetError, match="validation_loss"):
        run(alone, one_stage(gate=[loss]), tiny_pack, tmp_path / "m")
    drift = one_stage(gate=[{"after": "appearance", "metric": "prior_drift", "at_most": 1.0}])
    with pytest.raises(RecipeError, match="prior_drift"):
        training.train(
            dataset, tiny_brief(), drift, tiny_pack, tmp_path / "m", sample=sample, score=brightness
        )
    assert not (tmp_path / "m" / "stages").exists()
