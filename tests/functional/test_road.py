"""The road as Python functions, on a tiny pack: folders in, folders out, resumed after any stop."""

from __future__ import annotations

import html
import math
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from brand_folder import at_work_elsewhere
from PIL import Image

import onbrand as ob
from onbrand import generation, road
from onbrand.errors import (
    ArtifactError,
    DatasetError,
    InputError,
    PackError,
    PromptError,
    StorageError,
)
from onbrand.events import Event, Skipped, Started, Warned
from onbrand.generation import sample
from onbrand.models.diffusion import load_diffusion
from onbrand.models.packs import Pack
from onbrand.road.page import _worst
from onbrand.road.picture import with_lora
from onbrand.road.places import place_of

RECIPE = """
base = "{base}"
[lora]
rank = 2
[validation]
num_prompts = 1
num_per_prompt = 2
num_steps = 2
[[stage]]
kind = "appearance"
learning_rate = 1e-4
batch_size = 2
num_steps = 2
min_snr_gamma = 0
{more}
"""
GATE = '[[gate]]\nafter = "appearance"\nmetric = "identity"\nat_least = 1.5'


def begin(folder: Path, pack: Path, more: str = "") -> Path:
    """A brand of six small drawn pictures."""
    rng = np.random.default_rng(7)
    (folder / "drawn").mkdir(parents=True)
    for index in range(6):
        pixels = np.full((40, 40, 3), 250, np.uint8)
        top, left = (int(v) for v in rng.integers(2, 14, 2))
        pixels[top : top + 22, left : left + 22] = (200, 90, 40)
        Image.fromarray(pixels).save(folder / "drawn" / f"{index}.png")
        (folder / "drawn" / f"{index}.txt").write_text(f"a red fox sitting, view {index}")
    (folder / "drawn" / "notes.gif").write_bytes(b"no picture")
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(base=pack, more=more))
    return ob.new(folder / "kuro", pictures=folder / "drawn", subject="red fox", recipe=str(recipe))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_pack_folder: Path) -> Path:
    """A trained brand. Copy it before changing it."""
    brand = begin(tmp_path_factory.mktemp("brands"), tiny_pack_folder)
    ob.train(brand)
    return brand


@pytest.fixture
def brand(finished: Path, tmp_path: Path) -> Path:
    """A trained brand of the test's own."""
    return Path(shutil.copytree(finished, tmp_path / "kuro"))


def same(one: Image.Image, other: Image.Image) -> bool:
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))


def test_pictures_that_cannot_be_used_are_told_of(tmp_path: Path, tiny_pack_folder: Path) -> None:
    """new and curate name the files that are no pictures and freeze the others, some held out."""
    folder = begin(tmp_path, tiny_pack_folder)
    dataset = ob.Dataset.load(folder / "dataset")
    assert [Path(skip.path).name for skip in dataset.skipped] == ["notes.gif"]
    assert len(dataset.train) + len(dataset.held_out) == 6
    assert dataset.held_out
    told: list[Event] = []
    (folder / "pictures" / "broken.png").write_bytes(b"\x89PNG")
    again = ob.curate(folder, emit=told.append)
    assert [Path(e.path).name for e in told if isinstance(e, Skipped)] == ["broken.png"]
    assert again.fingerprint == dataset.fingerprint


def test_a_folder_that_is_no_brand_is_refused_with_advice(tmp_path: Path) -> None:
    """Every function of the road says what the folder lacks and which command makes it."""
    calls: list[Callable[[], object]] = [
        lambda: ob.train(tmp_path),
        lambda: ob.generate("waving", tmp_path),
        lambda: ob.report(tmp_path / "none"),
    ]
    for call in calls:
        with pytest.raises(InputError, match="onbrand new"):
            call()


def test_nothing_is_measured_on_what_may_have_been_learned(brand: Path) -> None:
    """After pictures came or went, the split is another: the report says to train again, and before
    anything is drawn. The words of the report are those that the model was taught."""
    text = (brand / "brief.toml").read_text()
    (brand / "brief.toml").write_text(text.replace('trigger = "kuro"', 'trigger = "zorblax"'))
    assert road.open_contest(brand).brief.trigger == "kuro"
    (brand / "pictures" / "0.png").unlink()
    ob.curate(brand)
    told: list[Event] = []
    with pytest.raises(DatasetError, match=r"changed since it was trained.*onbrand train"):
        ob.report(brand, emit=told.append)
    with pytest.raises(DatasetError, match="changed since it was trained"):
        road.train_baseline(brand)
    assert not [event for event in told if isinstance(event, Started)]


