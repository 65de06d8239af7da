"""An identity from a few pictures: made, shown, compared, and followed without training."""

from __future__ import annotations

import math
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from brand_folder import cut_off_cut_out, draw_picture
from PIL import Image
from tiny import add_controlnet

import onbrand as ob
from onbrand import pixels
from onbrand.app.cli import main
from onbrand.errors import ArtifactError, InputError, PictureError, PromptError, StorageError
from onbrand.events import Event, Noted, Skipped, Warned
from onbrand.models import open_pack


@pytest.fixture(scope="module")
def base(following_pack_folder: Path) -> Path:
    return following_pack_folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for k in range(3):
        draw_picture(k).save(root / f"{k}.png")
    (root / "broken.png").write_bytes(b"no picture")
    return root


@pytest.fixture(scope="module")
def brand(base: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A brand that is never trained."""
    root = tmp_path_factory.mktemp("brands") / "kuro"
    return ob.new(
        root, pictures=[photos / "0.png", photos / "1.png"], subject="fox", base=str(base)
    )


@pytest.fixture(scope="module")
def identity(base: Path, photos: Path, brand: Path) -> ob.Identity:
    return ob.make_identity(brand / "identity", photos, base=str(base))


def test_an_identity_is_the_mean_of_its_pictures(
    identity: ob.Identity, base: Path, photos: Path, tmp_path: Path
) -> None:
    """Unit vectors; what is broken is told and left out; loading gives what was saved."""
    assert [p.source for p in identity.pictures] == ["0.png", "1.png", "2.png"]
    assert np.linalg.norm(identity.who) == pytest.approx(1, abs=1e-5)
    mean = identity.each.mean(0)
    np.testing.assert_allclose(identity.who, mean / np.linalg.norm(mean), atol=1e-5)
    again = ob.Identity.load(identity.root)
    assert np.array_equal(again.who, identity.who)
    assert again.pictures == identity.pictures
    events: list[Event] = []
    one = ob.make_identity(tmp_path / "one", photos / "0.png", base=str(base))
    assert one.pictures[0].cosine is None
    ob.make_identity(tmp_path / "all", photos, base=str(base), emit=events.append)
    assert [Path(e.path).name for e in events if isinstance(e, Skipped)] == ["broken.png"]


def test_a_stopped_identity_is_made_again(
    base: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after its first picture the folder is taken up again; made anew from fewer pictures
    it keeps no others; hidden files are no pictures, and AVIF is one."""
    real, calls = pixels.write_png, 0

    def interrupted(image: Image.Image, path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        real(image, path)

    with monkeypatch.context() as patch:
        patch.setattr(pixels, "write_png", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ob.make_identity(tmp_path / "k", photos, base=str(base))
    with pytest.raises(ArtifactError):
        ob.Identity.load(tmp_path / "k")
    assert len(ob.make_identity(tmp_path / "k", photos, base=str(base)).pictures) == 3
    draw_picture(5).save(tmp_path / "._5.png")
    draw_picture(6).save(tmp_path / "6.avif")
    (one,) = ob.make_identity(tmp_path / "k", tmp_path, base=str(base)).pictures
    assert one.source == "6.avif"
    assert [p.stem for p in (tmp_path / "k" / "pictures").iterdir()] == [one.key]


def test_an_identity_that_cannot_be_replaced_stays(
    base: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk or after Ctrl-C the one that was there is kept, with its description."""
    settings = {"base": str(base), "description": "a red penguin"}
    first = ob.make_identity(tmp_path / "who", photos / "0.png", **settings)

    for end in (StorageError, KeyboardInterrupt):

        def ended(self: ob.Identity, end: type[BaseException] = end) -> None:
            raise end

        with monkeypatch.context() as patched:
            patched.setattr(ob.Identity, "save", ended)
            with pytest.raises(end):
                ob.make_identity(tmp_path / "who", photos / "1.png", base=str(base))
        kept = ob.Identity.load(tmp_path / "who")
        assert (kept.description, kept.who.tolist()) == ("a red penguin", first.who.tolist())


def test_a_cut_out_is_read_on_white(base: Path, tmp_path: Path) -> None:
    """As training shows it, whatever its border is; the same as its square made by hand."""
    cut_off_cut_out().save(tmp_path / "a.png")
    pixels.square(cut_off_cut_out(), open_pack(str(base)).num_px).save(tmp_path / "b.png")
    one, two = (ob.make_identity(tmp_path / k, tmp_path / f"{k}.png", base=str(base)) for k in "ab")
    np.testing.assert_array_equal(one.who, two.who)


def test_words_that_cannot_be_kept_are_refused(base: Path, photos: Path, tmp_path: Path) -> None:
    """What is no UTF-8, and braces in a prompt: before anything is written, and the identity that
    was there stays."""
    settings = {"pictures": photos / "0.png", "base": str(base)}
    ob.make_identity(tmp_path / "k", **settings)
    with pytest.raises(PromptError, match="is no text in UTF-8"):
        ob.make_identity(tmp_path / "k", description="a \udcff cat", **settings)
    with pytest.raises(InputError, match="is no text in UTF-8"):
        ob.make_identity(tmp_path / "k", name="a \udcff", **settings)
    with pytest.raises(PromptError, match="without braces"):
        ob.make_identity(tmp_path / "k", description="a {subject} cat", **settings)
    assert ob.Identity.load(tmp_path / "k").name == "k"
    with pytest.raises(InputError, match="is no text in UTF-8"):
        ob.make_identity(tmp_path / "fresh", name="a \udcff", **settings)
    assert not (tmp_path / "fresh").exists()


def test_the_current_folder_gives_its_name(
    base: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "." is called as the folder is."""
    (tmp_path / "mika").mkdir()
    monkeypatch.chdir(tmp_path / "mika")
    assert ob.make_identity(".", photos / "0.png", base=str(base)).name == "mika"


def test_replacing_an_identity_is_told(base: Path, photos: Path, tmp_path: Path) -> None:
    """Other pictures in its place are noted with the number that goes, the same ones are not; what
    a killed call left behind is no part of the identity."""
    told: list[str] = []

    def make(*names: str) -> None:
        def listen(event: Event) -> None:
            if isinstance(event, Noted):
                told.append(event.message)

        paths = [photos / name for name in names]
        ob.make_identity(tmp_path / "k", paths, base=str(base), emit=listen)

    make("0.png", "1.png")
    make("0.png", "1.png")
    assert told == []
    make("2.png")
    assert told == [f"replaces the identity in {tmp_path / 'k'}, of 2 pictures"]
    draw_picture(9).save(tmp_path / "k" / "pictures" / f"{'0' * 16}.png")  # a killed call left it
    make("2.png")
    assert len(told) == 1


def test_a_picture_counts_once(base: Path, photos: Path, tmp_path: Path) -> None:
    """The same file under another name is skipped, and does not weigh twice in the mean."""
    first = sorted(photos.iterdir())[0]
    shutil.copy(first, tmp_path / "again.png")
    told: list[Event] = []
    made = ob.make_identity(
        tmp_path / "out", [first, tmp_path / "again.png"], base=str(base), emit=told.append
    )
    assert len(made.pictures) == 1
    assert any(isinstance(e, Skipped) and "is the same picture as" in e.reason for e in told)


def test_comparing_needs_one_encoder(identity: ob.Identity, photos: Path, tmp_path: Path) -> None:
    """An identity equals itself; one of another encoder is refused with both names."""
    assert ob.compare_identities(identity, identity).whole == pytest.approx(1, abs=1e-5)
    other = ob.make_identity(tmp_path / "other", photos)  # the built-in pack's encoder
    with pytest.raises(InputError, match="different encoders"):
        ob.compare_identities(identity, other)


def test_a_brand_without_training_is_drawn_from_its_identity(
    identity: ob.Identity, brand: Path, base: Path, tmp_path: Path
) -> None:
    """generate works before train, and another character gives another picture."""
    settings = {"num_per_prompt": 1, "num_steps": 2}
    with pytest.raises(InputError, match="no trained model"):
        ob.generate("waving", brand, **settings)
    first = ob.generate("waving", brand, identities=[identity.root], **settings)
    draw_picture(77, size_px=24).save(tmp_path / "other.png")
    other = ob.make_identity(tmp_path / "other", tmp_path / "other.png", base=str(base))
    second = ob.generate("waving", brand, identities=[other.root], **settings)
    assert first.parents["identity"] != second.parents["identity"]
    assert np.abs(np.asarray(first.open(0), int) - np.asarray(second.open(0), int)).max() > 0
    again = ob.generate("waving", brand, identities=str(identity.root), **settings)
    assert first.path(0).read_bytes() == again.path(0).read_bytes()
    both = ob.generate("waving", brand, identities=[identity.root, other.root], **settings)
    assert len(both) == 1


def test_the_command_line_makes_shows_and_compares(
    identity: ob.Identity,
    photos: Path,
    base: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each verb prints what it found; a folder that is none is one line and exit code 1."""
    with pytest.raises(SystemExit) as left:
        main(["identity", "make", str(tmp_path / "k"), str(photos), "--base", str(base)])
    assert left.value.code == 0
    assert "3 pictures" in capsys.readouterr().err
    name = "k[/]x"
    ob.make_identity(tmp_path / "x", photos, name=name, base=str(base))
    for words in (
        ["show", str(tmp_path / "x")],
        ["compare", str(tmp_path / "x"), str(identity.root)],
    ):
        with pytest.raises(SystemExit) as left:
            main(["identity", *words])
        assert left.value.code == 0
    said = "".join(capsys.readouterr().out.split())  # a narrow table wraps its title
    assert "1.00" in said
    assert f"{name},forthebase" in said
    assert f"{name}and{identity.name}" in said
    with pytest.raises(SystemExit) as left:
        main(["identity", "show", str(photos)])
    assert left.value.code == ArtifactError.exit_code


def test_signs_that_a_pipe_does_not_know_stop_nothing(
    base: Path, photos: Path, tmp_path: Path
) -> None:
    """To ASCII the dash of a single picture's cosine is a question mark."""
    ob.make_identity(tmp_path / "one", photos / "0.png", base=str(base))
    done = subprocess.run(
        [sys.executable, "-m", "onbrand", "identity", "show", tmp_path / "one"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "?" in done.stdout


def test_bad_input_is_refused(
    identity: ob.Identity, brand: Path, base: Path, photos: Path, tmp_path: Path
) -> None:
    """No usable picture, a folder with other things, an identity of another base, too few masks."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no usable picture"):
        ob.make_identity(tmp_path / "x", tmp_path / "empty", base=str(base))
    with pytest.raises(InputError, match="holds no identity"):
        ob.make_identity(photos, photos / "0.png", base=str(base))
    with pytest.raises(InputError, match="is a file"):
        ob.make_identity(photos / "1.png", photos / "0.png", base=str(base))
    other = ob.make_identity(tmp_path / "pocket", photos / "0.png")
    with pytest.raises(InputError, match="Make it anew"):
        ob.generate("waving", brand, identities=[other.root])
    with pytest.raises(InputError, match="as many masks"):
        ob.generate("a", brand, identities=[identity.root], masks=[photos / "0.png"] * 2)
    with pytest.raises(InputError, match="no identity"):
        ob.generate("a", brand, masks=[photos / "0.png"])
    for mask in (photos / "gone.png", photos, photos / "broken.png"):
        with pytest.raises(PictureError, match=mask.name):
            ob.generate("a", brand, identities=identity.root, masks=mask)
    for strength in (-1, math.inf, math.nan):
        with pytest.raises(InputError, match=f"strength is {strength}"):
            ob.generate("a", brand, identities=[identity.root], identity_strength=strength)
    with pytest.raises(InputError, match=r"no trained model yet: run +onbrand train"):
        ob.generate("a", brand, identities=[identity.root], stage="typo")


def test_one_identity_stays_where_its_mask_says(
    identity: ob.Identity, brand: Path, tmp_path: Path
) -> None:
    """A mask of nowhere draws another picture than none, one of everywhere the same; where nothing
    is painted, in a picture that lets through or beside an oblong one, is nowhere."""
    drawn = {}
    for name, mask in {
        "nowhere": Image.new("L", (32, 32)),
        "everywhere": Image.new("L", (32, 32), 255),
        "clear": Image.new("RGBA", (32, 32), (255, 255, 255, 0)),
        "thin": Image.new("L", (320, 2), 0),
    }.items():
        mask.save(tmp_path / f"{name}.png")
        shots = ob.generate(
            "waving", brand, num_per_prompt=1, num_steps=2, identities=[identity.root],
            masks=[tmp_path / f"{name}.png"],
        )  # fmt: skip
        drawn[name] = np.asarray(shots.open(0), int)
    free = ob.generate(
        "waving", brand, num_per_prompt=1, num_steps=2, identities=[identity.root]
    ).open(0)
    assert np.abs(drawn["everywhere"] - np.asarray(free, int)).max() <= 1
    assert np.abs(drawn["nowhere"] - np.asarray(free, int)).max() > 1
    assert np.array_equal(drawn["clear"], drawn["nowhere"])
    assert np.array_equal(drawn["thin"], drawn["nowhere"])


def test_two_stand_side_by_side_each_in_its_own_words(
    base: Path, photos: Path, brand: Path, identity: ob.Identity, tmp_path: Path
) -> None:
    """Two identities make a wide picture; who has a description is told that, the other what the
    brief says; the picture tells both prompts. A drawing to follow needs masks."""
    mika = ob.make_identity(
        tmp_path / "mika", photos / "2.png", description=" a blue   cat ", base=str(base)
    )
    assert ob.Identity.load(mika.root).description == "a blue cat"
    both = [identity.root, mika.root]
    heard: list[Event] = []
    shots = ob.generate(
        "waving", brand, identities=both, num_per_prompt=1, num_steps=2, emit=heard.append
    )
    assert not [e for e in heard if isinstance(e, Warned) and "words of their own" in e.message]
    with Image.open(shots.root / "000.png") as picture:
        assert picture.width > picture.height
        said = picture.info["prompt"]
    ours, theirs = said.split(" | ")
    assert ours == shots.items[0].prompt
    assert theirs == "a blue cat, waving"
    again = ob.make_identity(mika.root, photos / "1.png", base=str(base))
    assert again.description == "a blue cat", "made anew, it is who it was"
    silent = ob.make_identity(tmp_path / "silent", photos / "1.png", base=str(base))
    ob.generate(
        "waving", brand, identities=[identity.root, silent.root], num_per_prompt=1, num_steps=2,
        emit=heard.append,
    )  # fmt: skip
    assert [e for e in heard if isinstance(e, Warned) and "no words of their own" in e.message]
    guided = Path(shutil.copytree(base, tmp_path / "guided"))
    add_controlnet(guided)
    brand = ob.new(tmp_path / "brand", pictures=photos / "0.png", subject="fox", base=str(guided))
    with pytest.raises(InputError, match="only where masks say"):
        ob.generate("waving", brand, identities=both, drawing=photos / "1.png")


def test_a_base_folder_is_named_as_it_can_be_typed(
    brand: Path, base: Path, photos: Path, tmp_path: Path
) -> None:
    """Advice to make an identity anew holds the base's whole path and quotes what needs it."""
    other = ob.make_identity(tmp_path / "my fox", photos / "0.png")
    with pytest.raises(InputError) as refused:
        ob.generate("waving", brand, identities=[other.root])
    words = shlex.split(str(refused.value).partition("Make it anew: ")[2])
    assert words == [
        "onbrand",
        "identity",
        "make",
        str(other.root),
        "PICTURES",
        "--base",
        str(base),
    ]
