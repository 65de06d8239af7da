"""Makes a brand's folder from pictures: everything `onbrand new` leaves behind.

It is built in a hidden folder beside its place and moved there in one step: a run that is stopped,
or finds the disk full, leaves nothing, and an existing folder is never touched. What a killed run
left is removed by a later one of the same name, after a day.
"""

from __future__ import annotations

import glob
import os
import re
import secrets
import shlex
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from onbrand import pixels
from onbrand.artifacts import Skip
from onbrand.brief import Brief, slug
from onbrand.curation.freeze import freeze, keep_left_behind
from onbrand.curation.guard import OPEN, Guard
from onbrand.curation.ingest import Finding, Found, Reject, find, nothing_usable, read_found, sift
from onbrand.curation.looks import Look, Lookalikes, look_of
from onbrand.curation.naming import STARTING_PROMPTS, guess_subject
from onbrand.curation.palette import propose_palette
from onbrand.curation.split import named
from onbrand.errors import BriefError, InputError, PictureError, PromptError
from onbrand.events import Finished, Listener, Noted, Skipped, Warned, silent
from onbrand.files import (
    LONGEST_NAME_BYTES,
    cut_name,
    make_folder,
    readable,
    storage_errors,
    write_text_atomic,
)
from onbrand.recipe import Recipe, recipe_file
from onbrand.toml import read_toml

__all__ = ["emit_remarks", "lookalike_pictures", "make_brand"]

FALLBACK_SUBJECT = "mascot"
MOST_FOR_PALETTE = 40
SMALL_PX = 96
A_DAY_S = 86_400
MOST_REMARKS = 6

Places = str | Path | Sequence[str | Path]


def make_brand(
    folder: str | Path,
    *,
    pictures: Places,
    lookalikes: Places = (),
    subject: str | None = None,
    trigger: str | None = None,
    description: str | None = None,
    brief: Path | None = None,
    recipe: str | Path = "mascot",
    base: str | None = None,
    guard: Guard = OPEN,
    emit: Listener = silent,
) -> Path:
    """Makes the brand's folder (its last part names the brand) and returns its path.

    Pictures are re-encoded as PNG with their captions beside them; those noted as colour variants
    go to the look-alikes. A `brief` file is begun from, and the words given here stand above it.
    Raises `InputError` when the folder is there already, `DatasetError` when no picture can be
    used, `BriefError`, `RecipeError` and what `guard` raises for words, each before anything is
    made; `StorageError` with nothing left behind. `base` stands in for the recipe's, as it is.
    """
    place = Path(os.path.normpath(folder))  # k/../x is x, where there is no k
    with storage_errors(place):
        _refuse_existing(place)
    recipe_text = _recipe_text(recipe, base)
    given = {"subject": subject, "trigger": trigger, "description": description}
    told = {} if brief is None else read_toml(_brief_file(brief), BriefError)
    told |= {key: value for key, value in given.items() if value is not None}
    told.setdefault("name", place.resolve().name)
    begun = Brief.parse({"subject": FALLBACK_SUBJECT, **told})

    others = find(_listed(lookalikes))
    finding = find(_listed(pictures), without=[found.path for found in others.pictures])
    emit_remarks(others, emit)
    emit_remarks(finding, emit)
    others.pictures += [replace(found, note="") for found in finding.pictures if found.is_variant]
    finding.pictures = [found for found in finding.pictures if not found.is_variant]
    guard.check_words(begun, finding, emit)

    fresh = place.resolve().with_name(f".{place.name}.{secrets.token_hex(3)}.making")
    with storage_errors(place):
        not_there = [above for above in fresh.parents if not above.exists()]
    try:
        _remove_left_over(place.resolve())
        make_folder(fresh)
        _fill(fresh, finding, others, told, recipe_text, guard, emit)
        with storage_errors(place):
            fresh.replace(place)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        with suppress(OSError):  # the brand is in it
            for above in not_there:
                above.rmdir()
    return place


