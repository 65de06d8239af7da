"""Freezes pictures into a Dataset: each by the hash of its pixels, told apart, split, covered.

The manifest is written last. A curation that is stopped, or finds the disk full, leaves the dataset
that was there before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from onbrand import pixels
from onbrand.artifacts import Asset, Dataset, Skip
from onbrand.brief import Brief
from onbrand.curation.coverage import coverage, tags_of
from onbrand.curation.ingest import Finding, Found, Reject, let_in, nothing_usable, sift
from onbrand.curation.looks import Look, Lookalikes, look_of, near_pairs
from onbrand.curation.split import split_of
from onbrand.errors import PictureError, counted
from onbrand.events import Finished, Listener, Skipped, Warned
from onbrand.files import storage_errors, write_json_atomic

__all__ = ["FEW", "freeze", "gets_bars", "keep_left_behind"]

FEW = 5
PLAIN_DIFFERENCE = 12.0  # mean over pixels and channels, of 255, of a side that looks plain
OBLONG = 1.1
TASK = "freezing the dataset"
LEFT_BEHIND = "left_behind.json"


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
    lookalikes: Lookalikes,
    reject: Reject = let_in,
    emit: Listener,
) -> Dataset:
    """The found pictures as a Dataset in `out`, saved. Files of older pictures there are removed.

    What cannot be read, is there twice, is noted as a colour variant, is one of `lookalikes` or is
    left out by `reject` is listed as a skip, behind what `keep_left_behind` keeps. What is nearly a
    look-alike is warned of. Raises `DatasetError` when nothing is left to train on, `StorageError`
    when the disk is full.
    """
    skipped = list(finding.skipped)
    reads = _read_all(finding, out, lookalikes, reject, skipped, emit)
    for skip in skipped:
        emit(Skipped(skip.path, skip.reason))
    if not reads:
        raise nothing_usable(replace(finding, skipped=skipped))
    if len(reads) < FEW:
        few = "a single picture" if len(reads) == 1 else f"only {len(reads)} pictures"
        emit(Warned(f"{few}: expect little; {FEW * 3} or more learn well"))
    _warn_of_bars(reads, emit)
    near = near_pairs([read.look for read in reads])
    names = [read.found.name for read in reads]
    aliases = [read.found.aliases for read in reads]
    splits = split_of(names, near, brief.held_out, emit, aliases=aliases)
    trained = [read for read, split in zip(reads, splits, strict=True) if split == "train"]
    _warn_of_lookalikes(trained, list(lookalikes.values()), emit)
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
    lookalikes: Lookalikes,
    reject: Reject,
    skipped: list[Skip],
    emit: Listener,
) -> list[_Read]:
    """Reads and writes every usable picture; adds to `skipped` what is left out."""
    reads: list[_Read] = []
    usable = sift(finding, skipped, lookalikes=lookalikes, reject=reject, task=TASK, emit=emit)
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


def _warn_of_lookalikes(
    trained: Sequence[_Read], lookalikes: Sequence[tuple[str, Look]], emit: Listener
) -> None:
    """In one line: a drawing that differs in one trait is as near as another saving of the same."""
    if not lookalikes:
        return
    first = len(trained)
    looks = [read.look for read in trained] + [look for _, look in lookalikes]
    pairs = [(i, j - first) for i, j in near_pairs(looks) if i < first <= j]
    if pairs:
        ours, theirs = trained[pairs[0][0]].found.name, lookalikes[pairs[0][1]][0]
        num = counted(len({j for _, j in pairs}), "look-alike")
        emit(
            Warned(
                f"{num} (such as {theirs}) are hardly to be told from pictures that are trained on "
                f"(such as {ours}): if they show your own subject, take them out of lookalikes/"
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
            with storage_errors(file):
                file.unlink(missing_ok=True)
