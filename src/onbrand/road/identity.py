"""make_identity and compare_identities: a character as a vector, from one to a few pictures."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onbrand.artifacts.folder import MANIFEST
from onbrand.artifacts.identity import VECTORS, Identity, IdentityPicture
from onbrand.errors import (
    ArtifactError,
    InputError,
    PictureError,
    PromptError,
    StorageError,
    counted,
)
from onbrand.events import Advanced, Finished, Listener, Noted, Skipped, Started, silent
from onbrand.files import (
    HEX_DIGITS,
    fingerprint_file,
    is_utf8,
    make_folder,
    readable,
    storage_errors,
    write_bytes_atomic,
)
from onbrand.models.parts import PARTS
from onbrand.road.places import paths_of, place_of
from onbrand.road.safety import rejecter
from onbrand.road.words import refuse_words

if TYPE_CHECKING:
    from PIL import Image

    from onbrand.models.packs import Pack

__all__ = ["Likeness", "compare_identities", "make_identity"]

LEAST_SHARE = 0.001  # of a picture's pixels that a part needs: 4 × 4 of 128 × 128
TASK = "reading pictures"
_KEPT = re.compile(rf"pictures/[0-9a-f]{{{HEX_DIGITS}}}\.png")
_HALF = re.compile(r"(pictures/)?\..+\.tmp")


@dataclass(frozen=True)
class Likeness:
    """How alike two identities are: cosine of the whole, and of each part that both have."""

    whole: float
    parts: Mapping[str, float]


def make_identity(
    out: str | Path,
    pictures: Path | str | Sequence[Path | str],
    *,
    name: str | None = None,
    description: str | None = None,
    base: str = "pocket",
    emit: Listener = silent,
) -> Identity:
    """Reads the pictures (files, or folders of them) of one character and writes its identity into
    the folder `out`: a vector that generation can follow without any training, and one per part.

    `description` says in words who it is ("a red penguin mascot in a sweater"); pictures that show
    it are told that in place of what the brand's brief says of its own subject. None keeps that of
    an identity which is made anew.

    One to five pictures do; they should show the same character in different scenes. What cannot
    be read, is there twice, or is refused by the base's checker is told as `Skipped`. A call that
    was stopped is made again; an identity that lay there is replaced, which is told as `Noted`
    where it shows other pictures.
    Raises `InputError` without a usable picture, for a name that is no text or when `out` is a file
    or holds something else, `PromptError` for a description that is no text, has braces or must not
    be said, `PackError` for a base without an identity encoder.
    """
    from onbrand import pixels
    from onbrand.models import open_pack

    root = Path(out)
    _refuse_other_things(root)
    shown: dict[str, tuple[Path, Image.Image]] = {}
    files = _files(paths_of(pictures))
    pack = open_pack(place_of(base))
    before = _identity_in(root)
    described = before.description if before else ""
    if description is not None:
        described = " ".join(description.split())
    _refuse_no_words(name, described)
    refuse_words(pack, [described], "the identity's description")
    reject = rejecter(pack)
    for path in files:
        try:
            picture = pixels.read(path)
        except PictureError as fault:
            emit(Skipped(str(path), str(fault)))
            continue
        key = fingerprint_file(path)
        if key in shown:
            emit(Skipped(str(path), f"is the same picture as {shown[key][0]}"))
        elif reason := reject(pixels.flatten(picture)):
            emit(Skipped(str(path), reason))
        else:
            shown[key] = (path, picture)
    if not shown:
        raise InputError(f"no usable picture among {counted(len(files), 'file')}: name some")
    emit(Started(TASK, len(shown), "pictures"))
    encoder, each, parts = _embed(pack, [picture for _, picture in shown.values()])
    emit(Advanced(TASK, len(shown)))
    _tell_of_another(root, before, list(shown), emit)
    kept = make_folder(root / "pictures")
    told = []
    for k, (key, (path, picture)) in enumerate(shown.items()):
        pixels.write_png(pixels.flatten(picture), kept / f"{key}.png")
        told.append(IdentityPicture(key, readable(path.name), _odd(each, k)))
    identity = Identity(
        root=root,
        name=name or readable(Path(os.path.abspath(root)).name),  # "." has no name of its own
        base=base,
        encoder=encoder,
        pictures=tuple(told),
        who=_mean(each),
        each=each,
        parts=parts,
        description=described,
    )
    _put_down(identity)
    emit(Finished(TASK, {"pictures": len(shown)}))
    return identity


def compare_identities(one: Identity, two: Identity) -> Likeness:
    """Cosines of the two, 1 for the same. Raises `InputError` when other encoders made them."""
    if one.encoder != two.encoder:
        raise InputError(
            f"{one.root} and {two.root} come from different encoders ({one.encoder} of "
            f"'{one.base}', {two.encoder} of '{two.base}'): make both anew with one base."
        )
    both = [part for part in one.parts if part in two.parts]
    return Likeness(
        float(one.who @ two.who),
        {part: float(one.parts[part] @ two.parts[part]) for part in both},
    )


def _refuse_other_things(root: Path) -> None:
    """Raises `InputError` for a file, and for a folder that holds anything but an identity or the
    pictures of one whose making was stopped."""
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} is a file: name a folder to write the identity into")
    if (root / VECTORS).is_file():
        return
    names = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    if not all(_KEPT.fullmatch(name) or _HALF.fullmatch(name) for name in names):
        raise InputError(f"{root} is there and holds no identity: name another folder")


def _refuse_no_words(name: str | None, description: str) -> None:
    """Raises `InputError` for a name that cannot be written down, `PromptError` for a description
    that cannot, or whose braces would stand in prompts."""
    if name is not None and not is_utf8(name):
        raise InputError(f"the name {name!r} is no text in UTF-8: write it anew")
    if not is_utf8(description):
        raise PromptError(f"the description {description!r} is no text in UTF-8: write it anew")
    if re.search(r"[{}]", description):
        raise PromptError(f"the description {description!r} should be plain words, without braces")


def _identity_in(root: Path) -> Identity | None:
    """The identity in the folder; None where there is none, or a damaged one."""
    try:
        return Identity.load(root)
    except ArtifactError:
        return None


def _tell_of_another(
    root: Path, before: Identity | None, keys: Sequence[str], emit: Listener
) -> None:
    """Say so where an identity of other pictures lies in the folder, a damaged one included: it is
    about to go."""
    if not (root / VECTORS).is_file():
        return
    there = {path.stem for path in (root / "pictures").glob("*.png")}
    if before:  # a call that was stopped has left more than that
        there = {picture.key for picture in before.pictures}
    if there != set(keys):
        emit(Noted(f"replaces the identity in {root}, of {counted(len(there), 'picture')}"))


def _put_down(identity: Identity) -> None:
    """Saves it where its pictures are already, and removes those of an identity that was there.
    Its manifest goes first: stopped in between, the folder is no identity rather than a mixed one.
    """
    kept = {f"{picture.key}.png" for picture in identity.pictures}
    files = [identity.root / name for name in (VECTORS, MANIFEST)]
    before = {path: path.read_bytes() for path in files if path.is_file()}
    try:
        with storage_errors(identity.root):
            (identity.root / MANIFEST).unlink(missing_ok=True)
        identity.save()
    except BaseException:  # Ctrl-C, too: the one that was there stays, with its description
        with contextlib.suppress(StorageError):
            for path, data in before.items():
                write_bytes_atomic(path, data)
        raise
    with storage_errors(identity.root):
        for path in (identity.root / "pictures").iterdir():
            if path.name not in kept and _KEPT.fullmatch(f"pictures/{path.name}"):
                path.unlink()


def _files(given: Sequence[Path]) -> list[Path]:
    from onbrand import pixels

    found: list[Path] = []
    for path in given:
        if path.is_dir():
            found += sorted(filter(pixels.is_picture, path.iterdir()))
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def _embed(
    pack: Pack, pictures: Sequence[Image.Image]
) -> tuple[str, NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """(encoder's fingerprint, unit vectors [n, d] of the pictures, one of each part seen)."""
    import torch

    from onbrand import pixels
    from onbrand.judging.looking import to_pixels
    from onbrand.models.perception import load_identity, load_parsing
    from onbrand.models.perception.parsing import mask_of

    encoder, parsing = load_identity(pack), load_parsing(pack)
    squares = [pixels.square(picture, pack.num_px) for picture in pictures]
    pixels_bchw = to_pixels(squares, pack.num_px)
    parts: dict[str, NDArray[np.float32]] = {}
    with torch.inference_mode():
        each = encoder.embed(pixels_bchw).float().cpu().numpy()
        for part, labels in PARTS.items():
            names = [label for label in labels if label in parsing.labels]
            if not names:
                continue
            masks = mask_of(parsing, pixels_bchw, names)
            seen = (masks > 0.5).float().mean((1, 2)) >= LEAST_SHARE
            if bool(seen.any()):
                rows = encoder.embed_part(pixels_bchw[seen], masks[seen])
                parts[part] = _mean(rows.float().cpu().numpy())
    return pack.role_fingerprint("identity"), np.asarray(each, np.float32), parts


def _odd(each: NDArray[np.float32], index: int) -> float | None:
    """Cosine of one picture to the mean of the others; None for a single one."""
    if len(each) == 1:
        return None
    others = np.delete(each, index, axis=0)
    return round(float(each[index] @ _mean(others)), 4)


def _mean(vectors_nd: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean as a unit vector, [d]."""
    mean = vectors_nd.astype(np.float64).mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)
