"""Freezing: keys, duplicates, splits, and a dataset that is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from brand_folder import draw_picture
from PIL import Image

from onbrand import pixels
from onbrand.artifacts import Dataset, Skip
from onbrand.brief import Brief
from onbrand.curation import curate
from onbrand.curation.freeze import gets_bars, keep_left_behind
from onbrand.curation.looks import is_near, look_of
from onbrand.curation.split import split_of
from onbrand.errors import DatasetError
from onbrand.events import Event, Skipped, Warned

BRIEF = Brief(name="Kuro", subject="fox")


def draw(folder: Path, num: int = 10) -> Path:
    folder.mkdir(parents=True)
    for i in range(num):
        draw_picture(i, size_px=64).save(folder / f"{i}.png")
    return folder


def test_keys_are_hashes_of_pixels(tmp_path: Path) -> None:
    """Every picture lies in the dataset under the hash of its pixels, and reads back the same."""
    dataset = curate(draw(tmp_path / "in"), BRIEF, tmp_path / "out")
    for asset in dataset.assets:
        original = pixels.read(tmp_path / "in" / asset.source)
        assert asset.key == pixels.fingerprint(original)
        assert np.array_equal(dataset.open(asset), original)
    assert Dataset.load(tmp_path / "out") == dataset


def test_freezing_again_changes_nothing(tmp_path: Path) -> None:
    """The same pictures give the same dataset; a changed one gets a new key, its old file goes."""
    folder = draw(tmp_path / "in")
    first = curate(folder, BRIEF, tmp_path / "out")
    assert curate(folder, BRIEF, tmp_path / "out").fingerprint == first.fingerprint
    draw_picture(99, size_px=64).save(folder / "3.png")
    second = curate(folder, BRIEF, tmp_path / "out")
    assert second.fingerprint != first.fingerprint
    kept = {file.stem for file in (tmp_path / "out" / "pictures").iterdir()}
    assert kept == {asset.key for asset in second.assets}


def test_exact_duplicates_are_skipped_and_near_ones_listed(tmp_path: Path) -> None:
    """A copy in another format is left out by name; a re-saved JPEG is listed and trained on."""
    folder = draw(tmp_path / "in")
    pixels.read(folder / "2.png").save(folder / "copy.bmp")
    pixels.read(folder / "4.png").save(folder / "resaved.jpg", quality=90)
    heard: list[Event] = []
    dataset = curate(folder, BRIEF, tmp_path / "out", emit=heard.append)
    assert [(s.path, s.reason) for s in dataset.skipped] == [
        ("copy.bmp", "is the same picture as 2.png")
    ]
    assert Skipped("copy.bmp", "is the same picture as 2.png") in heard
    assert dataset.coverage["near_duplicates"] == [["4.png", "resaved.jpg"]]
    held = {asset.source for asset in dataset.held_out}
    assert not held & {"4.png", "resaved.jpg"}


def test_looks_tell_pictures_apart() -> None:
    """A scaled or slightly brighter copy is near; another scene is not, nor a changed colour."""
    image = draw_picture(1, size_px=64)
    assert is_near(look_of(image), look_of(image.resize((200, 200))))
    assert is_near(look_of(image), look_of(image.point(lambda v: min(255, v + 2))))
    assert not is_near(look_of(image), look_of(draw_picture(2, size_px=64)))
    red, green, blue = image.split()
    assert not is_near(look_of(image), look_of(Image.merge("RGB", (blue, green, red))))


def test_about_every_fifth_is_held_out() -> None:
    """Without names every fifth picture is held out, at least two of four or more, never all."""
    for num, held in [(1, 0), (2, 1), (3, 1), (4, 2), (9, 2), (10, 2), (25, 5), (54, 10)]:
        splits = split_of([f"{i}.png" for i in range(num)], [], [], lambda event: None)
        assert splits.count("held_out") == held, num


def test_added_pictures_do_not_move_the_split() -> None:
    """What is held out of ten pictures is still held out when five more come behind them."""
    ten, fifteen = (
        split_of([str(i) for i in range(n)], [], [], lambda event: None) for n in (10, 15)
    )
    assert fifteen[:10] == ten


def test_held_out_by_name(tmp_path: Path) -> None:
    """The brief's patterns name files, with or without ending; a name without a picture warns."""
    heard: list[Event] = []
    names = ["1.png", "2.png", "side-1.png", "side-2.png"]
    splits = split_of(names, [(0, 1)], ["side-*", "2", "3.png"], heard.append)
    assert splits == ["train", "held_out", "held_out", "held_out"]
    said = [event.message for event in heard if isinstance(event, Warned)]
    assert any("no picture is called '3.png'" in message for message in said)
    assert any("2.png is held out, but 1.png" in message for message in said)


