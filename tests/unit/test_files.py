"""Files are whole or absent, and a full disk is one line."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from onbrand.errors import StorageError
from onbrand.files import (
    cut_name,
    fingerprint_bytes,
    fingerprint_file,
    storage_errors,
    write_bytes_atomic,
    write_json_atomic,
)


@contextlib.contextmanager
def small_disk() -> Iterator[None]:
    """No file may grow beyond 4 KiB in this process inside the block. No wider than that: pytest's
    own output may be a longer file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)


def test_a_fingerprint_is_the_content(tmp_path: Path) -> None:
    """Bytes and a file of them have one fingerprint: 16 hex digits of SHA-256."""
    (tmp_path / "a").write_bytes(b"abc")
    assert fingerprint_file(tmp_path / "a") == fingerprint_bytes(b"abc") == "ba7816bf8f01cfea"


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """When the disk refuses the new content the old one stays, and no temporary file does."""
    file = tmp_path / "a.bin"
    write_bytes_atomic(file, b"old")
    refused = pytest.raises(StorageError, match=r"no space left to write .*a\.bin: free some space")
    with small_disk(), refused:
        write_bytes_atomic(file, bytes(100_000))
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_full_disk_is_a_storage_error_in_one_line(tmp_path: Path) -> None:
    """ENOSPC from any call becomes a sentence that says what to do."""
    with pytest.raises(StorageError, match="free some space") as raised, storage_errors(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "\n" not in str(raised.value)


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    """A path that runs through a file is a StorageError, not a trace."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot write"):
        write_bytes_atomic(tmp_path / "file" / "below.txt", b"x")


def test_json_never_holds_nan(tmp_path: Path) -> None:
    """NaN is refused, and nothing is written; paths become strings."""
    with pytest.raises(ValueError, match="JSON"):
        write_json_atomic(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())
    write_json_atomic(tmp_path / "a.json", {"x": Path("b/c")})
    assert '"b/c"' in (tmp_path / "a.json").read_text()


def test_a_long_name_of_wide_letters_can_be_written(tmp_path: Path) -> None:
    """The temporary file's name is cut by its bytes, of which an emoji has four."""
    file = tmp_path / ("\N{FOX FACE}" * 62 + ".txt")
    write_bytes_atomic(file, b"x")
    assert file.read_bytes() == b"x"


def test_names_are_cut_between_letters() -> None:
    """At 200 bytes, and what is no UTF-8 is left out."""
    assert cut_name("\N{FOX FACE}" * 60 + "a") == "\N{FOX FACE}" * 50
    assert cut_name("caf\udce9.png") == "caf.png"
