"""What a changed setting, model or gate trains anew: what goes on from it, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from brand_folder import tiny_brief, tiny_dataset, tiny_recipe
from PIL import Image
from safetensors.torch import load_file, save_file

from onbrand import training
from onbrand.artifacts.brand_model import BrandModel
from onbrand.artifacts.dataset import Dataset
from onbrand.errors import RecipeError
from onbrand.events import Advanced, Event, Noted, Warned
from onbrand.generation import sample
from onbrand.models.packs import Pack, open_pack
from onbrand.recipe import Recipe
from onbrand.training.history import History

LORA = "pytorch_lora_weights.safetensors"
LOOK = {"num_prompts": 2, "num_per_prompt": 1, "num_steps": 2, "guidance": 2.0}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return tiny_dataset(tmp_path_factory.mktemp("brand"))


def scores(value: float) -> Callable[..., dict[str, float]]:
    """A scorer that says this of any picture."""

    def score(pictures: Sequence[Image.Image], texts: Sequence[str], /) -> dict[str, float]:
        return {"identity": value}

    return score


def run(
    dataset: Dataset, recipe: Recipe, pack: Pack, out: Path, value: float = 0.5, **more: Any
) -> tuple[BrandModel, str]:
    """The model, and what training said."""
    told: list[Event] = []
    model = training.train(
        dataset, tiny_brief(), recipe, pack, out, sample=sample, score=scores(value),
        emit=told.append, **more,
    )  # fmt: skip
    return model, " ".join(e.message for e in told if isinstance(e, Noted | Warned))


def lora(model: BrandModel, stage: int) -> bytes:
    return (model.root / model.stages[stage].folder / LORA).read_bytes()


def stages(**losses: float) -> list[dict[str, Any]]:
    """The tiny recipe's, the second with these losses."""
    first, second = (stage.model_dump() for stage in tiny_recipe().stage)
    return [first, {**second, "losses": {name: {"weight": w} for name, w in losses.items()}}]


