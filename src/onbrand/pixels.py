"""Reading pictures that nobody vouches for, and writing them so that everybody can read them.

`read` gives 8-bit RGB or RGBA, upright, in sRGB, from whatever a phone, a designer or a shop made,
or one line that says why not. A file's header is judged before any pixel is decoded, so that a
decompression bomb costs nothing.
"""

from __future__ import annotations

import io
import re
import stat
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError

from onbrand.errors import PictureError
from onbrand.files import fingerprint_bytes, write_bytes_atomic

__all__ = [
    "BLACK",
    "ENDINGS",
    "MAX_BYTES",
    "MAX_PX",
    "begins_as_picture",
    "fingerprint",
    "fit",
    "flatten",
    "is_picture",
    "read",
    "square",
    "to_array",
    "write_png",
]

MAX_PX = 64_000_000
"""The most pixels a picture may have (width × height), unless `read` is told otherwise."""

MAX_BYTES = 256 * 2**20
"""The largest file that is opened at all."""

ENDINGS = frozenset(
    {
        ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".webp", ".gif", ".bmp", ".tif",
        ".tiff", ".avif",
    }
)  # fmt: skip
"""File name endings, lower case, that count as pictures."""

COMPRESSION = 4  # of 9: twice as fast as 6, files a few percent larger
WHITE = (255, 255, 255)
BLACK = (0, 0, 0)
# no format that runs a program (EPS) or holds documents (PDF) is ever tried;
# the photographs of some phones (MPO: a JPEG with more behind it) come as JPEG
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_FIRST_BYTES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\x00", b"MM\x00*")
_DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")


def begins_as_picture(path: str | Path) -> bool:
    """Whether the first bytes of a file are those of a picture that is read, whatever its name."""
    try:
        with Path(path).open("rb") as file:
            first = file.read(12)
    except OSError:
        return False
    return first.startswith(_FIRST_BYTES) or (first[:4], first[8:]) == (b"RIFF", b"WEBP")


def is_picture(path: str | Path) -> bool:
    """Whether the file's name says that it is a picture; its content is not looked at."""
    name = Path(path).name
    return not name.startswith(".") and Path(name).suffix.lower() in ENDINGS


def read(path: str | Path, *, max_px: int = MAX_PX) -> Image.Image:
    """The picture in a file as 8-bit RGB, or RGBA where something is transparent.

    Turned as its EXIF says, brought to sRGB from its colour profile; CMYK, grey, 16-bit and
    palette pictures are converted; nothing else that the file says comes along. Raises
    `PictureError` for what is missing, empty, damaged, cut short, animated, no picture, or has more
    than `max_px` pixels (which the header tells, before any memory is spent).
    """
    path = Path(path)
    _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_formats()) as image:
                _check_header(path, image, max_px)
                if image.mode == "F":
                    raise PictureError(
                        f"{path} has floating-point pixels: save it with 8 bits a channel"
                    )
                image.load()
                return _plain(_upright(image))
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as fault:
        told = re.search(r"\d{6,}", str(fault))
        raise _too_large(path, int(told.group()) if told else None, max_px) from fault
    except UnidentifiedImageError as fault:
        raise PictureError(f"{path} is no picture, or its beginning is damaged") from fault
    except MemoryError as fault:
        raise PictureError(f"{path} needs more memory than there is: make it smaller") from fault
    except Exception as fault:  # decoders of foreign bytes fail in every way there is
        said = str(fault) or type(fault).__name__
        if re.search(r"truncat|broken|unexpected end|incomplete|not enough", said, re.IGNORECASE):
            raise PictureError(f"{path} is cut short or damaged: get it anew") from fault
        raise PictureError(f"{path} cannot be read as a picture ({said})") from fault


def flatten(image: Image.Image, colour: tuple[int, int, int] = WHITE) -> Image.Image:
    """The picture as RGB, laid on a plain colour where it is transparent."""
    if image.mode == "RGB":
        return image
    if image.mode != "RGBA":
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, (*colour, 255))
    return Image.alpha_composite(ground, image).convert("RGB")


