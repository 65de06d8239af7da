"""Which code made an artifact: the git commit, where there is one, and a hash of the sources."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache
from pathlib import Path

from onbrand.files import HEX_DIGITS

__all__ = ["PACKAGE", "commit", "made_by", "source_fingerprint"]

PACKAGE = Path(__file__).resolve().parents[1]


@cache
def commit() -> str:
    """The git commit of this checkout ("+" when files differ from it), or "unknown"."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE), *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (
            "+" if git("status", "--porcelain", "--untracked-files=no", "--", ".") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@cache
def source_fingerprint(package: Path = PACKAGE) -> str:
    """16 hex digits over the names and bytes of the package's Python files."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()[:HEX_DIGITS]


def made_by() -> dict[str, str]:
    """{"commit", "source"}: what a manifest says of the code."""
    return {"commit": commit(), "source": source_fingerprint()}
