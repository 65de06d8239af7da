"""A sweep's axes, their grid, and the recipe that gets what is to be taken."""

from __future__ import annotations

from pathlib import Path

import pytest
from brand_folder import tiny_recipe

from onbrand.errors import InputError, RecipeError
from onbrand.recipe import Recipe, recipe_file
from onbrand.road.sweeps.apply import apply_to_recipe
from onbrand.road.sweeps.grid import combine, label_of, said, short_names
from onbrand.road.sweeps.settings import (
    Axis,
    Drawing,
    check_axes,
    paths_of,
    stage_names,
    with_settings,
)
from onbrand.road.sweeps.sources import (
    axis_of,
    example_sweep,
    load_sweep_file,
    parse_words,
    words_of,
)

RATE, BATCH = "stage.appearance.learning_rate", "stage.detail.batch_size"
STAGE = '[[stage]]\nkind = "appearance"\nnum_steps = 4\n'


def test_the_seeds_example_is_a_grid_in_order() -> None:
    """1e-4 and 5e-5 by 8 and 16 give four recipes, the last axis running fastest."""
    axes = parse_words([f"{RATE}=1e-4,5e-5", f"{BATCH}=8,16"])
    found = combine(axes, tiny_recipe(), Drawing())
    assert [(c.recipe.stage[0].learning_rate, c.recipe.stage[1].batch_size) for c in found] == [
        (1e-4, 8), (1e-4, 16), (5e-5, 8), (5e-5, 16),
    ]  # fmt: skip
    assert [c.number for c in found] == [1, 2, 3, 4]
    assert found[1].label == "learning rate 1e-4 · batch size 16"
    assert found[0].recipe.stage[0].batch_size == tiny_recipe().stage[0].batch_size


def test_random_draws_different_combinations_by_its_seed() -> None:
    """The same seed draws the same ones, another seed others; none twice, all of a few."""
    axes = [Axis("lora.rank", tuple(range(1, 30))), Axis("seed", tuple(range(30)))]
    drawn = [combine(axes, tiny_recipe(), Drawing(), num_random=9, seed=s) for s in (1, 1, 2)]
    one, again, other = ([tuple(c.settings.values()) for c in found] for found in drawn)
    assert one == again != other
    assert len(set(one)) == 9
    few = combine(axes[:1], tiny_recipe(), Drawing(), num_random=99)
    assert [c.settings["lora.rank"] for c in few] == list(range(1, 30))
    with pytest.raises(InputError, match="--random 50"):
        combine([*axes, Axis("lora.alpha", tuple(range(1, 20)))], tiny_recipe(), Drawing())


def test_paths_name_every_setting_and_nothing_else() -> None:
    """Each path reaches its field; stages are named as training names them."""
    stage = {"num_steps": 2}
    recipe = tiny_recipe(stage=[{"kind": k, **stage} for k in ("appearance", "detail", "detail")])
    assert stage_names(recipe) == ["appearance", "detail", "detail-2"]
    paths = paths_of(recipe)
    assert {"lora.rank", "seed", "prior.weight", "sample.sampler", "prompt.style"} <= set(paths)
    assert {"stage.detail-2.augment.flip", "stage.detail.losses.identity"} <= set(paths)
    assert not any(p.startswith(("base", "gate", "validation")) or "kind" in p for p in paths)
    changed = with_settings(
        recipe, {"stage.detail-2.augment.flip": True, "stage.detail.losses.prior": 0.3}
    )
    assert [s.augment.flip for s in changed.stage] == [False, False, True]
    assert [s.weight("prior") for s in changed.stage] == [0, 0.3, 0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing to sweep"),
        (["stage.apearance.learning_rate=1"], "did you mean 'stage.appearance.learning_rate'"),
        (["sample.sampller=ddim"], "did you mean 'sample.sampler'"),
        (["batch_size=8"], "'stage.appearance.batch_size' or 'stage.detail.batch_size'"),
        (["stage.detail.lr=1"], "there are stage.detail.learning_rate, stage.detail.warmup_steps"),
        (["lora.rank=8,16", "lora.rank=32"], "lora.rank is given twice"),
        (["base=pocket,other"], "base cannot be swept: each base has eyes"),
        (["validation.num_steps=4"], "validation.num_steps cannot be swept"),
        ([f"{BATCH}=8,many"], f"{BATCH} = 'many': should be a valid integer"),
        ([f"{RATE}=1e-4,-1"], f"{RATE} = -1: should be greater than 0"),
        (["sample.sampler=ddmi"], "did you mean 'ddim'"),
        (["sample.guidance=0.5"], "sample.guidance = 0.5: should be greater than or equal to 1"),
        (["lora.rank="], "lora.rank has no value"),
        (["lora.rank=[]"], "lora.rank has no value"),
        (["lora.rank=[8, 16"], "is no list as TOML has it"),
        (["lora.rank"], "names no values"),
        (["lora.rank=8", "lora.rank=16"], "lora.rank is given twice"),
        (["sample.sampler=dpm,"], "has an empty value: leave the comma out"),
        (["prompt.style=,flat"], "has an empty value: leave the comma out"),
    ],
)
def test_a_bad_setting_is_refused_with_advice(words: list[str], said: str) -> None:
    """An unknown path, a wrong value, an empty list: told by name before any work."""
    with pytest.raises(InputError, match=said):
        check_axes(parse_words(words), tiny_recipe())


