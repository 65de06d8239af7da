"""Writing files so that a reader never meets half of one, and naming bytes by their content.

Every write goes to a temporary file in the same folder, is flushed, and takes its name in one step
(`os.replace`). A full or read-only disk becomes a `StorageError`, and leaves what was there before.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onbrand.errors import StorageError

__all__ = [
    "HEX_DIGITS",
    "LONGEST_NAME_BYTES",
    "cut_name",
    "fingerprint_bytes",
    "fingerprint_file",
    "is_utf8",
    "make_folder",
    "readable",
    "storage_errors",
    "write_bytes_atomic",
    "write_json_atomic",
    "write_text_atomic",
]

HEX_DIGITS = 16
LONGEST_NAME_BYTES = 200
"""Of a file's name, without what is added to it: file systems take 255."""

_HALVES = re.compile("[\ud800-\udfff]")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def fingerprint_bytes(data: bytes) -> str:
    """The first 16 hex digits of the SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()[:HEX_DIGITS]


def fingerprint_file(path: Path) -> str:
    """The first 16 hex digits of the SHA-256 of a file's bytes. Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:HEX_DIGITS]


def is_utf8(text: str) -> bool:
    """Whether the text can be written as UTF-8. Halves of characters cannot, which JSON may hold,
    and which bytes of another encoding become on a command line."""
    return not _HALVES.search(text)


def readable(name: str) -> str:
    """A file's name as text: what is no UTF-8 in it becomes the sign for that."""
    return _HALVES.sub("\N{REPLACEMENT CHARACTER}", name)


def cut_name(name: str) -> str:
    """A file's name, cut to `LONGEST_NAME_BYTES`; what is no UTF-8 in it is left out."""
    return name.encode(errors="ignore")[:LONGEST_NAME_BYTES].decode(errors="ignore")


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns what the block, which writes `path`, meets on a full or closed disk into a one-line
    `StorageError`; safetensors' own exception of a full disk too."""
    full = f"no space left to write {path}: free some space and run the same command again"
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageError(full) from error
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    except Exception as error:
        if "I/O error" in str(error) or "No space" in str(error):
            raise StorageError(full) from error
        raise


def make_folder(path: Path) -> Path:
    """Makes the folder and those above it; fine when it is there. Raises `StorageError`."""
    with storage_errors(path):
        Path(path).mkdir(parents=True, exist_ok=True)
    return Path(path)


def write_bytes_atomic(path: Path, data: bytes, *, flush: bool = True) -> None:
    """Writes `data` to `path`, whole or not at all. Makes its folder. Raises `StorageError`.

    `flush` waits until the disk has it; without, only a power cut could lose the file.
    """
    path = Path(path)
    make_folder(path.parent)
    with storage_errors(path):
        fresh = path.with_name(f".{cut_name(path.name)}.{secrets.token_hex(4)}.tmp")
        try:
            with open(fresh, "xb") as file:
                file.write(data)
                if flush:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(fresh, path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise


def write_text_atomic(path: Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all. Raises `StorageError`."""
    write_bytes_atomic(path, text.encode("utf-8"))


def write_json_atomic(path: Path, value: object) -> None:
    """Writes a JSON value, indented, whole or not at all. Raises `StorageError`.

    Paths become strings. NaN and infinity are no JSON: they raise ValueError.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    write_text_atomic(path, text + "\n")


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