def test_a_stage_that_is_tried_again_takes_those_behind_it_along(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """A gate that is set afterwards fails the first stage; its fallback trains other weights, and
    the second stage begins from those, as in a run that had them from the start."""
    plain = tiny_recipe(stage=stages(identity=0.1))
    run(dataset, plain, tiny_pack, tmp_path / "m", 0.1)
    change = {"learning_rate": 1e-3}
    gate = {"after": "appearance", "metric": "identity", "at_least": 0.4, "fallback": [change]}
    again, _ = run(
        dataset, tiny_recipe(stage=stages(identity=0.1), gate=[gate]), tiny_pack, tmp_path / "m"
    )
    slow = stages(identity=0.1)
    slow[0] |= change
    fresh, _ = run(dataset, tiny_recipe(stage=slow), tiny_pack, tmp_path / "fresh")
    assert again.stages[0].changes == change
    assert lora(again, 0) == lora(fresh, 0)
    assert lora(again, 1) == lora(fresh, 1)


def test_class_pictures_of_a_fallback_are_the_untouched_bases(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """A fallback that adds prior preservation finds them drawn before anything was learned."""
    gate = {
        "after": "detail", "metric": "identity", "at_least": 0.9,
        "fallback": [{"losses": {"prior": 1.0}}],
    }  # fmt: skip
    without, with_prior = stages(identity=0.1), stages(identity=0.1, prior=1.0)
    for name, recipe in (
        ("late", tiny_recipe(stage=without, gate=[gate])),
        ("early", tiny_recipe(stage=with_prior)),
    ):
        run(dataset, recipe, tiny_pack, tmp_path / name)
    drawn = sorted((tmp_path / "early" / "cache" / "class_pictures").glob("*.png"))
    assert drawn
    for file in drawn:
        other = tmp_path / "late" / "cache" / "class_pictures" / file.name
        assert other.read_bytes() == file.read_bytes()


def test_class_pictures_are_drawn_anew_for_another_tokenizer(
    dataset: Dataset, tiny_pack_folder: Path, tmp_path: Path
) -> None:
    """The words' numbers change, no weight does: the base draws another text."""
    folder = Path(shutil.copytree(tiny_pack_folder, tmp_path / "pack"))
    recipe = tiny_recipe(stage=stages(prior=1.0))
    run(dataset, recipe, open_pack(folder), tmp_path / "m")
    file = folder / "tokenizer" / "tokenizer.json"
    told = json.loads(file.read_text("utf-8"))
    words = told["model"]["vocab"]
    words["night</w>"], words["red</w>"] = words["red</w>"], words["night</w>"]
    file.write_text(json.dumps(told), "utf-8")
    model, _ = run(dataset, recipe, open_pack(folder), tmp_path / "m")
    fresh, _ = run(dataset, recipe, open_pack(folder), tmp_path / "fresh")
    assert lora(model, 1) == lora(fresh, 1)


def test_a_damaged_class_picture_is_drawn_again(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """Cut short in the cache, it ends nothing; where its latents are kept nobody opens it."""
    recipe, cache = tiny_recipe(stage=stages(prior=1.0)), tmp_path / "cache"
    whole, _ = run(dataset, recipe, tiny_pack, tmp_path / "whole", cache=cache)
    file = next((cache / "class_pictures").glob("*.png"))
    drawn = file.read_bytes()
    file.write_bytes(drawn[: len(drawn) // 2])
    kept, _ = run(dataset, recipe, tiny_pack, tmp_path / "kept", cache=cache)
    assert lora(kept, 1) == lora(whole, 1)
    assert file.read_bytes() != drawn
    shutil.rmtree(cache / "class_latents")
    again, _ = run(dataset, recipe, tiny_pack, tmp_path / "again", cache=cache)
    assert lora(again, 1) == lora(whole, 1)
    assert file.read_bytes() == drawn


@pytest.mark.parametrize("prior", [True, False])
def test_how_class_pictures_are_drawn_decides_what_is_learned_from_them(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path, prior: bool
) -> None:
    """Another guidance draws others: a stage that learns from them is trained anew, others stay."""
    losses = {"identity": 0.1, **({"prior": 1.0} if prior else {})}
    kept = {"validation": LOOK, "stage": stages(**losses)}
    changed = {"validation": {**LOOK, "guidance": 7.0}, "stage": stages(**losses)}
    run(dataset, tiny_recipe(**kept), tiny_pack, tmp_path / "m")
    model, said = run(dataset, tiny_recipe(**changed), tiny_pack, tmp_path / "m")
    assert ("changed since the last run: stage detail" in said) == prior
    fresh, _ = run(dataset, tiny_recipe(**changed), tiny_pack, tmp_path / "fresh")
    assert lora(model, 1) == lora(fresh, 1)


def test_another_eye_trains_what_looked_through_it_anew(
    dataset: Dataset, tiny_pack_folder: Path, tmp_path: Path
) -> None:
    """The identity encoder is exchanged: the stage with an identity loss learns again, and all
    stages are measured again."""
    folder = Path(shutil.copytree(tiny_pack_folder, tmp_path / "pack"))
    recipe = tiny_recipe(stage=stages(identity=0.1))
    run(dataset, recipe, open_pack(folder), tmp_path / "m", 0.1)
    weights = next((folder / "identity").glob("*.safetensors"))
    save_file({k: v * 1.5 for k, v in load_file(weights).items()}, weights, {"format": "pt"})
    model, said = run(dataset, recipe, open_pack(folder), tmp_path / "m", 0.7)
    assert "changed since the last run: stage detail; 1 stage(s) are kept" in said
    assert [stage.metrics["identity"] for stage in model.stages] == [0.7, 0.7]


def test_dropout_of_the_text_encoder_is_the_same_after_a_stop(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """Pictures drawn between stages switch it off for themselves alone."""
    lora_settings = {"rank": 2, "alpha": 2, "dropout": 0.3, "text_encoder": True}
    recipe = tiny_recipe(stage=stages(identity=0.1), lora=lora_settings)
    whole, _ = run(dataset, recipe, tiny_pack, tmp_path / "whole")
    run(dataset, recipe, tiny_pack, tmp_path / "m", stop_after="appearance")
    stopped, _ = run(dataset, recipe, tiny_pack, tmp_path / "m")
    assert lora(stopped, 1) == lora(whole, 1)
    looked = recipe.model_copy(
        update={"validation": recipe.validation.model_copy(update={"preview_every": 2})}
    )
    watched, _ = run(dataset, looked, tiny_pack, tmp_path / "watched")
    assert lora(watched, 0) == lora(whole, 0), "previews change nothing"


def test_the_baseline_is_nobodys_identity(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """DreamBooth as the example trains it: no way for an embedding, whatever the recipe says."""
    recipe = tiny_recipe(identity={"mode": "tokens"})
    model, _ = run(dataset, recipe, tiny_pack, tmp_path / "m", arm="dreambooth_lora")
    assert not list(model.root.rglob("identity.safetensors"))


def test_a_fallback_cannot_cut_a_batch_into_more_parts_than_it_has() -> None:
    """Said when the recipe is read, not when the fallback is tried."""
    first = {**tiny_recipe().stage[0].model_dump(), "batch_size": 4, "gradient_accumulation": 4}
    gate = {
        "after": "appearance", "metric": "identity", "at_least": 0.5,
        "fallback": [{"batch_size": 2}],
    }  # fmt: skip
    with pytest.raises(RecipeError, match="a fallback's too"):
        tiny_recipe(stage=[first], gate=[gate])


@pytest.mark.parametrize(
    ("metric", "change", "anew"),
    [
        ("identity", {"preview_every": 1}, False),
        ("identity", {"guidance": 7.0}, True),
        ("validation_loss", {"guidance": 7.0, "num_prompts": 1}, False),
        ("validation_loss", {"stop_patience": 1}, True),
    ],
)
def test_what_an_early_stop_looks_at_decides_its_stage(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path, metric: str, change: Any, anew: bool
) -> None:
    """What it does not look at trains nothing anew."""
    stage = {"kind": "appearance", "num_steps": 2, "batch_size": 2}
    look = {**LOOK, "stop_every": 2, "stop_metric": metric}
    run(dataset, tiny_recipe(stage=[stage], validation=look), tiny_pack, tmp_path / "m")
    changed = tiny_recipe(stage=[stage], validation={**look, **change})
    _, said = run(dataset, changed, tiny_pack, tmp_path / "m")
    assert ("training starts anew" in said) == anew


def short(rate: float, detail: float = 1e-2, **more: Any) -> Recipe:
    """Two short stages at these rates."""
    settings = {"batch_size": 2, "num_steps": 2}
    first = {"kind": "appearance", "learning_rate": rate, **settings}
    second = {"kind": "detail", "learning_rate": detail, **settings}
    return tiny_recipe(stage=[first, second], **more)


def test_what_was_trained_outlives_other_settings_and_comes_back(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """Tries of other rates, one stopped at once, delete nothing that was finished; with the first
    settings again the first training is there again, stage by stage, and nothing is trained."""
    out = tmp_path / "m"
    first, _ = run(dataset, short(1e-2), tiny_pack, out)
    run(dataset, short(1e-2, detail=2e-2), tiny_pack, out)
    run(dataset, short(2e-2), tiny_pack, out, stop_after="appearance")

    def stop(event: Event) -> None:
        if isinstance(event, Advanced) and event.task == "appearance":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(
            dataset, tiny_brief(), short(3e-2), tiny_pack, out,
            sample=sample, score=scores(0.5), emit=stop,
        )  # fmt: skip
    back, said = run(dataset, short(1e-2), tiny_pack, out)
    assert "appearance is taken back from previous-2/" in said
    assert "detail is taken back from previous/" in said
    assert [stage.files for stage in back.stages] == [stage.files for stage in first.stages]
    assert [stage.seconds for stage in back.stages] == [stage.seconds for stage in first.stages]
    assert (out / "previews" / "02-detail.png").is_file()
    assert not (out / "previous").exists()
    assert (out / "previous-2" / "stages" / "02-detail" / LORA).is_file()
    assert (out / "previous-3" / "stages" / "01-appearance" / LORA).is_file()
    _, said = run(dataset, short(1e-2, detail=2e-2), tiny_pack, out)
    assert "stage detail; 2 stage(s) are kept, the rest is in previous/" in said


def test_only_what_began_from_the_stages_kept_is_taken_back(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """A second stage was set aside; then a fallback trains the first one anew: the second with its
    old settings begins from that."""
    out = tmp_path / "m"
    change = {"learning_rate": 1e-3}
    gate = {"after": "appearance", "metric": "identity", "at_least": 0.4, "fallback": [change]}
    run(dataset, short(1e-2), tiny_pack, out, 0.1)
    run(dataset, short(1e-2, detail=2e-2), tiny_pack, out, 0.1)
    run(dataset, short(1e-2, detail=2e-2, gate=[gate]), tiny_pack, out)
    back, said = run(dataset, short(1e-2, gate=[gate]), tiny_pack, out)
    assert "taken back" not in said
    fresh, _ = run(dataset, short(1e-3), tiny_pack, tmp_path / "fresh")
    assert [lora(back, 0), lora(back, 1)] == [lora(fresh, 0), lora(fresh, 1)]


def forget_the_size(model: Path) -> None:
    """As an onbrand that did not write it down set its stages aside."""
    run_json = model / "previous" / "run.json"
    told = json.loads(run_json.read_text("utf-8"))
    del told["trains"]["size"]
    run_json.write_text(json.dumps(told), "utf-8")


def call_it_a_copy(model: Path) -> None:
    (model / "previous").rename(model / "previous.bak")


@pytest.mark.parametrize("spoil", [forget_the_size, call_it_a_copy])
def test_what_may_be_another_s_is_not_taken_back(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """What does not say all that it was trained from may be of another size, and a folder that
    somebody named is theirs."""
    run(dataset, short(1e-2), tiny_pack, tmp_path, stop_after="appearance")
    run(dataset, short(2e-2), tiny_pack, tmp_path, stop_after="appearance")
    spoil(tmp_path)
    _, said = run(dataset, short(1e-2), tiny_pack, tmp_path, stop_after="appearance")
    assert "taken back" not in said
    assert len([*tmp_path.glob("previous*/stages/01-appearance")]) == 2


def test_an_unfinished_stage_that_was_set_aside_gives_way(tmp_path: Path) -> None:
    """Else each setting that was tried for a moment would leave a folder."""
    settings: dict[str, Any] = {"trains": {}, "looks": "", "emit": lambda event: None}
    for fingerprint in "abc":
        facts = [{"name": "a", "fingerprint": fingerprint}]
        History.open(tmp_path, stages=facts, **settings)
        (tmp_path / "stages" / "01-a").mkdir(parents=True)
    assert [path.name for path in tmp_path.glob("previous*")] == ["previous"]
    (tmp_path / "run.json").write_text("{")
    History.open(tmp_path, stages=facts, **settings)
    (tmp_path / "stages" / "01-a").mkdir()
    History.open(tmp_path, stages=[{"name": "a", "fingerprint": "d"}], **settings)
    assert (tmp_path / "previous-2").is_dir(), "nobody knows what unknown stages are"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1', '{"version": 1, "results": 0}'])
def test_a_damaged_run_json_is_as_none(tmp_path: Path, text: str) -> None:
    """The base's figures are then unknown, and a report is drawn without them."""
    (tmp_path / "run.json").write_text(text)
    assert training.base_metrics(tmp_path) == {}


def test_stages_are_set_aside_by_their_numbers(tmp_path: Path) -> None:
    """Where the first one's folder is gone, a changed second one still goes, and a second process
    hears of tries that the first has made."""
    facts = [{"name": name, "fingerprint": name} for name in ("a", "b")]
    settings: dict[str, Any] = {"trains": {}, "looks": "", "emit": lambda event: None}
    History.open(tmp_path, stages=facts, **settings)
    (tmp_path / "stages" / "02-b").mkdir(parents=True)
    changed = [facts[0], {"name": "b", "fingerprint": "c"}]
    mine = History.open(tmp_path, stages=changed, **settings)
    assert (tmp_path / "previous" / "stages" / "02-b").is_dir()
    other = History.open(tmp_path, stages=changed, read_only=True, **settings)
    mine.tries[0].append({"gate": "failed"})
    mine.keep_base({})
    other.refresh()
    assert other.tries == mine.tries