def test_a_single_picture_is_not_trained_on(tmp_path: Path, tiny_pack_folder: Path) -> None:
    """Nothing could be measured: said in one line, before the base draws anything."""
    folder = begin(tmp_path, tiny_pack_folder)
    for file in sorted((folder / "pictures").glob("[1-9].*")):
        file.unlink()
    told: list[Event] = []
    with pytest.raises(DatasetError, match=r"1 picture in .*none of them held out"):
        ob.train(folder, emit=told.append)
    assert "drawing" not in " ".join(e.task for e in told if isinstance(e, Started))


def test_an_impossible_request_is_refused_before_any_work(brand: Path) -> None:
    """generate refuses empty prompts and impossible seeds, and leaves no folder behind."""
    with pytest.raises(PromptError, match="there is an empty prompt"):
        ob.generate(["waving", "  "], brand)
    with pytest.raises(PromptError, match="'naked' \\(nudity\\) is on the word list"):
        ob.generate("a naked fox", brand)
    for seed in (-5, 2**63 - 3):  # there are four pictures
        with pytest.raises(InputError, match=f"seed is {seed}"):
            ob.generate("waving", brand, seed=seed)
    for guidance in (math.inf, math.nan, -1.0):
        with pytest.raises(InputError, match=f"guidance is {guidance}"):
            ob.generate("waving", brand, guidance=guidance)
    with pytest.raises(InputError, match="no edges and no drawing"):
        ob.generate("waving", brand, strength=0.5)
    with pytest.raises(InputError, match="there is no identity"):
        ob.generate("waving", brand, identity_strength=0.5)
    assert not (brand / "generated").exists()
    last = ob.generate("waving", brand, num_per_prompt=1, num_steps=1, seed=2**63 - 1)
    assert last.items[0].seed == 2**63 - 1


def test_pictures_do_not_depend_on_their_company(brand: Path) -> None:
    """The same prompt and seed give the same picture alone and among others, to a rounding."""
    alone = ob.generate("waving", brand, num_per_prompt=1, num_steps=2, seed=8)
    among = ob.generate(["sitting", "waving"], brand, num_per_prompt=2, num_steps=2, seed=7)
    first, second = (np.asarray(picture, np.int16) for picture in (alone.open(0), among.open(3)))
    assert among.items[3].prompt == alone.items[0].prompt
    assert np.abs(first - second).max() <= 1


def test_what_must_never_appear_goes_into_the_negative_prompt(brand: Path) -> None:
    """generate stays away from the brief's `never` list and from what the call adds."""
    brief = ob.Brief.load(brand)
    brief.model_copy(update={"never": ["balloon", "a cat"]}).save(brand)
    shots = ob.generate("waving", brand, num_per_prompt=1, num_steps=2, negative_prompt="night")
    with Image.open(shots.root / shots.items[0].file) as picture:
        assert picture.info["negative_prompt"] == "balloon, a cat, night"


def test_the_base_draws_without_the_brand(brand: Path) -> None:
    """stage="base" leaves the LoRA off, and the pictures' parents say so."""
    shots = ob.generate("waving", brand, num_per_prompt=1, num_steps=2, stage="base")
    assert shots.parents["lora"] == "none"
    ours = ob.generate("waving", brand, num_per_prompt=1, num_steps=2)
    assert len(ours.parents["lora"]) == 16
    with pytest.raises(InputError, match="appearance"):
        ob.generate("waving", brand, stage="apearance")


def test_words_the_base_has_never_seen_are_warned_of(brand: Path) -> None:
    """generate names unseen words once, and the brand's own trigger is not among them."""
    told: list[Event] = []
    ob.generate("waving on a bicycle", brand, num_per_prompt=1, num_steps=1, emit=told.append)
    warnings = [e.message for e in told if isinstance(e, Warned) and "never seen" in e.message]
    assert len(warnings) == 1
    assert "'bicycle'" in warnings[0]
    assert "kuro" not in warnings[0]
    assert "may ignore it" in warnings[0]


