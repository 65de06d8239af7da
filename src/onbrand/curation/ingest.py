"""Finds pictures and their captions in folders, and says of every file that it leaves out why.

Nothing is decoded here but what `read_found` is asked for: a folder of a thousand photographs is
found in no time and never held in memory at once.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from onbrand import pixels
from onbrand.artifacts import Skip
from onbrand.curation.captions import (
    ENDINGS,
    Line,
    Lines,
    beside,
    folder_words,
    read_lines,
)
from onbrand.curation.looks import Lookalikes
from onbrand.errors import DatasetError, PictureError, counted
from onbrand.events import Advanced, Listener, Started
from onbrand.files import readable

__all__ = [
    "Finding", "Found", "Reject", "find", "let_in", "natural", "nothing_usable", "read_found",
    "sift",
]  # fmt: skip

Reject = Callable[[Image.Image], str | None]
"""picture -> why it may not be used, in words that go on from its name; None where it may"""

MIN_SIDE_PX = 16
# what people take for pictures, and onbrand does not read
_FOREIGN = {
    ".heic", ".heif", ".svg", ".psd", ".ai", ".eps", ".pdf", ".mp4", ".mov", ".webm", ".avi",
    ".jxl", ".tga", ".ico", ".raw", ".dng", ".cr2", ".nef", ".arw", ".exr", ".hdr", ".jp2", ".xcf",
}  # fmt: skip
_DOCUMENTS = {"README", "readme", "LICENSE", "license", "class", "classes", "prompts", "notes"}
_MASK = re.compile(r"-masklabel$", re.IGNORECASE)
_VARIANT = re.compile(r"\bcolou?r variant\b", re.IGNORECASE)


@dataclass(slots=True)
class Found:
    """A picture file, not opened yet. `name` is what it is called in lists, `note` what
    its folder's metadata remarks. `sift` adds the names of its copies to `aliases`."""

    path: Path
    name: str
    caption: str
    note: str = ""
    aliases: list[str] = field(default_factory=list)

    @property
    def is_variant(self) -> bool:
        """Whether its note calls it a colour variant: a look-alike, not the subject."""
        return bool(_VARIANT.search(self.note))


@dataclass
class Finding:
    """What a search found. `remarks` are likely mistakes, one line each; `num_files` and
    `num_folders` say how far it looked, `num_left_out` how many files it was told to leave."""

    places: tuple[Path, ...]
    pictures: list[Found] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    num_files: int = 0
    num_folders: int = 0
    num_left_out: int = 0


def find(places: Sequence[Path | str], *, without: Sequence[Path] = ()) -> Finding:
    """All pictures in the folders (and those below), files and patterns ("red-*.png") of `places`.

    In natural order of their names, "2.png" before "10.png". Links are followed, hidden files
    passed over; so is what lies in `without`. Raises `DatasetError` for a place that does not
    exist, or that may not be looked at.
    """
    roots = [path for place in places for path in _expand(Path(place))]
    finding = Finding(tuple(roots))
    left_out = {_real(path) for path in without}
    search = _Search(finding, left_out)
    for root in roots:
        if root.is_dir():
            for folder, names in _walk(root, left_out, finding):
                search.take(root, folder, names)
                search.remark_missing(folder, names)
        else:
            search.take(root.parent, root.parent, [root.name])
    finding.remarks = list(dict.fromkeys(finding.remarks))
    return finding


def read_found(found: Found) -> Image.Image:
    """The picture, checked: something is to be seen in it, and it is not tiny. Raises
    `PictureError` as `pixels.read` does."""
    image = pixels.read(found.path)
    if min(image.size) < MIN_SIDE_PX:
        size = f"{image.width} × {image.height} pixels"
        raise PictureError(
            f"{found.path} has only {size}: at least {MIN_SIDE_PX} a side are needed"
        )
    if image.mode == "RGBA" and image.getchannel("A").getextrema()[1] == 0:
        raise PictureError(f"{found.path} is wholly transparent: there is nothing to see")
    return image


def let_in(picture: Image.Image) -> None:
    """Reject nothing."""