def test_held_out_by_the_name_it_had_in_another_format() -> None:
    """`onbrand new` keeps copies as PNG; a brief that names the JPEG means them. Where the ending
    is there, too, it alone is meant; patterns that mean nothing at all are refused."""
    copied = split_of(["1.png", "2.png"], [], ["2.jpg"], lambda event: None)
    assert copied == ["train", "held_out"]
    both = split_of(["2.jpg", "2.png", "3.png"], [], ["2.jpg"], lambda event: None)
    assert both == ["held_out", "train", "train"]
    with pytest.raises(DatasetError, match="names none of the 2 pictures"):
        split_of(["1.png", "2.png"], [], ["7.jpg"], lambda event: None)


def test_a_damaged_picture_of_the_dataset_is_written_again(tmp_path: Path) -> None:
    """Its name is its content's: what does not hold that content is no such picture."""
    folder = draw(tmp_path / "in")
    dataset = curate(folder, BRIEF, tmp_path / "out")
    hurt, whole = dataset.path(dataset.assets[0]), dataset.path(dataset.assets[1])
    before, untouched = hurt.read_bytes(), whole.stat().st_mtime_ns
    hurt.write_bytes(b"junk")
    curate(folder, BRIEF, tmp_path / "out")
    assert hurt.read_bytes() == before
    assert whole.stat().st_mtime_ns == untouched


def test_holding_everything_out_is_refused(tmp_path: Path) -> None:
    """held_out = ["*"] leaves nothing to learn from, and is told so."""
    brief = BRIEF.model_copy(update={"held_out": ["*"]})
    with pytest.raises(DatasetError, match="keeps all 10 pictures from training"):
        curate(draw(tmp_path / "in"), brief, tmp_path / "out")


def test_few_pictures_warn(tmp_path: Path) -> None:
    """Fewer than five pictures are taken, with a warning."""
    heard: list[Event] = []
    dataset = curate(draw(tmp_path / "in", 4), BRIEF, tmp_path / "out", emit=heard.append)
    assert len(dataset.assets) == 4
    assert any(isinstance(e, Warned) and "only 4 pictures" in e.message for e in heard)


def test_a_curation_that_fails_leaves_the_old_dataset(tmp_path: Path) -> None:
    """When every picture has become unreadable the dataset that was there stays whole."""
    folder = draw(tmp_path / "in")
    before = curate(folder, BRIEF, tmp_path / "out")
    for file in folder.iterdir():
        file.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"no usable picture.*0\.png: is empty.*and 5 more"):
        curate(folder, BRIEF, tmp_path / "out")
    after = Dataset.load(tmp_path / "out")
    assert after == before
    assert all(after.path(asset).is_file() for asset in after.assets)


def test_lookalikes_are_never_trained_on(tmp_path: Path) -> None:
    """A picture that lies among the look-alikes too is left out, whatever its name and format."""
    folder = draw(tmp_path / "in")
    (tmp_path / "lookalikes").mkdir()
    pixels.read(folder / "5.png").save(tmp_path / "lookalikes" / "other.bmp")
    dataset = curate(folder, BRIEF, tmp_path / "out", lookalikes=tmp_path / "lookalikes")
    assert [(s.path, s.reason) for s in dataset.skipped] == [
        ("5.png", "is the same picture as the look-alike other.bmp")
    ]


def warnings_of(pictures: Path, brief: Brief, out: Path, lookalikes: Path | None = None) -> str:
    """What curation warned of."""
    heard: list[Event] = []
    curate(pictures, brief, out, lookalikes=lookalikes, emit=heard.append)
    return " ".join(event.message for event in heard if isinstance(event, Warned))


