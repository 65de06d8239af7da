"""Tensors as safetensors files that are equal when what they hold is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from onbrand.files import write_bytes_atomic

__all__ = ["write_tensors"]


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    header: Mapping[str, str],
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write the tensors in this precision and the strings of `header`, atomically.

    Raises StorageError when the disk refuses.
    """
    whole = {key: t.detach().to("cpu", dtype).contiguous() for key, t in tensors.items()}
    data = save(whole, metadata={k: str(v) for k, v in header.items()})
    write_bytes_atomic(path, _sorted_header(data))
    return path


def _sorted_header(data: bytes) -> bytes:
    """The same safetensors file with its strings sorted: the library writes them in random order,
    and two equal adapters should be equal files."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]