def sift(
    finding: Finding,
    skipped: list[Skip],
    *,
    lookalikes: Lookalikes,
    reject: Reject = let_in,
    task: str,
    emit: Listener,
) -> Iterator[tuple[Found, Image.Image, str]]:
    """The usable pictures with the hash of their pixels, read one at a time.

    Adds to `skipped` what is unreadable, noted as a colour variant, there already, a picture of
    `lookalikes`, or what `reject` leaves out. The first of several copies is
    given the others' names, and a caption of theirs where it has none, as they are met: both are
    whole when all has been read.
    """
    first_of: dict[str, Found] = {}
    emit(Started(task, len(finding.pictures), "pictures"))
    for done, found in enumerate(finding.pictures, 1):
        reason, image, key = None, None, ""
        try:
            image = read_found(found)
            key = pixels.fingerprint(image)
        except PictureError as fault:
            reason = str(fault).removeprefix(f"{found.path} ")
        if image is None:
            pass
        elif found.is_variant:
            reason = f"is noted {found.note!r}: a look-alike, not trained on"
        elif key in lookalikes:
            reason = f"is the same picture as the look-alike {lookalikes[key][0]}"
        elif key in first_of:
            first = first_of[key]
            first.aliases.append(found.name)
            first.caption = first.caption or found.caption
            reason = f"is the same picture as {first.name}"
        else:  # the dearest question comes last
            reason = reject(image)
        if reason is not None:
            skipped.append(Skip(found.name, readable(reason)))
        elif image is not None:
            first_of[key] = found
            yield found, image, key
        emit(Advanced(task, done, {"skipped": len(skipped)}))


def nothing_usable(finding: Finding) -> DatasetError:
    """The error for a search that left no picture: where it looked, and what it skipped."""
    where = ", ".join(str(place) for place in finding.places) or "no place"
    looked = f"{counted(finding.num_files, 'file')} in {counted(finding.num_folders, 'folder')}"
    if not finding.skipped and finding.num_left_out:
        return DatasetError(
            f"no picture in {where} but the {finding.num_left_out} that are look-alikes: name "
            "other places for the two"
        )
    if not finding.skipped:
        endings = " ".join(sorted(pixels.ENDINGS))
        return DatasetError(f"no picture in {where} (looked at {looked} for {endings})")
    told = "; ".join(f"{s.path}: {s.reason}" for s in finding.skipped[:5])
    more = len(finding.skipped) - 5
    return DatasetError(
        f"no usable picture in {where} (looked at {looked}), skipped {told}"
        + (f"; and {more} more" if more > 0 else "")
    )