def fit(image: Image.Image, size_px: int, fill: tuple[int, int, int] | None = WHITE) -> Image.Image:
    """The whole picture on a square of `size_px`, centred, never cropped or stretched.

    The rest is `fill`, or the median colour of the picture's border when that is None; a picture
    with alpha keeps it, and the rest is transparent. Brought down by Lanczos.
    """
    if image.size == (size_px, size_px):
        return image
    scale = size_px / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    small = image.resize((width, height), Image.Resampling.LANCZOS)
    if small.size == (size_px, size_px):
        return small
    rest = _border_colour(image) if fill is None else fill
    ground = (*rest, 0) if image.mode == "RGBA" else rest
    square = Image.new(image.mode, (size_px, size_px), ground if image.mode != "L" else rest[0])
    square.paste(small, ((size_px - width) // 2, (size_px - height) // 2))
    return square


def square(image: Image.Image, size_px: int) -> Image.Image:
    """The whole picture as training shows it, RGB, on a square of `size_px`: what it leaves of that
    is white for a cut-out, else the median colour of its border."""
    return fit(flatten(image), size_px, WHITE if image.mode == "RGBA" else None)


def write_png(image: Image.Image, path: str | Path, metadata: dict[str, str] | None = None) -> None:
    """Writes a PNG, whole or not at all, with `metadata` as its text fields and nothing else.

    Makes the folder. Raises `StorageError` when the disk is full or may not be written.
    """
    clean = image.copy()
    clean.info = {}
    texts = PngImagePlugin.PngInfo()
    for key, value in (metadata or {}).items():
        texts.add_itxt(key, value)
    buffer = io.BytesIO()
    clean.save(buffer, format="PNG", pnginfo=texts, compress_level=COMPRESSION)
    write_bytes_atomic(Path(path), buffer.getvalue(), flush=False)


def to_array(image: Image.Image) -> NDArray[np.float32]:
    """The pixels as float32 [height, width, channels] in [0, 1]."""
    array = np.asarray(image, dtype=np.float32) / np.float32(255)
    return array[..., None] if array.ndim == 2 else array


def fingerprint(image: Image.Image) -> str:
    """16 hex digits of the pixels alone: the same for one picture in two file formats."""
    head = f"{image.mode} {image.width} {image.height} ".encode()
    return fingerprint_bytes(head + image.tobytes())


def _formats() -> list[str]:
    """The formats that this build of PIL can read (AVIF is not in all)."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _check_file(path: Path) -> None:
    try:
        facts = path.stat()
    except FileNotFoundError:
        raise PictureError(f"no file {path}") from None
    except (OSError, ValueError) as fault:
        raise PictureError(f"{path} cannot be reached: {fault}") from fault
    if not stat.S_ISREG(facts.st_mode):
        raise PictureError(f"{path} is no file")
    if facts.st_size == 0:
        raise PictureError(f"{path} is empty (0 bytes)")
    if facts.st_size > MAX_BYTES:
        raise PictureError(f"{path} has {facts.st_size / 2**20:.0f} MiB: save it smaller")


def _check_header(path: Path, image: Image.Image, max_px: int) -> None:
    if image.width * image.height > max_px:
        raise _too_large(path, image.width * image.height, max_px, image.size)
    num_frames = 1 if image.format in ("MPO", "JPEG") else getattr(image, "n_frames", 1)
    if num_frames > 1 and image.format == "TIFF":
        raise PictureError(f"{path} has {num_frames} pages: save the page you want by itself")
    if num_frames > 1:
        raise PictureError(
            f"{path} is animated ({num_frames} frames): save the frame you want as a still picture"
        )


def _too_large(
    path: Path, num_px: int | None, max_px: int, size: tuple[int, int] | None = None
) -> PictureError:
    told = f"{size[0]:,} × {size[1]:,} pixels" if size else "too many pixels"
    if not size and num_px:
        told = f"{num_px / 1e6:,.0f} million pixels"
    most = f"{max_px / 1e6:,.0f} million"
    return PictureError(f"{path} has {told}, more than the {most} that are opened: scale it down")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF that cannot be read says nothing about the picture
        return image


def _plain(image: Image.Image) -> Image.Image:
    """8-bit sRGB in RGB or RGBA, without anything else that came with the file."""
    profile = image.info.get("icc_profile")
    if image.mode in _DEEP_MODES:
        image, profile = _from_deep(image), None
    alpha = _alpha_of(image)
    colours = _to_srgb(image, profile)
    if alpha is not None and alpha.getextrema() != (255, 255):
        colours.putalpha(alpha)
    colours.info = {}
    return colours


def _alpha_of(image: Image.Image) -> Image.Image | None:
    if "A" in image.getbands() or "transparency" in image.info or image.mode in ("PA", "La"):
        return image.convert("RGBA").getchannel("A")
    return None


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The colours as RGB; a profile that cannot be used is passed over."""
    if image.mode in ("P", "PA", "1", "LA", "La", "RGBA", "RGBa", "RGBX"):
        grey = image.mode in ("LA", "La", "1")
        opaque = image.convert("RGBA").convert("L" if grey else "RGB")
    else:
        opaque = image
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            turned = ImageCms.profileToProfile(opaque, source, target, outputMode="RGB")
            if turned is not None:
                return turned
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    rgb = opaque.convert("RGB")
    return rgb.copy() if rgb is image else rgb


def _from_deep(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit, with alpha where one of its shades is transparent; values that fit in
    8 bits already are kept."""
    deep = np.asarray(image).astype(np.int64)
    shades = np.rint(deep / 257) if deep.max(initial=0) > 255 else deep
    grey = Image.fromarray(np.clip(shades, 0, 255).astype(np.uint8))
    clear = image.info.get("transparency")
    if clear is not None:
        grey.putalpha(Image.fromarray(np.where(deep == clear, 0, 255).astype(np.uint8)))
    return grey


def _border_colour(image: Image.Image) -> tuple[int, int, int]:
    pixels = np.asarray(flatten(image))
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = np.median(edge, axis=0).round().astype(int).tolist()
    return red, green, blue
