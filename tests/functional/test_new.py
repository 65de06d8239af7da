"""A folder of pictures, some of them bad, becomes a brand's folder, whole or not at all."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from bad_pictures import bomb_png, half_red_half_blue, truncated
from brand_folder import draw_picture
from PIL import Image

from onbrand import pixels
from onbrand.artifacts import Dataset
from onbrand.brief import Brief
from onbrand.curation import curate, lookalike_pictures, make_brand
from onbrand.errors import (
    BriefError,
    DatasetError,
    InputError,
    OnbrandError,
    RecipeError,
    StorageError,
)
from onbrand.events import Advanced, Event, Finished, Noted, Skipped, Warned
from onbrand.judging import folder_gallery
from onbrand.recipe import Recipe
from onbrand.road import new
from onbrand.road.places import place_of

GOPHER = Path(__file__).resolve().parents[3] / "shared" / "data" / "gopher"


def draw(folder: Path, num: int = 10, *, first: int = 0, cut_out: bool = False) -> Path:
    folder.mkdir(parents=True)
    for i in range(num):
        draw_picture(first + i, size_px=64, cut_out=cut_out).save(folder / f"{i:02d}.png")
        (folder / f"{i:02d}.txt").write_text(f"an orange creature standing on spot {i}\n")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder and its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_brand_folder_has_all_its_parts(tmp_path: Path) -> None:
    """brief, recipe, pictures with captions, look-alikes and a frozen dataset are made."""
    folder = make_brand(
        tmp_path / "kuro",
        pictures=draw(tmp_path / "in"),
        lookalikes=draw(tmp_path / "rivals", 2, first=50),
        recipe="demo",
    )
    assert sorted(os.listdir(folder)) == [
        "brief.toml",
        "dataset",
        "lookalikes",
        "pictures",
        "recipe.toml",
    ]
    brief = Brief.load(folder)
    assert (brief.name, brief.trigger, brief.subject) == ("kuro", "kuro", "orange creature")
    assert brief.palette
    assert len(brief.prompts) >= 8
    assert Recipe.load(folder) == Recipe.load("demo")
    assert (folder / "recipe.toml").read_text().count("#") > 20
    dataset = Dataset.load(folder / "dataset")
    assert (len(dataset.train), len(dataset.held_out)) == (8, 2)
    assert (folder / "pictures" / "03.txt").read_text() == "an orange creature standing on spot 3\n"
    assert [name for name, _ in lookalike_pictures(folder / "lookalikes")] == ["00", "01"]
    assert sorted(os.listdir(tmp_path)) == ["in", "kuro", "rivals"]


def test_options_and_a_brief_to_begin_from(tmp_path: Path) -> None:
    """Words on the command line win over the given brief, and that over guesses."""
    begun = Brief(name="Kuro", subject="fox", palette=["#112233"], prompts=["waving"])
    begun.save(tmp_path / "brief.toml")
    base = tmp_path / "models" / "mine"
    base.mkdir(parents=True)
    folder = make_brand(
        tmp_path / "demo",
        pictures=draw(tmp_path / "in"),
        brief=tmp_path / "brief.toml",
        subject="red fox",
        base=str(base),
    )
    brief = Brief.load(folder)
    assert (brief.name, brief.subject, brief.trigger) == ("Kuro", "red fox", "kuro")
    assert (brief.palette, brief.prompts) == (["#112233"], ["waving"])
    assert Recipe.load(folder).base == str(base)
    assert "# the model to start from" in (folder / "recipe.toml").read_text()


def test_curating_the_folder_again_gives_the_same_dataset(tmp_path: Path) -> None:
    """The pictures in the new folder are what was frozen: train finds nothing changed."""
    folder = make_brand(tmp_path / "kuro", pictures=draw(tmp_path / "in", cut_out=True))
    frozen = Dataset.load(folder / "dataset")
    again = curate(folder / "pictures", Brief.load(folder), folder / "dataset")
    assert again.fingerprint == frozen.fingerprint
    assert all(asset.has_alpha for asset in again.assets)


def test_bad_pictures_become_listed_skips(tmp_path: Path) -> None:
    """Every bad picture of the list is skipped with its reason, and the good ones are kept."""
    folder = draw(tmp_path / "in", 6)
    good = draw_picture(77, size_px=64)
    (folder / "empty.png").touch()
    truncated(folder / "cut.png", good)
    truncated(folder / "cut.jpg", good, "JPEG")
    bomb_png(folder / "bomb.png")
    good.save(folder / "moving.gif", save_all=True, append_images=[half_red_half_blue(64, 64)])
    (folder / "words.png").write_text("no picture")
    (folder / "photo.heic").write_bytes(b"ftypheic")
    Image.new("RGBA", (64, 64)).save(folder / "clear.png")
    Image.new("RGB", (64, 2)).save(folder / "thin.png")
    draw_picture(3, size_px=64).save(folder / "twice.bmp")
    good.convert("CMYK").save(folder / "print.jpg")
    draw_picture(78, size_px=64).convert("RGB").save(folder / "browser.jfif", "JPEG")
    good.save(folder / "nameless", "PNG")
    (folder / "words.doc").write_text("no picture either")
    heard: list[Event] = []
    brand = make_brand(tmp_path / "kuro", pictures=folder, subject="creature", emit=heard.append)
    dataset = Dataset.load(brand / "dataset")
    reasons = {skip.path: skip.reason for skip in dataset.skipped}
    assert {e.path: e.reason for e in heard if isinstance(e, Skipped)} == reasons
    for name, says in {
        "empty.png": "empty",
        "cut.png": "cut short",
        "cut.jpg": "cut short",
        "bomb.png": "1,600 million",
        "moving.gif": "animated (2 frames)",
        "words.png": "no picture",
        "photo.heic": "export it",
        "nameless": "give it an ending",
        "clear.png": "transparent",
        "thin.png": "64 × 2",
        "twice.bmp": "same picture as 03.png",
    }.items():
        assert says in reasons.pop(name)
    assert not reasons
    assert {asset.source for asset in dataset.assets} == {
        *(f"{i:02d}.png" for i in range(6)),
        "browser.png",
        "print.png",
    }
    again = curate(brand / "pictures", Brief.load(brand), brand / "dataset")
    assert list(again.skipped) == list(dataset.skipped), "training freezes anew, and forgets none"


def test_pictures_are_made_safe(tmp_path: Path) -> None:
    """What the folder keeps is a plain PNG: upright, without EXIF, place or thumbnail."""
    folder = draw(tmp_path / "in", 5)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "where I live"
    half_red_half_blue(80, 40).save(folder / "photo.jpg", exif=exif)
    brand = make_brand(tmp_path / "kuro", pictures=folder)
    with Image.open(brand / "pictures" / "photo.png") as image:
        assert (image.size, dict(image.getexif()), image.info) == ((40, 80), {}, {})


def test_pictures_of_one_name_are_both_kept(tmp_path: Path) -> None:
    """a/1.png and b/1.png become 1.png and 1-2.png, each with its caption."""
    one, two = draw(tmp_path / "a", 3), draw(tmp_path / "b", 3, first=30)
    brand = make_brand(tmp_path / "kuro", pictures=[one, two])
    names = sorted(file.name for file in (brand / "pictures").glob("*.png"))
    assert names == ["00-2.png", "00.png", "01-2.png", "01.png", "02-2.png", "02.png"]
    assert (brand / "pictures" / "00-2.txt").is_file()


def test_lookalikes_inside_the_pictures_are_kept_apart(tmp_path: Path) -> None:
    """-p all/ -l all/variants/ trains on no variant, nor on a copy of one."""
    folder = draw(tmp_path / "all", 6)
    variants = draw(folder / "variants", 2, first=40)
    pixels.read(variants / "00.png").save(folder / "copy.png")
    brand = make_brand(tmp_path / "kuro", pictures=folder, lookalikes=variants)
    dataset = Dataset.load(brand / "dataset")
    assert {asset.source for asset in dataset.assets} == {f"{i:02d}.png" for i in range(6)}
    assert [skip.path for skip in dataset.skipped] == ["copy.png"]
    assert len(lookalike_pictures(brand / "lookalikes")) == 2


def test_lookalikes_of_several_folders_stay_who_they_are(tmp_path: Path) -> None:
    """red/00 and blue/00 are two identities of two pictures each, copied by `new` or put there by
    hand."""
    folder = draw(tmp_path / "all", 6)
    rivals = [draw(tmp_path / name, 2, first=k) for name, k in (("red", 40), ("blue", 50))]
    brand = make_brand(tmp_path / "kuro", pictures=folder, lookalikes=rivals)
    names = [name for name, _ in lookalike_pictures(brand / "lookalikes")]
    assert sorted(names) == ["blue-00", "blue-01", "red-00", "red-01"]
    for rival in rivals:
        shutil.copytree(rival, tmp_path / "hand" / rival.name)
    assert sorted(name for name, _ in lookalike_pictures(tmp_path / "hand")) == sorted(names)
    gallery = folder_gallery(lookalike_pictures(brand / "lookalikes"), num_others=1, size_px=16)
    assert [len(pictures) for pictures in gallery.pictures[:2]] == [2, 2]


def test_an_existing_folder_is_never_touched(tmp_path: Path) -> None:
    """A brand, and any folder with something in it, is refused and stays byte for byte."""
    brand = make_brand(tmp_path / "kuro", pictures=draw(tmp_path / "in"))
    before = tree(brand)
    with pytest.raises(InputError, match="is a brand already, and stays as it is"):
        make_brand(brand, pictures=tmp_path / "in")
    assert tree(brand) == before
    with pytest.raises(InputError, match="exists already and is not empty"):
        make_brand(tmp_path / "in", pictures=tmp_path / "in")
    (tmp_path / "empty").mkdir()
    assert make_brand(tmp_path / "empty", pictures=tmp_path / "in").name == "empty"
    with pytest.raises(InputError, match="too long for a folder's name"):
        make_brand(tmp_path / ("k" * 300), pictures=tmp_path / "in")


def test_the_folder_one_stands_in_is_no_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`onbrand new .` in an empty folder asks for a name: a shell's own folder is not replaced."""
    pictures = draw(tmp_path / "in", 3)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in (".", ".."):
        with pytest.raises(InputError, match="write  onbrand new NAME"):
            make_brand(name, pictures=pictures)
    assert os.listdir(tmp_path / "here") == []


