"""What a pack's own files say: slips in pack.toml, vocabulary.json and refused.json are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from onbrand.errors import PackError
from onbrand.models import open_pack


@pytest.fixture
def copy_of_base(tiny_hub_base: Path, tmp_path: Path) -> Path:
    """A base folder that a test may spoil."""
    return Path(shutil.copytree(tiny_hub_base, tmp_path / "base"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[role]\nidentity = "unet"', "unknown key 'role': did you mean 'roles'"),
        ('license = "MIT"', "unknown key 'license': did you mean 'licence'"),
        ('roles = ["unet"]', "roles = .*should be a valid dictionary"),
        ("[roles]\nidentity = [3]", r"roles.identity = \[3\]: should be a valid string"),
        ('name = " "', "'name' is empty"),
        ('name = ["a"]', "name = .*should be a valid string"),
        ("revision = [1]", r"revision = \[1\]: should be a valid string"),
        (
            '[roles]\nidentity = "a\\u0000b"',
            r"names 'a\\x00b' for .* can be no folder: .*null byte",
        ),
        (f'[roles]\nidentity = "{"x" * 300}"', "can be no folder: File name too long"),
    ],
)
def test_a_slip_in_pack_toml_loses_no_model(copy_of_base: Path, text: str, said: str) -> None:
    """Misspelt keys and values of another kind are refused: the pack's own eyes would be passed
    over, and another pack's would judge in their place."""
    (copy_of_base / "pack.toml").write_text(text, "utf-8")
    with pytest.raises(PackError, match=said) as caught:
        open_pack(copy_of_base)
    assert str(copy_of_base / "pack.toml") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("words", ['["naked"]', '{"nude": "naked"}', '{"nude": 3}', "3", "null"])
def test_a_list_of_refused_words_is_never_misread(copy_of_base: Path, words: str) -> None:
    """Anything but lists by what they are about is an error: it would refuse nothing."""
    (copy_of_base / "refused.json").write_text(f'{{"words": {words}}}')
    with pytest.raises(PackError, match=r"refused.json should be .*naked"):
        open_pack(copy_of_base).refused_in("a naked fox")


@pytest.mark.parametrize("words", ["3", '"fox"', "[3]"])
def test_a_vocabulary_is_a_list_of_words(copy_of_base: Path, words: str) -> None:
    """Anything else is an error: the base would claim nothing."""
    (copy_of_base / "vocabulary.json").write_text(f'{{"words": {words}}}')
    with pytest.raises(PackError, match=r"vocabulary.json should be .*a list of words"):
        open_pack(copy_of_base).unseen_words("a fox")
