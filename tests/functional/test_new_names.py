"""The names and words that `onbrand new` is given, and what it makes of them."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from brand_folder import draw_picture

from onbrand import pixels
from onbrand.artifacts import Dataset
from onbrand.brief import Brief
from onbrand.curation import Guard, curate, let_in, make_brand
from onbrand.errors import BriefError, InputError, PromptError
from onbrand.events import Event, Warned
from onbrand.recipe import Recipe
from onbrand.road import new


def draw(folder: Path, *names: str, first: int = 0) -> Path:
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        draw_picture(first + i, size_px=64).save(folder / name)
    return folder


def begun(folder: Path, *held_out: str) -> Path:
    """A brief that holds out these."""
    brief = Brief(name="Kuro", subject="fox", held_out=list(held_out))
    return brief.save(folder / "brief.toml")


@pytest.mark.parametrize(
    ("names", "pattern", "held", "told"),
    [
        (["a.png", "b.png", "kuro [9].png"], "kuro [9].png", ["kuro _9_"], ["kuro _9_.png"]),
        (["a.png", "side/b.png", "side/c.png"], "side/*", ["b", "c"], ["b.png", "c.png"]),
        (["x/00.png", "y/00.png", "z.png"], "00.png", ["00", "00-2"], ["00.png", "00-2.png"]),
        (["x/00.png", "y/00.png", "z.png"], "y/00.png", ["00-2"], ["00-2.png"]),
        (["a.png", "b.png", "c-1.png"], "c-*", ["c-1"], ["c-*"]),
    ],
)
def test_a_briefs_held_out_means_the_files_it_names(
    tmp_path: Path, names: list[str], pattern: str, held: list[str], told: list[str]
) -> None:
    """Copies lie in one folder, some under other names; those of the named files are held out."""
    brand = make_brand(
        tmp_path / "kuro",
        pictures=draw(tmp_path / "in", *names),
        brief=begun(tmp_path, pattern),
    )
    assert Brief.load(brand).held_out == told
    dataset = Dataset.load(brand / "dataset")
    assert sorted(asset.source for asset in dataset.held_out) == sorted(f"{n}.png" for n in held)
    again = curate(brand / "pictures", Brief.load(brand), brand / "dataset")
    assert again.fingerprint == dataset.fingerprint


def test_a_copy_holds_its_twin_out_and_brings_its_caption(tmp_path: Path) -> None:
    """zz.png is 02.png again: it is dropped, and 02.png is neither trained on nor left silent."""
    folder = draw(tmp_path / "in", *(f"{i:02d}.png" for i in range(5)))
    shutil.copy(folder / "02.png", folder / "zz.png")
    (folder / "zz.txt").write_text("a fox waving")
    brief = begun(tmp_path, "zz.png")
    brand = make_brand(tmp_path / "kuro", pictures=folder, brief=brief)
    frozen = curate(folder, Brief.load(brief), tmp_path / "frozen")
    for dataset in (Dataset.load(brand / "dataset"), frozen):
        held = [(asset.source, asset.caption) for asset in dataset.held_out]
        assert held == [("02.png", "a fox waving")]


def test_a_look_alike_among_the_pictures_is_warned_of(tmp_path: Path) -> None:
    """Saved anew it has other pixels, and is the same picture all the same."""
    folder = draw(tmp_path / "in", *(f"{i:02d}.png" for i in range(5)))
    (tmp_path / "rivals").mkdir()
    rival = pixels.read(folder / "00.png").resize((96, 96))
    rival.save(tmp_path / "rivals" / "red.jpg", quality=95)
    heard: list[Event] = []
    brand = make_brand(
        tmp_path / "kuro", pictures=folder, lookalikes=tmp_path / "rivals", emit=heard.append
    )
    curate(
        brand / "pictures",
        Brief.load(brand),
        brand / "dataset",
        lookalikes=brand / "lookalikes",
        emit=heard.append,
    )
    said = [event.message for event in heard if isinstance(event, Warned)]
    assert sum("1 look-alike (such as red" in message for message in said) == 2
    assert sum("trained on (such as 00.png)" in message for message in said) == 2


def test_names_are_cut_by_bytes(tmp_path: Path) -> None:
    """A look-alike's name begins with its folder's: of letters that take four bytes each, the two
    are longer than file systems take."""
    wide = "\N{LINEAR B SYLLABLE B008 A}" * 50
    rivals = [draw(tmp_path / f"{wide}{i}", f"{wide}.png", first=i + 9) for i in range(2)]
    folder = draw(tmp_path / "in", "a.png", "b.png")
    brand = make_brand(tmp_path / "kuro", pictures=folder, lookalikes=rivals)
    names = [file.name for file in (brand / "lookalikes").iterdir()]
    assert len(names) == 2
    assert all(name.startswith(wide[:10]) for name in names)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """Pictures under them are copied, what is left out is listed; a brand cannot be called so."""
    folder = draw(tmp_path / "in", "a.png", os.fsdecode(b"caf\xe9.png"))
    (folder / os.fsdecode(b"caf\xe9.heic")).touch()
    (folder / os.fsdecode(b"thin\xe9.png")).write_bytes(b"")
    brand = make_brand(tmp_path / "kuro", pictures=folder, subject="fox")
    dataset = Dataset.load(brand / "dataset")
    assert len(dataset.assets) == 2
    assert len(dataset.skipped) == 2
    for wrong in ({"folder": tmp_path / "caf\udce9"}, {"subject": "fox\udce9"}):
        with pytest.raises(BriefError, match=r"no text in UTF-8|unicode string"):
            make_brand(**{"folder": tmp_path / "b", "pictures": folder, **wrong})


def test_a_link_is_no_new_folder(tmp_path: Path) -> None:
    """It is told before the pictures are read, even where it leads to an empty folder."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    with pytest.raises(InputError, match="is a link: name the folder"):
        make_brand(tmp_path / "link", pictures=tmp_path / "gone")


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    """By a run of that name a day later; what another may be making stays."""
    folder = draw(tmp_path / "in", "a.png", "b.png")
    left, at_work = (tmp_path / f".kuro.{mark}.making" for mark in ("abc123", "def456"))
    for place in (left, at_work):
        (place / "pictures").mkdir(parents=True)
    two_days_ago = time.time() - 2 * 86_400
    os.utime(left, (two_days_ago, two_days_ago))
    make_brand(tmp_path / "kuro", pictures=folder)
    assert not left.exists()
    assert at_work.is_dir()


