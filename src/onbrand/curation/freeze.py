"""Freezes pictures into a Dataset: each by the hash of its pixels, told apart, split, covered.

The manifest is written last. A curation that is stopped, or finds the disk full, leaves the dataset
that was there before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand import pixels
from onbrand.artifacts import Asset, Dataset, Skip
from onbrand.artifacts.dataset import Split
from onbrand.brief import Brief
from onbrand.curation.coverage import coverage, tags_of
from onbrand.curation.ingest import Finding, Found, Reject, let_in, nothing_usable, sift
from onbrand.errors import DatasetError, PictureError, counted, nearest
from onbrand.events import Finished, Listener, Skipped, Warned
from onbrand.files import write_json_atomic

__all__ = ["FEW", "freeze", "gets_bars", "is_near", "keep_left_behind", "look_of", "split_of"]

FEW = 5
EVERY = 5
HASH_SIDE = 16
NEAR_BITS = 12  # of 256
NEAR_DIFFERENCE = 3.0  # mean over pixels and channels, of 255
PLAIN_DIFFERENCE = 12.0  # the same, of a side that looks plain
OBLONG = 1.1
TASK = "freezing the dataset"
LEFT_BEHIND = "left_behind.json"


@dataclass(frozen=True)
class Look:
    """A small print of a picture: 256 bits of its gradients and a thumbnail [16, 16, 3]."""

    bits: NDArray[np.bool_]
    thumbnail: NDArray[np.float32]


@dataclass(frozen=True)
class _Read:
    found: Found
    key: str
    look: Look
    size: tuple[int, int]
    has_alpha: bool
    gets_bars: bool


def freeze(
    finding: Finding,
    brief: Brief,
    out: Path,
    *,
    lookalike_keys: Mapping[str, str],
    reject: Reject = let_in,
    emit: Listener,
) -> Dataset:
    """The found pictures as a Dataset in `out`, saved. Files of older pictures there are removed.

    What cannot be read, is there twice, is noted as a colour variant, has a key of `lookalike_keys`
    (key -> name) or is left out by `reject` is listed as a skip, behind what `keep_left_behind`
    keeps. Raises `DatasetError` when nothing is left to train on, `StorageError` when the disk is
    full.
    """
    skipped = list(finding.skipped)
    reads = _read_all(finding, out, lookalike_keys, reject, skipped, emit)
    for skip in skipped:
        emit(Skipped(skip.path, skip.reason))
    if not reads:
        raise nothing_usable(replace(finding, skipped=skipped))
    if len(reads) < FEW:
        few = "a single picture" if len(reads) == 1 else f"only {len(reads)} pictures"
        emit(Warned(f"{few}: expect little; {FEW * 3} or more learn well"))
    _warn_of_bars(reads, emit)
    near = _near_pairs([read.look for read in reads])
    names = [read.found.name for read in reads]
    splits = split_of(names, near, brief.held_out, emit)
    captions = [read.found.caption for read in reads]
    tags = [tags_of(caption) for caption in captions]
    assets = [
        Asset(
            key=read.key,
            file=f"pictures/{read.key}.png",
            caption=read.found.caption,
            split=splits[i],
            tags=tags[i],
            source=read.found.name,
            width_px=read.size[0],
            height_px=read.size[1],
            has_alpha=read.has_alpha,
        )
        for i, read in enumerate(reads)
    ]
    told_coverage = coverage(captions, tags)
    told_coverage["near_duplicates"] = [[names[i], names[j]] for i, j in near]
    dataset = Dataset(out, assets, [*_left_behind(out), *skipped], told_coverage)
    dataset.save()
    _sweep(dataset)
    num_held_out = len(dataset.held_out)
    facts = {"pictures": len(assets), "held out": num_held_out, "skipped": len(skipped)}
    emit(Finished(TASK, facts))
    return dataset


def keep_left_behind(out: Path, skipped: Sequence[Skip]) -> None:
    """Write down beside the dataset in `out` what was not copied into the brand's folder, which
    later freezes read from there no more."""
    write_json_atomic(out / LEFT_BEHIND, [asdict(skip) for skip in skipped])


def _left_behind(out: Path) -> list[Skip]:
    try:
        return [Skip(**told) for told in json.loads((out / LEFT_BEHIND).read_text("utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _read_all(
    finding: Finding,
    out: Path,
    lookalike_keys: Mapping[str, str],
    reject: Reject,
    skipped: list[Skip],
    emit: Listener,
) -> list[_Read]:
    """Reads and writes every usable picture; adds to `skipped` what is left out."""
    reads: list[_Read] = []
    usable = sift(
        finding, skipped, lookalike_keys=lookalike_keys, reject=reject, task=TASK, emit=emit
    )
    for found, image, key in usable:
        file = out / "pictures" / f"{key}.png"
        if not _holds(file, key):
            pixels.write_png(image, file)
        reads.append(
            _Read(found, key, look_of(image), image.size, image.mode == "RGBA", gets_bars(image))
        )
    return reads


def gets_bars(image: Image.Image) -> bool:
    """Whether the plain colour that fills an oblong picture up to a square would be seen: it is
    opaque, and not of one colour along the sides that are filled up."""
    width, height = image.size
    if image.mode == "RGBA" or max(width, height) < OBLONG * min(width, height):
        return False
    small = np.asarray(pixels.flatten(image).resize((64, 64), Image.Resampling.BOX), np.float32)
    sides = small[:, [0, -1]] if height > width else small[[0, -1]]
    colours = sides.reshape(-1, 3)
    return float(np.abs(colours - np.median(colours, axis=0)).mean()) > PLAIN_DIFFERENCE


def _warn_of_bars(reads: Sequence[_Read], emit: Listener) -> None:
    barred = [read.found.name for read in reads if read.gets_bars]
    if barred:
        emit(
            Warned(
                f"{len(barred)} of {counted(len(reads), 'picture')} are not square and have no "
                f"plain background (such as {barred[0]}): nothing is cropped, so bars of one "
                "colour fill them up, and are learned with them. Crop them to squares around the "
                "subject"
            )
        )


def _holds(file: Path, key: str) -> bool:
    """Whether the picture lies there whole."""
    try:
        return file.is_file() and pixels.fingerprint(pixels.read(file)) == key
    except PictureError:
        return False


def _sweep(dataset: Dataset) -> None:
    """Removes the files of pictures that the dataset no longer has."""
    kept = {PurePosixPath(asset.file).name for asset in dataset.assets}
    for file in (dataset.root / "pictures").glob("*.png"):
        if file.name not in kept:
            file.unlink(missing_ok=True)


# -- telling pictures apart ------------------------------------------------------------------


def look_of(image: Image.Image) -> Look:
    """The picture's print: dHash (does each place grow lighter to the right?) and a thumbnail."""
    flat = pixels.flatten(image)
    grey = flat.convert("L").resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)
    values = np.asarray(grey, dtype=np.int16)
    small = flat.resize((HASH_SIDE, HASH_SIDE), Image.Resampling.BOX)
    return Look(values[:, 1:] > values[:, :-1] + 1, np.asarray(small, dtype=np.float32))