def test_folders_above_are_not_left_behind(tmp_path: Path) -> None:
    """new deep/er/k that fails leaves no deep/; one that works makes it."""
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "a.png").touch()
    with pytest.raises(DatasetError):
        make_brand(tmp_path / "deep" / "er" / "k", pictures=bad)
    assert os.listdir(tmp_path) == ["bad"]
    assert make_brand(tmp_path / "deep" / "er" / "k", pictures=draw(tmp_path / "in")).is_dir()


def test_a_pack_is_not_a_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--base pocket means the built-in pack, whatever lies beside."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pocket").mkdir()
    pictures = draw(tmp_path / "in", 3)
    assert Recipe.load(new(tmp_path / "kuro", pictures=pictures, base="pocket")).base == "pocket"
    (tmp_path / "pocket" / "model_index.json").write_text("{}")
    assert place_of("pocket") == "pocket"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"recipe": "demmo"}, RecipeError),
        ({"brief": Path("gone.toml")}, BriefError),
        ({"subject": "red kuro", "trigger": "kuro"}, BriefError),
        ({"lookalikes": "gone"}, DatasetError),
        ({"pictures": "gone"}, DatasetError),
    ],
)
def test_wrong_words_are_told_before_anything_is_made(
    tmp_path: Path, wrong: dict[str, object], error: type[OnbrandError]
) -> None:
    """A wrong option is one line, and nothing is left behind."""
    asked: dict[str, object] = {"pictures": draw(tmp_path / "in"), **wrong}
    with pytest.raises(error) as raised:
        make_brand(tmp_path / "kuro", **asked)
    assert "\n" not in str(raised.value)
    assert os.listdir(tmp_path) == ["in"]


