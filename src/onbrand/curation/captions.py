"""Captions as people leave them beside their pictures, in the layouts that trainers share.

    img.png + img.txt            kohya, ai-toolkit, OneTrainer
    img.png + img.caption        kohya's default ending
    metadata.jsonl               Hugging Face ImageFolder: {"file_name", "text" or "prompt", "note"}
    metadata.csv                 the same as a table with a header
    10_kuro fox/img.png          kohya: repeats, then the words for every picture in the folder

The first of these that says something wins, in this order. IMG.TXT and Metadata.CSV are read, too.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import os.path
import posixpath
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onbrand.files import is_utf8

__all__ = ["Line", "Lines", "beside", "folder_words", "read_lines"]

METADATA = ("metadata.jsonl", "metadata.csv")
ENDINGS = (".txt", ".caption")
MOST_BYTES = 16 * 2**20
_REPEATS = re.compile(r"^([1-9]\d{0,2})_(.+)$")  # four digits are a year
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Line:
    """What the folder's metadata file says of one picture."""

    caption: str
    note: str


@dataclass(frozen=True)
class Lines:
    """A folder's metadata: lines by picture (relative to the folder), and what was wrong."""

    by_name: dict[str, Line] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


def beside(picture: Path, names: Collection[str]) -> tuple[str, list[str]]:
    """The caption in a text file beside the picture, and what was wrong with such files.

    `names` are those in the picture's folder. "" when there is none. Line breaks become spaces. A
    file that is not UTF-8 (or UTF-16 with its mark) is not guessed at: wrong letters would be
    learned.
    """
    faults: list[str] = []
    for ending in ENDINGS:
        for file in _twins(picture, names, ending):
            text = _read(file)
            if text is None:
                faults.append(
                    f"{file} is not UTF-8 text: its caption is not used; save it as UTF-8"
                )
            elif text.strip():
                return " ".join(text.split()), faults
            else:
                faults.append(f"{file} is empty: write what the picture shows, or delete it")
    return "", faults


def folder_words(folder: Path) -> tuple[str, int]:
    """The words of a kohya folder "10_kuro fox" and its repeats; ("", 1) for any other name, such
    as "01_approved" and "2024_launch"."""
    match = _REPEATS.match(folder.name)
    if not match or not is_utf8(match[2]):
        return "", 1
    return " ".join(match[2].split()), int(match[1])


def read_lines(folder: Path, names: Collection[str]) -> Lines:
    """What the folder's metadata files say, `names` being those in the folder; where two speak of
    one picture, the first of METADATA that says something. What cannot be read is told and left
    out."""
    said: dict[str, Line] = {}
    faults: list[str] = []
    for wanted in METADATA:
        for name in sorted(name for name in names if name.lower() == wanted):
            if not os.path.isfile(folder / name):
                continue
            lines = _read_file(folder / name)
            faults += lines.faults
            for picture, line in lines.by_name.items():
                first = said.get(picture, Line("", ""))
                said[picture] = Line(first.caption or line.caption, first.note or line.note)
    return Lines(said, tuple(faults))


def _read_file(file: Path) -> Lines:
    text = _read(file)
    if text is None:
        return Lines(faults=(f"{file} is not UTF-8 text: its captions are not used",))
    found: dict[str, Line] = {}
    faults: list[str] = []
    silent: list[int] = []
    try:
        for number, row in _rows(file, text):
            try:
                name, line = _line(row)
            except ValueError as fault:
                faults.append(f"{file}, line {number}: {fault}, not used")
                continue
            found[name] = line
            if not line.caption and not line.note:
                silent.append(number)
    except csv.Error as fault:
        faults.append(f"{file}: {fault}; is a quote not closed? Nothing is used from there on")
    if silent:
        some = ", ".join(map(str, silent[:3])) + (", …" if len(silent) > 3 else "")
        faults.append(f"{file}: no text in {len(silent)} of its rows (line {some})")
    if not found and not faults:
        faults.append(f"{file} names no picture: it needs rows with file_name and text")
    return Lines(found, tuple(faults))


def _rows(file: Path, text: str) -> Iterator[tuple[int, object]]:
    """(line number, row) of every row that is not blank: a string of JSON, or a table's fields."""
    if file.suffix.lower() == ".csv":
        # strict: a quote that is never closed is an error, and does not swallow the rows behind it
        table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        yield from ((table.line_num, row) for row in table)
    else:
        # not splitlines: JSON's texts may hold line ends of Unicode
        yield from ((n, row) for n, row in enumerate(text.split("\n"), 1) if row.strip())


def _line(row: object) -> tuple[str, Line]:
    """The picture's name in its folder and what is said of it. Raises ValueError, in words."""
    try:
        fields: Any = json.loads(row) if isinstance(row, str) else row
    except (ValueError, RecursionError):
        raise ValueError("no valid JSON") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("file_name"), str):
        raise ValueError("no file_name in it")
    name = posixpath.normpath(fields["file_name"])
    if name.startswith(("..", "/")):
        raise ValueError(f"{name} lies outside the folder")
    caption, note = fields.get("text") or fields.get("prompt") or "", fields.get("note") or ""
    if not isinstance(caption, str) or not isinstance(note, str):
        raise ValueError("its text is no text")
    if not is_utf8(name + caption + note):
        raise ValueError("it holds half a character, which is no text")
    return name, Line(" ".join(caption.split()), note)


def _twins(picture: Path, names: Collection[str], ending: str) -> list[Path]:
    """picture.txt, and picture.png.txt, where they are, in capitals or not."""
    found = []
    for stem in (picture.stem, picture.name):
        # the plain one by the file system, which may tell no capitals, or accents in two ways
        wanted = [stem + ending]
        wanted += [
            name for last in (ending.upper(), ending.title()) if (name := stem + last) in names
        ]
        files = [picture.with_name(name) for name in wanted]
        found += [file for file in files if os.path.isfile(file)]
    return found


def _read(file: Path) -> str | None:
    """The text of a file; None if it is no text."""
    try:
        if file.stat().st_size > MOST_BYTES:
            return None
        raw = file.read_bytes()
        marked = raw.startswith(_MARKS[1:])
        text = raw.decode("utf-16" if marked else "utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    return None if "\0" in text else text