def is_near(one: Look, other: Look) -> bool:
    """Whether two pictures are nearly the same: re-saved, scaled, or changed in a trifle."""
    if int(np.count_nonzero(one.bits != other.bits)) > NEAR_BITS:
        return False
    return float(np.abs(one.thumbnail - other.thumbnail).mean()) <= NEAR_DIFFERENCE


def _near_pairs(looks: Sequence[Look]) -> list[tuple[int, int]]:
    """All pairs (i < j) of near pictures; by a matrix product, so that thousands are no trouble."""
    signs = np.stack([look.bits.ravel() for look in looks]).astype(np.float32) * 2 - 1
    differing = (signs.shape[1] - signs @ signs.T) / 2
    close = np.argwhere(np.triu(differing <= NEAR_BITS + 0.5, k=1)).tolist()
    return [(i, j) for i, j in close if is_near(looks[i], looks[j])]


# -- splitting -------------------------------------------------------------------------------


def split_of(
    names: Sequence[str],
    near: Sequence[tuple[int, int]],
    patterns: Sequence[str],
    emit: Listener,
) -> list[Split]:
    """ "train" or "held_out" for each picture: by the brief's patterns, else about every fifth.

    Without patterns no picture is held out that is nearly the same as another, for it would measure
    memory. Raises `DatasetError` when the patterns leave nothing to train on, or none to measure.
    """
    held = _named(names, patterns, emit) if patterns else _every_fifth(len(names), near)
    if len(held) == len(names):
        raise DatasetError(
            f"held_out = {list(patterns)} keeps all {len(names)} pictures from training: name fewer"
        )
    if patterns and not held:
        raise DatasetError(
            f"held_out = {list(patterns)} names none of the {len(names)} pictures ({names[0]}, …)"
        )
    for i, j in near:
        if (i in held) != (j in held):
            kept, trained = (i, j) if i in held else (j, i)
            emit(
                Warned(
                    f"{names[kept]} is held out, but {names[trained]}, which is trained on, is "
                    "nearly the same picture: hold out both"
                )
            )
    return ["held_out" if i in held else "train" for i in range(len(names))]


def _named(names: Sequence[str], patterns: Sequence[str], emit: Listener) -> set[int]:
    held: set[int] = set()
    for pattern in patterns:
        matches = _matching(names, pattern)
        if not matches and PurePosixPath(pattern).suffix.lower() in pixels.ENDINGS:
            matches = _matching(names, PurePosixPath(pattern).stem)  # its copy is another format's
        if not matches:
            guess = nearest(pattern, [PurePosixPath(name).name for name in names])
            hint = f"; did you mean {guess!r}?" if guess else ""
            emit(Warned(f"held_out: no picture is called {pattern!r}{hint}"))
        held |= matches
    return held


def _matching(names: Sequence[str], pattern: str) -> set[int]:
    """Indices of the names that match as a whole, without their folder, or without their ending."""
    told = [(name, PurePosixPath(name)) for name in names]
    return {
        i
        for i, (name, path) in enumerate(told)
        if any(fnmatch(text, pattern) for text in (name, path.name, path.stem))
    }


def _every_fifth(num: int, near: Sequence[tuple[int, int]]) -> set[int]:
    twins = {i for pair in near for i in pair}
    alone = [i for i in range(num) if i not in twins]
    held = alone[EVERY - 1 :: EVERY]
    if len(held) < 2 and len(alone) >= 4:
        held = [alone[1], alone[-1]]
    elif not held and num >= 2:
        held = alone[-1:] or [num - 1]
    return set(held)