def test_no_usable_picture_is_one_line_and_nothing_is_made(tmp_path: Path) -> None:
    """A folder of bad pictures, or of none, says where it looked and what it skipped."""
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "a.png").touch()
    with pytest.raises(DatasetError, match=r"bad \(looked at 1 file .*a\.png: is empty"):
        make_brand(tmp_path / "kuro", pictures=bad)
    (bad / "a.png").rename(bad / "a.md")
    with pytest.raises(DatasetError, match=r"no picture in .*bad \(looked at 1 file in 1 folder"):
        make_brand(tmp_path / "kuro", pictures=bad)
    good = draw(tmp_path / "good")
    with pytest.raises(DatasetError, match="look-alikes: name other places"):
        make_brand(tmp_path / "kuro", pictures=good, lookalikes=good)
    assert sorted(os.listdir(tmp_path)) == ["bad", "good"]


def test_a_full_disk_leaves_nothing_half_made(tmp_path: Path) -> None:
    """When the disk takes no more, the error says so, and no folder is left."""
    folder = draw(tmp_path / "in", 3)
    noise = np.random.default_rng(7).integers(0, 255, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(folder / "large.png")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"no space left to write .*large\.png"):
            make_brand(tmp_path / "kuro", pictures=folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    assert os.listdir(tmp_path) == ["in"]


@pytest.mark.parametrize("task", ["copying pictures", "freezing the dataset"])
def test_ctrl_c_leaves_nothing_half_made(tmp_path: Path, task: str) -> None:
    """Stopped while copying or freezing, new leaves no folder; the next run makes it."""
    folder = draw(tmp_path / "in")

    def stop(event: Event) -> None:
        if isinstance(event, Advanced) and event.task == task and event.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_brand(tmp_path / "kuro", pictures=folder, emit=stop)
    assert os.listdir(tmp_path) == ["in"]
    assert make_brand(tmp_path / "kuro", pictures=folder).is_dir()


def test_it_says_what_it_guessed(tmp_path: Path) -> None:
    """A guessed subject is noted, an unknown one warns; every task that starts is finished."""
    heard: list[Event] = []
    folder = draw(tmp_path / "in")
    make_brand(tmp_path / "a", pictures=folder, emit=heard.append)
    assert any(isinstance(e, Noted) and "'orange creature'" in e.message for e in heard)
    for file in folder.glob("*.txt"):
        file.unlink()
    make_brand(tmp_path / "b", pictures=folder, emit=heard.append)
    assert any(isinstance(e, Warned) and "what is it?" in e.message for e in heard)
    assert Brief.load(tmp_path / "b").subject == "mascot"
    started = [e.task for e in heard if type(e).__name__ == "Started"]
    assert started == [e.task for e in heard if isinstance(e, Finished)]


@pytest.mark.skipif(not GOPHER.is_dir(), reason=f"no folder {GOPHER}")
def test_the_real_gopher(tmp_path: Path) -> None:
    """The gopher's 54 pictures are learned from or held out, its six colour variants kept apart."""
    named = ["05", "11", "18", "28", "37", "43", "47", "50", "62", "68", "70", "74"]
    Brief(name="gopher", subject="blue gopher", held_out=named).save(tmp_path / "brief.toml")
    heard: list[Event] = []
    brand = make_brand(
        tmp_path / "gopher", pictures=GOPHER, brief=tmp_path / "brief.toml", emit=heard.append
    )
    dataset = Dataset.load(brand / "dataset")
    assert (len(dataset.train), len(dataset.held_out), len(dataset.skipped)) == (42, 12, 0)
    assert not any(isinstance(event, Warned | Skipped) for event in heard)
    variants = {"01", "16", "23", "30", "40", "41"}
    assert {name for name, _ in lookalike_pictures(brand / "lookalikes")} == variants
    assert not {asset.source.removesuffix(".png") for asset in dataset.assets} & variants
    assert any(isinstance(event, Noted) and "6 look-alikes" in event.message for event in heard)
    assert all(asset.has_alpha and asset.caption for asset in dataset.assets)
    assert dataset.coverage["expression"]["laughing"] > 5
    assert dataset.coverage["near_duplicates"] == []
    mask = dataset.alpha(dataset.train[0])
    assert mask is not None
    assert np.asarray(dataset.open(dataset.train[0]))[mask == 0].min() == 255
    brief = Brief.load(brand)
    assert brief.trigger == "gphr"
    assert any(int(c[5:7], 16) > 180 and int(c[1:3], 16) < 140 for c in brief.palette), "no blue"