def test_a_near_lookalike_is_warned_of_where_its_like_is_trained_on(tmp_path: Path) -> None:
    """Not of one that is held out, nor of two that are alike among the brand's own."""
    folder, others = draw(tmp_path / "in"), tmp_path / "lookalikes"
    others.mkdir()
    pixels.read(folder / "5.png").save(others / "other.jpg", quality=90)
    brief = BRIEF.model_copy(update={"held_out": ["2.png"]})
    said = warnings_of(folder, brief, tmp_path / "one", others)
    assert "1 look-alike (such as other.jpg) are hardly to be told" in said
    held = BRIEF.model_copy(update={"held_out": ["5.png"]})
    assert "hardly to be told" not in warnings_of(folder, held, tmp_path / "two", others)
    draw_picture(99, size_px=64).save(others / "other.jpg")
    pixels.read(folder / "3.png").save(folder / "3 again.jpg", quality=90)
    assert "hardly to be told" not in warnings_of(folder, brief, tmp_path / "three", others)


@pytest.mark.parametrize(("num", "few"), [(4, True), (5, False)])
def test_five_pictures_are_not_few(tmp_path: Path, num: int, few: bool) -> None:
    """Four are."""
    said = warnings_of(draw(tmp_path / "in", num), BRIEF, tmp_path / "out")
    assert ("expect little" in said) is few


def test_what_was_left_behind_stays_listed(tmp_path: Path) -> None:
    """Files that `new` did not copy are told of by every later freeze, before its own skips."""
    folder = draw(tmp_path / "in")
    (folder / "broken.png").write_bytes(b"no picture")
    keep_left_behind(tmp_path / "out", [Skip("raw.heic", "is not read")])
    for _ in range(2):
        dataset = curate(folder, BRIEF, tmp_path / "out")
        assert [skip.path for skip in dataset.skipped] == ["raw.heic", "broken.png"]


def test_a_cut_out_is_known_as_one(tmp_path: Path) -> None:
    """Backdrops are laid behind it, and behind no other."""
    folder = draw(tmp_path / "in")
    draw_picture(11, size_px=64, cut_out=True).save(folder / "cut.png")
    dataset = curate(folder, BRIEF, tmp_path / "out")
    assert [asset.source for asset in dataset.assets if asset.has_alpha] == ["cut.png"]


def stripes(width: int, height: int) -> Image.Image:
    """Broad stripes of two colours: something at every side."""
    rows, columns = np.mgrid[:height, :width]
    light = ((rows // 8 + columns // 8) % 2 * 200).astype(np.uint8)
    return Image.fromarray(np.dstack([light] * 3))


def banded(width: int, height: int) -> Image.Image:
    """White along its longer sides, and busy along the shorter ones."""
    picture = Image.new("RGB", (width, height), "white")
    across = (12, 0, width - 12, height) if height > width else (0, 12, width, height - 12)
    picture.paste(stripes(width, height).crop(across), across[:2])
    return picture


@pytest.mark.parametrize(
    ("image", "barred"),
    [
        (stripes(48, 64), True),
        (stripes(64, 48), True),
        (stripes(64, 64), False),
        (stripes(62, 64), False),
        (Image.new("RGB", (48, 64), "white"), False),
        (Image.new("RGBA", (48, 64), (255, 0, 0, 128)), False),
        (stripes(48, 64).convert("RGBA"), False),
        (banded(48, 64), False),
        (banded(64, 48), False),
        (banded(48, 64).resize((64, 48)), True),
        (banded(64, 48).resize((48, 64)), True),
    ],
)
def test_which_pictures_get_bars(image: Image.Image, barred: bool) -> None:
    """Oblong ones with something at the sides that are filled up; no cut-out, no plain ground."""
    assert gets_bars(image) is barred


def test_bars_are_warned_of(tmp_path: Path) -> None:
    """Once, with how many and which."""
    folder = draw(tmp_path / "in")
    stripes(48, 64).save(folder / "portrait.png")
    heard: list[Event] = []
    curate(folder, BRIEF, tmp_path / "out", emit=heard.append)
    (said,) = [e.message for e in heard if isinstance(e, Warned) and "bars" in e.message]
    assert said.startswith("1 of 11 pictures are not square")
    assert "portrait.png" in said
