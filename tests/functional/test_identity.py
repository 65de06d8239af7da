"""An identity from a few pictures: made, shown, compared, and followed without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from brand_folder import draw_picture

import onbrand as ob
from onbrand.app.cli import main
from onbrand.errors import ArtifactError, InputError
from onbrand.events import Event, Skipped


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
    again = ob.generate("waving", brand, identities=[identity.root], **settings)
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
    for words in (
        ["show", str(tmp_path / "k")],
        ["compare", str(tmp_path / "k"), str(identity.root)],
    ):
        with pytest.raises(SystemExit) as left:
            main(["identity", *words])
        assert left.value.code == 0
    assert "1.000" in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        main(["identity", "show", str(photos)])
    assert left.value.code == ArtifactError.exit_code


def test_bad_input_is_refused(
    identity: ob.Identity, brand: Path, base: Path, photos: Path, tmp_path: Path
) -> None:
    """No usable picture, a folder with other things, an identity of another base, too few masks."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no usable picture"):
        ob.make_identity(tmp_path / "x", tmp_path / "empty", base=str(base))
    with pytest.raises(InputError, match="holds no identity"):
        ob.make_identity(photos, photos / "0.png", base=str(base))
    other = ob.make_identity(tmp_path / "pocket", photos / "0.png")
    with pytest.raises(InputError, match="Make it anew"):
        ob.generate("waving", brand, identities=[other.root])
    with pytest.raises(InputError, match="as many masks"):
        ob.generate("a", brand, identities=[identity.root], masks=[photos / "0.png"] * 2)
    with pytest.raises(InputError, match="no identity"):
        ob.generate("a", brand, masks=[photos / "0.png"])