def test_a_combination_that_the_recipe_refuses_says_so_alone() -> None:
    """A conflict between a value and the rest of the recipe is that combination's own."""
    gate = {"after": "detail", "metric": "identity", "at_least": 0.1}
    recipe = tiny_recipe(gate=[gate])
    broken = recipe.model_copy(update={"gate": [recipe.gate[0].model_copy(update={"metric": "x"})]})
    found = combine([Axis("lora.rank", (2, 4))], broken, Drawing())
    assert all("reads 'x'" in c.refused for c in found)
    assert not any(c.refused for c in combine([Axis("lora.rank", (2, 4))], recipe, Drawing()))


def test_words_from_the_command_line_read_back() -> None:
    """Numbers, switches and texts, with and without commas, survive being written as a word."""
    for axis in (
        Axis(RATE, (1e-4, 5e-05, 0.5)),
        Axis("stage.detail.augment.flip", (True, False)),
        Axis("prompt.style", ("", "flat sticker, bold", 'a "quoted" one')),
        Axis("prompt.pose", ("jumping", "seen from the front")),
        Axis("prompt.negative", ("1980", "true", "[x]")),
    ):
        assert parse_words([words_of(axis)]) == [axis]
    assert words_of(Axis(RATE, (1e-4, 5e-05))) == f"{RATE}=1e-4,5e-5"


def test_a_value_is_tried_once() -> None:
    """A value named twice is one combination, also as 8 and as 8.0; true and 1 are different."""
    assert parse_words(["lora.rank=8,8,8.0,16"])[0].values == (8, 16)
    assert parse_words(["lora.rank=1,true"])[0].values == (1, True)


def test_a_file_holds_the_same_settings(tmp_path: Path) -> None:
    """Dotted and quoted paths are read alike; an unknown key is named with the nearest."""
    path = tmp_path / "sweep.toml"
    path.write_text('random = 3\n[set]\n"lora.rank" = [2, 4]\nstage.detail.batch_size = 8\n')
    read = load_sweep_file(path)
    assert read.axes == (Axis("lora.rank", (2, 4)), Axis(BATCH, (8,)))
    assert (read.num_random, read.seed) == (3, None)
    path.write_text("randon = 3\n[set]\n")
    with pytest.raises(InputError, match="did you mean 'random'"):
        load_sweep_file(path)
    path.write_text("[set]\nlora.rank = [[2]]\n")
    with pytest.raises(InputError, match="neither a number"):
        load_sweep_file(path)


