"""The real encoders behind the judge's callables, on tiny packs: twins grade, the others train."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from onbrand.errors import PackError
from onbrand.judging import open_eyes, training_scorer
from onbrand.judging.eyes import open_features, open_joints
from onbrand.judging.looking import to_pixels
from onbrand.models import twins
from onbrand.models.packs import Pack


def pictures(num: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 255, (20 + 4 * n, 32, 3), dtype=np.uint8))
        for n in range(num)
    ]


def test_evaluation_eyes_give_unit_vectors_whatever_the_batch(tiny_pack: Pack) -> None:
    """Rows of length 1, cosines in range, attributes by name; batch size changes nothing."""
    shown = pictures(5)
    texts = ["fox waving", "cat sitting", "bear", "red fox", "blue cat"]
    one, many = open_eyes(tiny_pack, batch_size=1), open_eyes(tiny_pack, batch_size=4)
    embedded = one.embed(shown)
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embedded, many.embed(shown), atol=1e-5)
    for ours, theirs in zip(one.align(shown, texts), many.align(shown, texts), strict=True):
        np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert one.read_attributes is not None
    assert set(one.read_attributes(shown)[0]) == {"species", "colour", "pose", "fault"}


def test_each_twin_is_loaded_once(tiny_pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Likeness, diagnoses and attributes share the twin that they look through."""
    opened = []

    class Identity(twins.IdentityTwin):
        def __init__(self, pack: Pack) -> None:
            opened.append("identity")
            super().__init__(pack)

    class Reader(twins.AttributeReader):
        def __init__(self, pack: Pack) -> None:
            opened.append("attributes")
            super().__init__(pack)

    monkeypatch.setattr(twins, "IdentityTwin", Identity)
    monkeypatch.setattr(twins, "AttributeReader", Reader)
    eyes = open_eyes(tiny_pack)
    assert sorted(opened) == ["attributes", "identity"]
    assert eyes.see is not None
    np.testing.assert_allclose(eyes.see(pictures(2)).identity, eyes.embed(pictures(2)), atol=1e-5)


def test_training_scorer_does_not_look_through_the_twin(tiny_pack: Pack) -> None:
    """A pack whose twin is gone still trains and gates; only the evaluation refuses."""
    roles = {name: path for name, path in tiny_pack.roles.items() if name != "twin_identity"}
    blind = replace(tiny_pack, roles=roles, fallback=None)
    score = training_scorer(blind, pictures(3))
    found = score(pictures(4), ["fox", "fox", "cat", "cat"])
    assert set(found) == {"identity", "alignment", "directional_alignment", "diversity"}
    with pytest.raises(PackError):
        open_eyes(blind)


def test_missing_attribute_reader_is_no_error(tiny_pack: Pack) -> None:
    """A pack without that role is judged without that figure."""
    roles = {name: path for name, path in tiny_pack.roles.items() if name != "attributes"}
    assert open_eyes(replace(tiny_pack, roles=roles, fallback=None)).read_attributes is None


def test_features_are_the_readers_logits(tiny_pack: Pack) -> None:
    """A column for each label that the attribute reader knows."""
    assert open_features(tiny_pack)(pictures(3)).shape == (3, 9)


def test_joints_are_read_from_pictures(tiny_pack: Pack) -> None:
    """[n, 17, 3] of pictures of any shape."""
    assert open_joints(tiny_pack)(pictures(3)).shape == (3, 17, 3)


def test_pictures_become_pixels_on_white(tiny_pack: Pack) -> None:
    """Transparent is white, other shapes are letterboxed, values lie in [-1, 1]."""
    clear = Image.new("RGBA", (10, 20), (0, 0, 0, 0))
    pixels = to_pixels([clear, Image.new("RGB", (40, 10), "black")], 32)
    assert tuple(pixels.shape) == (2, 3, 32, 32)
    assert float(pixels[0].min()) == 1.0
    assert float(pixels[1].min()) == -1.0
    assert float(pixels[1, :, 0].min()) == 1.0


def test_importing_the_rooms_brings_in_no_model_library() -> None:
    """judging, report and bench are light until they look at something."""
    code = (
        "import sys, onbrand.judging, onbrand.report, onbrand.bench\n"
        "print([m for m in ('torch', 'transformers', 'diffusers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