def natural(name: str) -> list[tuple[int, int, str]]:
    """A sort key by which "2.png" comes before "10.png"."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(p), "") if p.isdecimal() and p.isascii() else (1, 0, p.lower()) for p in parts]


def _expand(place: Path) -> list[Path]:
    """The place itself, or what its pattern matches."""
    text = readable(str(place))
    try:
        if place.exists():
            return [place]
        found = glob.glob(str(place), recursive=True)
    except OSError as fault:
        raise DatasetError(f"cannot look at {text!r}: {fault.strerror or fault}") from fault
    if found:
        return sorted(map(Path, found), key=lambda p: natural(str(p)))
    if glob.has_magic(text):
        raise DatasetError(f"nothing matches {text!r}: name a folder, a file or another pattern")
    raise DatasetError(f"no folder or file {text!r}: name the folder that your pictures lie in")


def _walk(root: Path, left_out: set[Path], finding: Finding) -> Iterator[tuple[Path, list[str]]]:
    """Every folder once, by links too, and the names in it; a closed one becomes a skip."""

    def closed(fault: OSError) -> None:
        reason = f"is a folder that cannot be opened ({fault.strerror or fault})"
        finding.skipped.append(Skip(readable(str(fault.filename)), reason))

    walked = {_real(root)}
    for folder, below, names in os.walk(root, followlinks=True, onerror=closed):
        here = Path(folder)
        kept = []
        for name in sorted(below, key=natural):
            real = _real(here / name)
            if not name.startswith(".") and real not in left_out and real not in walked:
                walked.add(real)
                kept.append(name)
        below[:] = kept
        yield here, sorted(names, key=natural)


def _listed(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:  # a picture may be read in a folder that may not
        return frozenset()


@dataclass
class _Search:
    """A search under way: files seen so far, each folder's names and its metadata."""

    finding: Finding
    left_out: set[Path]
    seen: set[Path] = field(default_factory=set)
    listed: dict[Path, frozenset[str]] = field(default_factory=dict)
    lines: dict[Path, Lines] = field(default_factory=dict)

    def take(self, root: Path, folder: Path, names: Sequence[str]) -> None:
        """Adds the pictures among `names` in `folder` to the finding."""
        words, repeats = folder_words(folder)
        finding = self.finding
        finding.num_folders += 1
        if folder not in self.lines:
            self.listed[folder] = _listed(folder)
            self.lines[folder] = read_lines(folder, self.listed[folder])
            finding.remarks += self.lines[folder].faults
        before, called = len(finding.pictures), 0
        for name in names:
            path = folder / name
            real = _real(path)
            finding.num_left_out += real in self.left_out
            if name.startswith(".") or real in self.left_out or real in self.seen:
                continue
            self.seen.add(real)
            finding.num_files += 1
            if not pixels.is_picture(path):
                _pass_over(finding, path, root)
            elif _MASK.search(path.stem):
                finding.skipped.append(Skip(_shown(path, root), "is a mask, by its name"))
            else:
                caption, faults = beside(path, self.listed[folder])
                finding.remarks += faults
                line = self._line(root, path)
                caption = caption or (line.caption if line else "")
                called += bool(words and not caption)
                note = line.note if line else ""
                finding.pictures.append(Found(path, _shown(path, root), caption or words, note))
        if called:
            finding.remarks.append(
                f"{folder.name}: its words are the caption of {counted(called, 'picture')}; if "
                "they are no caption, rename the folder"
            )
        if repeats > 1 and len(finding.pictures) > before:
            finding.remarks.append(
                f"{folder.name}: the repeats in its name ({repeats}) are not used, each picture "
                "counts once"
            )

    def _line(self, root: Path, path: Path) -> Line | None:
        """What the metadata of the picture's folder says, or of one above it up to root."""
        for folder in path.parents:
            lines = self.lines.get(folder)
            line = lines.by_name.get(path.relative_to(folder).as_posix()) if lines else None
            if line or folder == root:
                return line
        return None

    def remark_missing(self, folder: Path, names: Sequence[str]) -> None:
        """Captions without a picture and lines without a file: likely a misspelt name."""
        for name in self.lines[folder].by_name:
            if not os.path.isfile(folder / name):
                reason = "is named in the metadata, but there is no such file"
                self.finding.skipped.append(Skip(name, reason))
        stems = {Path(n).stem for n in names if Path(n).suffix.lower() not in ENDINGS}
        stems |= {n for n in names if Path(n).suffix.lower() not in ENDINGS}
        texts = [n for n in names if Path(n).suffix.lower() in ENDINGS and not n.startswith(".")]
        orphans = [n for n in texts if Path(n).stem not in stems | _DOCUMENTS]
        if orphans and stems:
            some = ", ".join(orphans[:3]) + (", …" if len(orphans) > 3 else "")
            self.finding.remarks.append(
                f"{folder}: {len(orphans)} captions without a picture ({some})"
            )


def _pass_over(finding: Finding, path: Path, root: Path) -> None:
    if path.suffix.lower() in _FOREIGN:
        reason = f"{path.suffix.lower()} files are not read: export it as PNG or JPEG"
    elif pixels.begins_as_picture(path):
        reason = "is a picture, though its name does not say so: give it an ending such as .jpg"
    else:
        return
    finding.skipped.append(Skip(_shown(path, root), reason))


def _shown(path: Path, root: Path) -> str:
    return readable(path.relative_to(root).as_posix())


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