def test_the_example_can_be_used_as_it_is(tmp_path: Path) -> None:
    """What --example prints fits the built-in recipes, its commented settings too."""
    lines = example_sweep().splitlines()
    settings = [line.removeprefix("# ") for line in lines if " = [" in line]
    path = tmp_path / "sweep.toml"
    for text in (example_sweep(), "\n".join(["[set]", *settings])):
        path.write_text(text)
        check_axes(load_sweep_file(path).axes, Recipe.load("demo"))
    assert len(load_sweep_file(path).axes) == 12


def test_labels_are_short_and_tell_settings_apart() -> None:
    """The last word of a path, more where two share it; a constant setting is left out."""
    axes = parse_words([f"{RATE}=1e-4,5e-5", "stage.detail.learning_rate=1,2", "lora.rank=8"])
    names = short_names(axes)
    assert list(names.values()) == ["appearance learning rate", "detail learning rate"]
    assert label_of({RATE: 5e-5, "stage.detail.learning_rate": 2}, names) == (
        "appearance learning rate 5e-5 · detail learning rate 2"
    )
    assert [said(v, RATE) for v in (0.00025, 0.5, 8, 8.0, 1_000_000, True, "", "flat")] == [
        "2.5e-4", "0.5", "8", "8", "1000000", "on", "none", "“flat”",
    ]  # fmt: skip
    assert said("", "sample.sampler") == "the base's own"


def test_no_two_values_are_called_alike() -> None:
    """Numbers that differ in a late digit are told in full, and read back as what they are."""
    for path, values in (
        ("seed", (20261128, 20261129)),
        (RATE, (0.123456789, 0.1234567)),
        (RATE, (0.0012345678, 0.00123456789)),
        ("sample.guidance", (4.0000001, 4.0000002)),
    ):
        told = [said(value, path) for value in values]
        assert [float(text) for text in told] == list(values)
        assert parse_words([words_of(Axis(path, values))])[0].values == values


@pytest.mark.parametrize(
    ("given", "values"),
    [("flat", ("flat",)), (8, (8,)), (["a", "a"], ("a",)), ((8, 8.0), (8,)), (range(2), (0, 1))],
)
def test_one_value_alone_is_a_list_of_one(given: object, values: tuple[object, ...]) -> None:
    """From Python as from a file, each once."""
    assert axis_of("prompt.style", given, "settings").values == values


@pytest.mark.parametrize("given", [None, [None, 32], [[8]]])
def test_what_is_no_value_is_refused(given: object) -> None:
    """With its path, before anything is planned."""
    with pytest.raises(InputError, match=r"settings: lora.rank = .* is neither a number"):
        axis_of("lora.rank", given, "settings")


def test_words_are_put_around_the_briefs_text() -> None:
    """Pose before the text, style after it; nothing when they are empty."""
    assert Drawing(style="flat", pose=" jumping ").words("at night") == "jumping, at night, flat"
    assert Drawing().words("at night") == "at night"


def test_applied_settings_keep_the_recipes_comments(tmp_path: Path) -> None:
    """Only the named values change: comments, order and every other line stay as they were."""
    path = tmp_path / "recipe.toml"
    path.write_bytes(recipe_file("demo").read_bytes())
    before = path.read_text("utf-8").splitlines()
    settings = {RATE: 5e-5, BATCH: 16, "stage.detail.losses.identity": 0.25, "lora.rank": 8}
    apply_to_recipe(path, settings)
    after = path.read_text("utf-8").splitlines()
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert changed == [
        (
            "rank = 32                  # their size. Higher remembers more, and overfits sooner",
            "rank = 8                  # their size. Higher remembers more, and overfits sooner",
        ),
        ("learning_rate = 1e-3", "learning_rate = 5e-5"),
        ("batch_size = 8", "batch_size = 16"),
        (
            "losses = { perceptual = 0.5, identity = 0.5 }",
            "losses = { perceptual = 0.5, identity = 0.25 }",
        ),
    ]
    assert Recipe.load(path) == with_settings(Recipe.load("demo"), settings)


