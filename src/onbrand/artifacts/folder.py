"""An artifact is a folder with a manifest.json that says what kind of thing it is.

    {"kind": "dataset", "version": 1, …the fields of that kind…}

The manifest is written last, in one step: a folder without one is unfinished, never half-true.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onbrand.errors import ArtifactError
from onbrand.files import write_json_atomic

__all__ = [
    "DAMAGED",
    "MANIFEST",
    "listed",
    "not_finite_as_none",
    "read_json",
    "read_manifest",
    "write_manifest",
]

MANIFEST = "manifest.json"
VERSION = 1
DAMAGED = (LookupError, TypeError, ValueError, AttributeError)
"""What reading a manifest's fields raises where they are not of their kind."""


def read_json(path: Path) -> Any:
    """The value in a JSON file. Raises `ArtifactError` when it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"no file {path}") from None
    except (ValueError, OSError) as fault:
        raise ArtifactError(f"{path} cannot be read: {fault}") from fault
    except RecursionError:
        raise ArtifactError(f"{path} cannot be read: it is nested too deep") from None


def read_manifest(root: Path, kind: str) -> dict[str, Any]:
    """The manifest of an artifact of this kind. Raises `ArtifactError` when it is anything else."""
    path = Path(root) / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"{root} is no {kind}: it has no {MANIFEST}")
    fields = read_json(path)
    if not isinstance(fields, dict) or "kind" not in fields:
        raise ArtifactError(f"{path} is damaged: it does not say of what kind it is")
    if fields["kind"] != kind:
        raise ArtifactError(f"{root} is of the kind {fields['kind']}, but {kind} was asked for")
    if fields.get("version") != VERSION:
        raise ArtifactError(
            f"{root} ({kind}) has version {fields.get('version')}, but this onbrand reads version "
            f"{VERSION}: make it again, or use the onbrand that made it"
        )
    return fields


def listed(fields: Mapping[str, Any], name: str) -> list[Any]:
    """The field that is a list. Raises KeyError, and TypeError for another kind: an empty table
    would pass for an empty list."""
    value = fields[name]
    if not isinstance(value, list):
        raise TypeError(f"{name} is no list")
    return value


def write_manifest(root: Path, kind: str, fields: Mapping[str, object]) -> None:
    """Makes the folder an artifact of this kind. Raises `StorageError`."""
    write_json_atomic(Path(root) / MANIFEST, {"kind": kind, "version": VERSION, **fields})


def not_finite_as_none(value: Any) -> Any:
    """The value with every NaN and infinity, which JSON does not have, as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: not_finite_as_none(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [not_finite_as_none(inner) for inner in value]
    return value
