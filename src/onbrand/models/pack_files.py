"""What a pack's own files say, checked: pack.toml, vocabulary.json, refused.json."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeGuard

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from onbrand.errors import PackError
from onbrand.models.layout import read_json
from onbrand.toml import explain

__all__ = ["PackFile", "read_pack_file", "read_refused", "read_words"]


class PackFile(BaseModel):
    """pack.toml, which may leave all of it out; `roles`: role → place in the pack's folder."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, str_strip_whitespace=True, coerce_numbers_to_str=True
    )

    name: str | None = Field(default=None, min_length=1)
    licence: str = ""
    revision: str = ""
    credits: str = ""
    roles: dict[str, str] = {}


def read_pack_file(root: Path) -> PackFile:
    """What the folder's pack.toml says, or nothing where there is none.

    Raises PackError when it is no TOML, has a key that packs have not, or a value of another kind.
    """
    path = root / "pack.toml"
    if not path.is_file():
        return PackFile()
    try:
        return PackFile.model_validate(tomllib.loads(path.read_text("utf-8-sig")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PackError(f"{path} is no valid TOML: {error}") from error
    except ValidationError as error:
        raise PackError(f"{path}: {explain(error, PackFile)}") from error


def read_words(path: Path) -> list[str]:
    """The list `words` of a vocabulary.json. Raises PackError for anything else."""
    listed = read_json(path).get("words")
    if not _are_words(listed):
        raise PackError(f'{path} should be {{"words": ["fox", "red"]}}: a list of words.')
    return listed


def read_refused(path: Path) -> dict[str, str]:
    """Each word that a refused.json lists, in lower case, and what it is about.

    Raises PackError for anything else than lists of words by what they are about: a list that is
    misread would refuse nothing.
    """
    groups = read_json(path).get("words")
    if not isinstance(groups, dict) or not all(map(_are_words, groups.values())):
        raise PackError(
            f'{path} should be {{"words": {{"nudity": ["naked"]}}}}: lists of words by what they '
            "are about."
        )
    return {word.lower(): str(about) for about, words in groups.items() for word in words}


def _are_words(listed: object) -> TypeGuard[list[str]]:
    return isinstance(listed, list) and all(isinstance(word, str) for word in listed)