def test_settings_that_were_not_there_are_added(tmp_path: Path) -> None:
    """A missing table or key is made where it belongs, in a stage and at the top."""
    path = tmp_path / "recipe.toml"
    path.write_text('[[stage]]  # one\nkind = "detail"\nnum_steps = 4\n\n[lora]\nrank = 2\n')
    settings = {
        "stage.detail.losses.prior": 0.5, "stage.detail.augment.flip": True, "prior.weight": 0.5,
        "seed": 9,
    }  # fmt: skip
    apply_to_recipe(path, settings)
    recipe = Recipe.load(path)
    assert recipe.stage[0].weight("prior") == 0.5
    assert recipe.stage[0].augment.flip
    assert (recipe.prior.weight, recipe.seed, recipe.lora.rank) == (0.5, 9, 2)
    assert "# one" in path.read_text()


def test_a_loss_keeps_its_other_settings(tmp_path: Path) -> None:
    """Its weight is swept and applied; how far it looks and when it begins stay."""
    path = tmp_path / "recipe.toml"
    path.write_text(
        '[[stage]]\nkind = "expression"\nnum_steps = 4\n'
        "losses = { adversarial = { weight = 0.05, from_fraction = 0.5 } }  # a late critic\n"
    )
    settings = {"stage.expression.losses.adversarial": 0.1}
    swept = with_settings(Recipe.load(path), settings)
    term = swept.stage[0].losses["adversarial"]
    assert (term.weight, term.from_fraction) == (0.1, 0.5)
    apply_to_recipe(path, settings)
    assert Recipe.load(path) == swept
    assert "# a late critic" in path.read_text()


@pytest.mark.parametrize(
    ("line", "at"),
    [
        ("gradient_checkpointing = true  # s", "gradient_checkpointing"),
        ("lora = {text_encoder = true}  # s", "lora.text_encoder"),
        ("lora.text_encoder = true  # s", "lora.text_encoder"),
        ("lora.rank = 4\nseed = 3\nlora.text_encoder = true  # s", "lora.text_encoder"),
        (f"{STAGE}[lora]\ntext_encoder = true  # s", "lora.text_encoder"),
        (f"{STAGE}augment = {{flip = true}}  # s", "stage.appearance.augment.flip"),
        (f"{STAGE}augment.flip = true  # s", "stage.appearance.augment.flip"),
    ],
)
def test_a_switch_that_stands_there_is_turned(tmp_path: Path, line: str, at: str) -> None:
    """At the top, in a table and in a stage, however the table is written."""
    path = tmp_path / "recipe.toml"
    path.write_text(line if STAGE in line else f"{line}\n{STAGE}")
    before = path.read_text()
    apply_to_recipe(path, {at: False})
    assert path.read_text() == before.replace("true", "false")


def test_every_line_ends_as_the_others(tmp_path: Path) -> None:
    """A recipe that Windows wrote gets lines of its own kind."""
    path = tmp_path / "recipe.toml"
    path.write_bytes(STAGE.replace("\n", "\r\n").encode())
    apply_to_recipe(path, {"seed": 3, "lora.rank": 4})
    text = path.read_bytes().decode()
    assert "seed = 3\r\n" in text
    assert text.count("\n") == text.count("\r\n")


def test_a_stage_that_is_gone_is_told(tmp_path: Path) -> None:
    """A recipe that was edited while the sweep ran."""
    path = tmp_path / "recipe.toml"
    path.write_text(STAGE)
    with pytest.raises(RecipeError, match="has no stage detail any more"):
        apply_to_recipe(path, {BATCH: 8})


def test_a_recipe_that_would_be_wrong_is_not_written(tmp_path: Path) -> None:
    """What the recipe refuses leaves the file as it was."""
    path = tmp_path / "recipe.toml"
    path.write_text('[[stage]]\nkind = "appearance"\nnum_steps = 4\n')
    before = path.read_bytes()
    for settings in ({"stage.appearance.losses.identity": 0.5}, {"lora.rank": -1}):
        with pytest.raises(RecipeError):
            apply_to_recipe(path, settings)
        assert path.read_bytes() == before
