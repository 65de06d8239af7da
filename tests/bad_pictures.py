"""Makes the pictures that nobody should send and everybody does."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

__all__ = ["bomb_png", "half_red_half_blue", "swapped_profile", "truncated"]


def half_red_half_blue(width: int = 40, height: int = 24) -> Image.Image:
    """Red on the left, blue on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


def bomb_png(path: Path, side_px: int = 40_000) -> Path:
    """A PNG of a few hundred bytes whose header promises side × side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(10_000))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    return path


def truncated(path: Path, image: Image.Image, kind: str = "PNG") -> Path:
    """The first 60 % of a picture's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, kind)
    path.write_bytes(buffer.getvalue()[: int(buffer.tell() * 0.6)])
    return path


def swapped_profile() -> bytes:
    """A colour profile whose red is sRGB's blue, and the reverse."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return (
        profile.replace(b"rXYZ", b"----", 1)
        .replace(b"bXYZ", b"rXYZ", 1)
        .replace(b"----", b"bXYZ", 1)
    )