def test_a_stopped_generation_goes_on_where_it_stopped(
    brand: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C in the second batch the same call draws only what is missing, in its folder."""
    real, calls = generation.sample, 0

    def interrupted(*args: object, **settings: object) -> list[Image.Image]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return real(*args, **settings)

    def ask(told: list[Event]) -> ob.Pictures:
        return ob.generate("waving", brand, num_per_prompt=10, num_steps=1, emit=told.append)

    with monkeypatch.context() as patch:
        patch.setattr(generation, "sample", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ask([])
    kept = sorted((brand / "generated" / "001").glob("0*.png"))
    assert len(kept) == 8
    with pytest.raises(ArtifactError):
        ob.Pictures.load(brand / "generated" / "001")
    told: list[Event] = []
    sheet = brand / "generated" / "001" / "sheet.png"
    shots = ask(told)
    assert [e.total for e in told if isinstance(e, Started)] == [2]
    sheet.unlink()  # stopped, or out of space, before the last file
    assert ask(told).root == shots.root
    assert sheet.is_file()
    assert shots.root == brand / "generated" / "001"
    assert len(ob.Pictures.load(shots.root)) == 10
    assert ask([]).root == brand / "generated" / "002"


def test_two_calls_never_share_a_number(brand: Path) -> None:
    """A number that another process has just taken is left to it, whatever it holds."""
    taken = brand / "generated" / "001"
    taken.mkdir(parents=True)
    (taken / "half.png").write_bytes(b"being written")
    shots = ob.generate("waving", brand, num_per_prompt=1, num_steps=1)
    assert shots.root == brand / "generated" / "002"
    assert (taken / "half.png").is_file()


def test_folders_of_people_take_no_number(brand: Path) -> None:
    """What people put aside under generated/ is passed over."""
    (brand / "generated" / "009 best").mkdir(parents=True)
    shots = ob.generate("waving", brand, num_per_prompt=1, num_steps=1)
    assert shots.root == brand / "generated" / "001"


def test_a_report_draws_no_refused_words(brand: Path) -> None:
    """Of the brief's prompts or its description, as generate; before anything is drawn."""
    brief = ob.Brief.load(brand)
    told: list[Event] = []
    prompts = ["waving", "a naked fox", "sitting", "sleeping"]
    brief.model_copy(update={"prompts": prompts}).save(brand)
    with pytest.raises(PromptError, match="'naked'"):
        ob.report(brand, emit=told.append)
    assert not [event for event in told if isinstance(event, Started)]


def test_one_process_at_a_time_trains_or_compares(brand: Path) -> None:
    """While another process holds the folder, train and report say so at once; then they go on."""
    with at_work_elsewhere(brand):
        with pytest.raises(StorageError, match="another onbrand is at work in"):
            ob.train(brand)
        with pytest.raises(StorageError, match="another onbrand is at work in"):
            ob.report(brand, num_prompts=1, num_per_prompt=1, num_steps=1)
    ob.train(brand)


def test_captions_that_the_base_cannot_read_whole_are_warned_of(brand: Path) -> None:
    """Once, with their number."""
    for text in (brand / "pictures").glob("*.txt"):
        text.write_text("a red fox sitting " * 60)
    told: list[Event] = []
    ob.train(brand, emit=told.append)
    warnings = [e.message for e in told if isinstance(e, Warned) and "tokens" in e.message]
    assert len(warnings) == 1
    assert "captions" in warnings[0]


def test_a_failed_gate_keeps_the_model_and_is_an_error(
    tmp_path: Path, tiny_pack_folder: Path
) -> None:
    """A stage that misses its gate raises GateFailed with everything saved, and can be reported."""
    brand = begin(tmp_path, tiny_pack_folder, GATE)
    with pytest.raises(ob.OnbrandError, match="gate") as failed:
        ob.train(brand)
    assert failed.value.exit_code == 3
    assert ob.BrandModel.load(brand / "model").ship["stage"] == "appearance"
    judgement = ob.report(brand, num_prompts=1, num_per_prompt=1, num_steps=1)
    assert (brand / "report.html").stat().st_size > 10_000
    assert set(judgement.baselines) >= {"base", "prompt_only"}


def test_every_arm_draws_the_same_prompts_and_seeds(brand: Path) -> None:
    """Arms differ in words and weights alone, and a second comparison redraws nothing."""
    settings = {"num_prompts": 2, "num_per_prompt": 2, "num_steps": 1}
    found = road.compare(brand, road.open_contest(brand, **settings))
    seeds = {name: [item.seed for item in shots.items] for name, shots in found.pictures.items()}
    assert set(map(tuple, seeds.values())) == {(1007, 1008, 1007, 1008)}
    assert not any("kuro" in i.prompt for i in found.pictures["prompt_only"].items)
    assert all("kuro" in i.prompt for i in found.pictures["appearance"].items)
    notes = [one.note.partition(" · ")[0] for one, _ in _worst(found, "appearance", "drift")]
    assert set(notes) == set(found.prompts), "what tells the class pictures apart"
    told: list[Event] = []
    contest = road.open_contest(brand, **settings, emit=told.append)
    again = road.compare(brand, contest, emit=told.append)
    assert [e for e in told if isinstance(e, Started)] == []
    assert again.judgement == found.judgement
    for _ in range(2):
        contest.emit(Warned("too long"))
    assert told.count(Warned("too long")) == 1


def test_the_plain_class_is_drawn_as_nobody(tmp_path: Path, tiny_pack_folder: Path) -> None:
    """A model trained with an identity shows it in the brand's pictures and not in the class's, so
    that drift is of the model and not of whom it is told to show."""
    brand = begin(tmp_path, tiny_pack_folder, '[identity]\nmode = "tokens"')
    model = ob.train(brand)
    contest = road.open_contest(brand, num_prompts=1, num_per_prompt=1, num_steps=1)
    drawn = contest.draw(road.entry_of(contest, model, "appearance"), brand / "judged")
    artist = with_lora(load_diffusion(contest.pack), model.checkpoint("appearance"))
    assert artist.way is not None
    settings = {"seeds": contest.seeds, "num_steps": 1, "guidance": contest.guidance}
    (named,) = sample(artist, drawn.entry.prompts, **settings)
    (told,) = sample(artist, contest.class_texts, **settings)
    artist.way.show(None)
    (untold,) = sample(artist, contest.class_texts, **settings)
    assert drawn.of_class is not None
    assert same(drawn.pictures.open(0), named)
    assert same(drawn.of_class.open(0), untold)
    assert not same(told, untold)


def test_a_base_folder_is_kept_as_an_absolute_path(
    tmp_path: Path, tiny_pack_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative folder named as base still means the same one from elsewhere; names stay names."""
    monkeypatch.chdir(tiny_pack_folder.parent)
    assert place_of(tiny_pack_folder.name) == str(tiny_pack_folder.resolve())
    assert place_of("./elsewhere") == str((tiny_pack_folder.parent / "elsewhere").resolve())
    assert place_of("pocket") == "pocket"
    assert place_of("owner/name") == "owner/name"


def test_pictures_follow_edges_or_a_drawing(
    guided_pack: Pack, finished: Path, tmp_path: Path
) -> None:
    """Another picture with a guide than without, the drawing beside it; one guide at a time; a base
    without a ControlNet says so."""
    brand = begin(tmp_path, guided_pack.root)
    ob.train(brand)
    shape = tmp_path / "drawn" / "0.png"
    settings = {"brand": brand, "num_per_prompt": 1, "num_steps": 2}
    plain = ob.generate("waving", **settings)
    shots = ob.generate("waving", **settings, edges=shape)
    lines = np.asarray(Image.open(shots.root / "drawing.png"))
    assert lines.shape == (32, 32, 3)
    assert set(np.unique(lines)) == {0, 255}
    assert shots.parents["guide"].startswith("edges ")
    assert (np.asarray(shots.open(0)) != np.asarray(plain.open(0))).any()
    again = ob.generate("waving", **settings, drawing=shots.root / "drawing.png")
    assert (np.asarray(again.open(0)) == np.asarray(shots.open(0))).all()
    off = ob.generate("waving", **settings, edges=shape, strength=0)
    assert np.abs(np.asarray(off.open(0), int) - np.asarray(plain.open(0), int)).max() <= 1
    with pytest.raises(InputError, match="one of them"):
        ob.generate("waving", brand, edges=shape, drawing=shape)
    for strength in (-1, math.inf):
        with pytest.raises(InputError, match=f"strength is {strength}"):
            ob.generate("waving", brand, edges=shape, strength=strength)
    with pytest.raises(PackError, match="has no ControlNet"):
        ob.generate("waving", finished, edges=shape)


def test_a_report_shows_the_recipe_that_trained_the_model(brand: Path) -> None:
    """Not the folder's, which may be another one or gone; the page says to train with what it
    shows, and that gives the very recipe back."""
    (brand / "recipe.toml").unlink()
    ob.report(brand, num_prompts=1, num_per_prompt=1, num_steps=1)
    page = html.unescape((brand / "report.html").read_text())
    assert f"onbrand train {brand} --recipe FILE" in page
    shown = page.partition("<h3>Recipe</h3><pre>")[2].partition("</pre>")[0]
    model = ob.BrandModel.load(brand / "model")
    assert ob.Recipe.model_validate(tomllib.loads(shown)) == model.recipe