def lookalike_pictures(
    folder: str | Path, *, square_px: int | None = None, emit: Listener = silent
) -> list[tuple[str, Image.Image]]:
    """The look-alikes in a folder as (name without ending, RGB); [] where there is no folder. With
    `square_px` they are `pixels.square`, as training shows the brand's own.

    The name of one that lies deeper begins with its folders': "red-01". What cannot be read is left
    out, with a `Skipped` event.
    """
    if not Path(folder).is_dir():
        return []
    found = []
    for one in find([folder]).pictures:
        try:
            name = readable("-".join(one.path.relative_to(folder).with_suffix("").parts))
            read = read_found(one)
            shown = pixels.square(read, square_px) if square_px else pixels.flatten(read)
            found.append((name, shown))
        except PictureError as fault:
            emit(Skipped(str(one.path), str(fault).removeprefix(f"{one.path} ")))
    return found


def emit_remarks(finding: Finding, emit: Listener) -> None:
    """Warns of what looks like a mistake; a long list is cut short."""
    for remark in finding.remarks[:MOST_REMARKS]:
        emit(Warned(remark))
    more = len(finding.remarks) - MOST_REMARKS
    if more > 0:
        emit(Warned(f"… and {more} more remarks like these"))


# -- before anything is made -----------------------------------------------------------------


def _refuse_existing(place: Path) -> None:
    if len(os.fsencode(place.name)) > LONGEST_NAME_BYTES:
        raise InputError(
            f"{place.name[:20]}… is too long for a folder's name: use at most "
            f"{LONGEST_NAME_BYTES} letters"
        )
    if (place / "brief.toml").exists():
        raise InputError(
            f"{place} is a brand already, and stays as it is: put new pictures into "
            f"{place / 'pictures'} and run  onbrand train {shlex.quote(str(place))}  or choose "
            "another name"
        )
    if not place.name or place.name == "..":  # not the folder that a shell stands in, nor above
        raise InputError(f"{str(place)!r} is no name for a new folder: write  onbrand new NAME …")
    if place.is_symlink():
        raise InputError(f"{place} is a link: name the folder that it points to, or remove it")
    if place.is_dir() and not any(place.iterdir()):
        return
    if place.exists():
        raise InputError(f"{place} exists already and is not empty: choose another name")


def _remove_left_over(place: Path) -> None:
    """Removes what runs of this name left a day ago and earlier, when they were killed."""
    for folder in place.parent.glob("." + glob.escape(place.name) + ".*.making"):
        if folder.is_dir() and time.time() - folder.stat().st_mtime > A_DAY_S:
            shutil.rmtree(folder, ignore_errors=True)


def _recipe_text(recipe: str | Path, base: str | None) -> str:
    """The recipe's TOML with its comments, `base` put in. Raises `RecipeError`."""
    Recipe.load(recipe)
    text = recipe_file(recipe).read_bytes().decode("utf-8-sig")
    if base is None:
        return text
    import tomlkit

    document = tomlkit.parse(text)
    document["base"] = base
    return tomlkit.dumps(document)


def _brief_file(brief: Path) -> Path:
    return Path(brief) / "brief.toml" if Path(brief).is_dir() else Path(brief)


def _listed(places: Places) -> list[str | Path]:
    return [places] if isinstance(places, str | Path) else list(places)


# -- making ----------------------------------------------------------------------------------


def _fill(
    fresh: Path,
    finding: Finding,
    others: Finding,
    told: dict[str, Any],
    recipe_text: str,
    guard: Guard,
    emit: Listener,
) -> None:
    """Everything that the brand's folder holds, into `fresh`."""
    skipped = [*others.skipped, *finding.skipped]
    reject = guard.reject
    lookalikes = _copy(
        others, fresh / "lookalikes", "copying look-alikes", skipped, {}, reject, emit, apart=True
    )
    looks = lookalikes.looks
    kept = _copy(finding, fresh / "pictures", "copying pictures", skipped, looks, reject, emit)
    if not kept.made:
        finding.skipped = skipped
        raise nothing_usable(finding)
    if lookalikes.made:
        names = ", ".join(found.name for found in others.pictures[:12])
        more = ", …" if len(others.pictures) > 12 else ""
        emit(Noted(f"{len(lookalikes.made)} look-alikes, never trained on: {names}{more}"))
    brief = Brief.parse(_words(told, kept, guard, emit))
    brief = brief.model_copy(update={"held_out": _held_out(brief.held_out, kept)})
    write_text_atomic(fresh / "brief.toml", brief.to_toml())
    write_text_atomic(fresh / "recipe.toml", recipe_text)
    copies = find([fresh / "pictures"])
    copies.skipped = skipped
    freeze(copies, brief, fresh / "dataset", lookalikes=looks, emit=emit)
    keep_left_behind(fresh / "dataset", skipped)


