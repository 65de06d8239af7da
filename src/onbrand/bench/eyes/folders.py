"""Folders of real pictures that the eyes look at, where they are."""

from __future__ import annotations

from pathlib import Path

from onbrand.files import fingerprint_bytes

__all__ = ["FOLDERS", "fingerprint"]

FOLDERS = ("gopher", "dreambooth", "fluent-emoji")
"""Their names in the data folder; each has a metadata.jsonl."""


def fingerprint(folder: Path) -> str:
    """16 hex digits over names and sizes of a folder's files; "" where it is not there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    listed = "\n".join(f"{path.relative_to(folder)} {path.stat().st_size}" for path in files)
    return fingerprint_bytes(listed.encode()) if folder.is_dir() else ""
