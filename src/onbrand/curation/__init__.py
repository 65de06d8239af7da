"""Curation: a brief and pictures become a Dataset.

    find ─▶ sift ─▶ freeze            ingest.py, captions.py ─▶ freeze.py, looks.py, split.py
    make_brand                        scaffold.py: all of `onbrand new`
    Guard                             guard.py: what may not come in, told by the road

Every file that is left out is listed with a reason in plain words.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onbrand import pixels
from onbrand.artifacts import Dataset
from onbrand.brief import Brief
from onbrand.curation.coverage import coverage, tags_of
from onbrand.curation.freeze import freeze
from onbrand.curation.guard import OPEN, Guard
from onbrand.curation.ingest import (
    Finding,
    Found,
    Reject,
    find,
    let_in,
    nothing_usable,
    read_found,
)
from onbrand.curation.looks import Lookalikes, look_of
from onbrand.curation.palette import propose_palette
from onbrand.curation.scaffold import emit_remarks, lookalike_pictures, make_brand
from onbrand.errors import PictureError
from onbrand.events import Listener, silent

__all__ = [
    "Finding",
    "Found",
    "Guard",
    "Reject",
    "coverage",
    "curate",
    "find",
    "freeze",
    "let_in",
    "lookalike_pictures",
    "make_brand",
    "propose_palette",
    "read_found",
    "tags_of",
]


def curate(
    pictures: str | Path | Sequence[str | Path],
    brief: Brief,
    out: str | Path,
    *,
    lookalikes: str | Path | None = None,
    guard: Guard = OPEN,
    emit: Listener = silent,
) -> Dataset:
    """The pictures (folders, files or patterns) as a Dataset, frozen in the folder `out`.

    A picture that also lies in `lookalikes` is not trained on, nor one that `guard` rejects; one
    that is nearly a look-alike is warned of. Raises `DatasetError` when no picture can be used,
    saying where it looked and what it skipped, and what `guard` raises for the brief's words; the
    dataset that was in `out` then stays as it was.
    """
    places = [pictures] if isinstance(pictures, str | Path) else list(pictures)
    others = find([lookalikes]) if lookalikes is not None and Path(lookalikes).exists() else None
    finding = find(places, without=[found.path for found in others.pictures] if others else ())
    emit_remarks(finding, emit)
    if not finding.pictures:
        raise nothing_usable(finding)
    guard.check_words(brief, finding, emit)
    looked = _looked_at(others) if others else {}
    return freeze(finding, brief, Path(out), lookalikes=looked, reject=guard.reject, emit=emit)


def _looked_at(finding: Finding) -> Lookalikes:
    """The readable pictures, as look-alikes."""
    looked = {}
    for found in finding.pictures:
        try:
            image = read_found(found)
        except PictureError:
            continue
        looked[pixels.fingerprint(image)] = (found.name, look_of(image))
    return looked