@dataclass
class _Copied:
    """What was copied: each file with its copy's name without ending, small pictures to find the
    palette in, and look-alikes as such."""

    made: list[tuple[Found, str]] = field(default_factory=list)
    small: list[Image.Image] = field(default_factory=list)
    looks: dict[str, tuple[str, Look]] = field(default_factory=dict)

    @property
    def captions(self) -> list[str]:
        """Those of all pictures, "" where there is none."""
        return [found.caption for found, _ in self.made]


def _copy(
    finding: Finding,
    folder: Path,
    task: str,
    skipped: list[Skip],
    lookalikes: Lookalikes,
    reject: Reject,
    emit: Listener,
    *,
    apart: bool = False,
) -> _Copied:
    """Re-encodes the usable pictures as NAME.png with NAME.txt into `folder`; those that are in
    `lookalikes` are skipped.

    `apart`: they are look-alikes. Those of several folders keep their folder's name,
    FOLDER-NAME.png, since it says who is shown.
    """
    copied = _Copied()
    folders = {found.path.parent for found in finding.pictures}
    if not finding.pictures:
        return copied
    taken: set[str] = set()
    usable = sift(finding, skipped, lookalikes=lookalikes, reject=reject, task=task, emit=emit)
    for found, image, key in usable:
        stem = _free_name(found, taken, with_folder=len(folders) > 1 and apart)
        pixels.write_png(image, folder / f"{stem}.png")
        copied.made.append((found, stem))
        if apart:
            copied.looks[key] = (found.name, look_of(image))
        if len(copied.small) < MOST_FOR_PALETTE:
            small = image.copy()
            small.thumbnail((SMALL_PX, SMALL_PX))
            copied.small.append(small)
    for found, stem in copied.made:  # a later copy of a picture may have brought its caption
        if found.caption:
            write_text_atomic(folder / f"{stem}.txt", found.caption + "\n")
    emit(Finished(task, {"pictures": len(copied.made)}))
    return copied


def _held_out(patterns: Sequence[str], kept: _Copied) -> list[str]:
    """The brief's patterns, which name the files that were copied, for the copies: those that do
    not mean the same among them become the copies' names."""
    files = [[found.name, *found.aliases] for found, _ in kept.made]
    copies = [f"{stem}.png" for _, stem in kept.made]
    told: list[str] = []
    for pattern in patterns:
        meant = named(files, pattern)
        same = not meant or meant == named([[copy] for copy in copies], pattern)
        told += [pattern] if same else [copies[i] for i in sorted(meant)]
    return list(dict.fromkeys(told))


def _free_name(found: Found, taken: set[str], *, with_folder: bool) -> str:
    """The picture's own name, less what file systems dislike; numbered where two are alike."""
    name = f"{found.path.parent.name}-{found.path.stem}" if with_folder else found.path.stem
    stem = cut_name(re.sub(r"[^\w .()+-]", "_", name).strip(" .")).strip(" .") or "picture"
    free, number = stem, 2
    while free.lower() in taken:
        free, number = f"{stem}-{number}", number + 1
    taken.add(free.lower())
    return free


def _words(told: dict[str, Any], kept: _Copied, guard: Guard, emit: Listener) -> dict[str, Any]:
    """The brief's fields: as told, and guesses from the captions and pictures for the rest."""
    words = dict(told)
    if not words.get("subject"):
        trigger = words.get("trigger") or slug(words["name"])
        guess = _may_be_said(guess_subject(kept.captions, trigger=trigger), guard)
        words["subject"] = guess or FALLBACK_SUBJECT
        if guess:
            emit(Noted(f"the captions call it {guess!r}: brief.toml says so (subject)"))
        else:
            emit(
                Warned(
                    f"what is it? brief.toml says {FALLBACK_SUBJECT!r}: write there (subject) "
                    "what it is in words that the base knows, such as 'fox mascot'"
                )
            )
    words["prompts"] = words.get("prompts") or list(STARTING_PROMPTS)
    words["palette"] = words.get("palette") or propose_palette(kept.small)
    return words


def _may_be_said(guess: str | None, guard: Guard) -> str | None:
    """The guess; None for one that prompts may not say."""
    try:
        guard.refuse([guess] if guess else [], "the captions' word for it")
    except PromptError:
        return None
    return guess