def test_a_guess_that_may_not_be_said_is_none(tmp_path: Path) -> None:
    """Captions may say a refused word; the brief, which prompts are made of, may not."""
    folder = draw(tmp_path / "in", "a.png", "b.png")
    for name in ("a", "b"):
        (folder / f"{name}.txt").write_text("a rude fox waving")

    def refuse(texts: object, what: str) -> None:
        if "rude" in str(texts):
            raise PromptError(what)

    brand = make_brand(tmp_path / "kuro", pictures=folder, guard=Guard(refuse, let_in))
    assert Brief.load(brand).subject == "mascot"


def test_a_recipes_relative_base_stays_the_one_it_is(
    tmp_path: Path, tiny_pack_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """./tiny in a recipe file is written down as the folder it means here."""
    monkeypatch.chdir(tiny_pack_folder.parent)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('base = "./tiny"\n[[stage]]\nkind = "detail"\nnum_steps = 1\n')
    pictures = draw(tmp_path / "in", "a.png", "b.png")
    brand = new(tmp_path / "kuro", pictures=pictures, recipe=str(recipe))
    assert Recipe.load(brand / "recipe.toml").base == str(tiny_pack_folder.resolve())


def test_a_way_through_no_folder_leads_where_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """not/../k is k, as a shell has it, and nothing is copied in vain."""
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "in", "0.png", "1.png")
    assert new("not/../k", pictures="in", subject="fox") == Path("k")
    assert Dataset.load("k/dataset").assets
