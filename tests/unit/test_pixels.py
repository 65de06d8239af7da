"""Pictures of every kind become plain RGB or RGBA, or one line that says why not."""

from __future__ import annotations

import contextlib
import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from bad_pictures import bomb_png, half_red_half_blue, swapped_profile, truncated
from brand_folder import cut_off_cut_out
from PIL import Image

from onbrand import pixels
from onbrand.errors import PictureError, StorageError

RED, BLUE = (255, 0, 0), (0, 0, 255)


def noisy(side: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(7).integers(0, 255, (side, side, 3), np.uint8))


def is_near(colour: object, wanted: tuple[int, int, int], by: int = 40) -> bool:
    return bool(np.abs(np.subtract(colour, wanted)).max() <= by)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_every_common_format_is_read(tmp_path: Path, kind: str) -> None:
    """A still picture in any common format gives its pixels as RGB."""
    file = tmp_path / f"a.{kind.lower()}"
    half_red_half_blue().save(file, kind)
    image = pixels.read(file)
    assert (image.mode, image.size, image.info) == ("RGB", (40, 24), {})
    assert is_near(image.getpixel((4, 12)), RED)
    assert is_near(image.getpixel((36, 12)), BLUE)
    assert pixels.is_picture(file)


def test_a_turned_photograph_stands_upright(tmp_path: Path) -> None:
    """EXIF orientation 6 (turned by 90°) is carried out, and then forgotten."""
    exif = Image.Exif()
    exif[0x0112] = 6
    half_red_half_blue().save(tmp_path / "a.jpg", exif=exif, quality=95)
    image = pixels.read(tmp_path / "a.jpg")
    assert image.size == (24, 40)
    assert is_near(image.getpixel((12, 4)), RED)
    assert not image.getexif()


def test_cmyk_is_converted(tmp_path: Path) -> None:
    """A print picture comes out in the colours that it would be printed in."""
    half_red_half_blue().convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    image = pixels.read(tmp_path / "a.jpg")
    assert image.mode == "RGB"
    assert is_near(image.getpixel((4, 12)), RED)


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    """A 16-bit grey picture keeps its shades; it does not turn white."""
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (16, 1))
    for name in ("a.png", "a.tif"):
        Image.fromarray(ramp).save(tmp_path / name)
        shades = np.asarray(pixels.read(tmp_path / name))[0, :, 0]
        assert shades.tolist() == list(range(256))


def test_a_palette_with_transparency_keeps_it(tmp_path: Path) -> None:
    """A palette picture with a transparent colour becomes RGBA, and white when flattened."""
    image = half_red_half_blue().quantize(4)
    image.save(tmp_path / "a.png", transparency=image.getpixel((4, 12)))
    read = pixels.read(tmp_path / "a.png")
    assert read.mode == "RGBA"
    assert read.getpixel((4, 12))[3] == 0
    assert pixels.flatten(read).getpixel((4, 12)) == (255, 255, 255)
    assert is_near(pixels.flatten(read).getpixel((36, 12)), BLUE)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "RGB"])
def test_every_mode_of_png_is_read(tmp_path: Path, mode: str) -> None:
    """Grey, two-tone, palette and alpha modes all come out as RGB when nothing is transparent."""
    half_red_half_blue().convert(mode).save(tmp_path / "a.png")
    assert pixels.read(tmp_path / "a.png").mode == "RGB"


def test_a_colour_profile_is_used_and_a_broken_one_passed_over(tmp_path: Path) -> None:
    """A profile's colours are brought to sRGB, under alpha too; one of garbage does no harm."""
    for mode in ("RGB", "RGBA"):
        image = half_red_half_blue().convert(mode)
        if mode == "RGBA":
            image.putpixel((0, 0), (0, 0, 0, 0))
        image.save(tmp_path / "a.png", icc_profile=swapped_profile())
        assert is_near(pixels.read(tmp_path / "a.png").getpixel((4, 12))[:3], BLUE)
        image.save(tmp_path / "a.png", icc_profile=b"garbage" * 30)
        assert is_near(pixels.read(tmp_path / "a.png").getpixel((4, 12))[:3], RED, by=2)


def test_photographs_with_a_second_picture_behind_are_read(tmp_path: Path) -> None:
    """What some phones write (a JPEG with a depth map behind it) is no animation."""
    second = half_red_half_blue().convert("L").convert("RGB")
    half_red_half_blue().save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    assert is_near(pixels.read(tmp_path / "a.jpg").getpixel((4, 12)), RED)


def test_a_bomb_is_refused_from_its_header(tmp_path: Path) -> None:
    """40,000 × 40,000 pixels are refused before memory is spent on them."""
    bomb = bomb_png(tmp_path / "bomb.png")
    tracemalloc.start()
    with pytest.raises(PictureError, match=r"1,600 million pixels, more than the 64 million"):
        pixels.read(bomb)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()
    with pytest.raises(PictureError, match="9,000 × 9,000 pixels"):
        pixels.read(bomb_png(tmp_path / "large.png", 9000))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animated_files_are_refused(tmp_path: Path, kind: str) -> None:
    """A file of several frames is told with their number: which one is meant is not guessed."""
    file = tmp_path / f"a.{kind.lower()}"
    noisy().save(file, kind, save_all=True, append_images=[half_red_half_blue(64, 64)])
    with pytest.raises(PictureError, match=r"animated \(2 frames\)"):
        pixels.read(file)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_truncated_files_are_refused(tmp_path: Path, kind: str) -> None:
    """A file that was cut short is one line, in every format."""
    file = truncated(tmp_path / f"a.{kind.lower()}", noisy(), kind)
    with pytest.raises(PictureError) as raised:
        pixels.read(file)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("seed", range(12))
def test_damaged_bytes_never_raise_anything_else(tmp_path: Path, seed: int) -> None:
    """Random damage anywhere in a file gives a picture or a PictureError, nothing else."""
    rng = np.random.default_rng(seed)
    kind = ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"][seed % 6]
    buffer = io.BytesIO()
    noisy(24).save(buffer, kind)
    data = np.frombuffer(buffer.getvalue(), np.uint8).copy()
    for turn in range(20):
        hurt = data.copy()
        hurt[rng.integers(0, len(hurt), 6)] = rng.integers(0, 255, 6)
        file = tmp_path / f"{turn}.{kind.lower()}"
        file.write_bytes(hurt.tobytes())
        with contextlib.suppress(PictureError):
            assert pixels.read(file).mode in ("RGB", "RGBA")


def test_what_is_no_picture_is_told(tmp_path: Path) -> None:
    """Missing, empty, a folder, and a text that calls itself PNG: four different sentences."""
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("I am no picture, whatever my name says.")
    (tmp_path / "folder.png").mkdir()
    for name, says in [
        ("missing.png", "no file"),
        ("empty.png", r"empty \(0 bytes\)"),
        ("text.png", "no picture"),
        ("folder.png", "is no file"),
    ]:
        with pytest.raises(PictureError, match=says):
            pixels.read(tmp_path / name)


def test_programs_that_call_themselves_pictures_are_not_run(tmp_path: Path) -> None:
    """PostScript behind a .png name is refused without asking an interpreter."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    with pytest.raises(PictureError, match="no picture"):
        pixels.read(tmp_path / "a.png")


def test_written_pictures_read_the_same_and_carry_only_their_label(tmp_path: Path) -> None:
    """A PNG keeps every pixel and its text fields, in any script, and nothing of its source."""
    image = noisy()
    image.info = {"icc_profile": b"x", "comment": "secret"}
    pixels.write_png(image, tmp_path / "new" / "a.png", {"prompt": "kuro, 黒い狐"})
    with Image.open(tmp_path / "new" / "a.png") as again:
        assert again.info == {"prompt": "kuro, 黒い狐"}
    assert np.array_equal(pixels.read(tmp_path / "new" / "a.png"), image)
    with pytest.raises(StorageError):
        pixels.write_png(image, tmp_path / "new" / "a.png" / "b.png")


def test_fit_keeps_the_whole_picture(tmp_path: Path) -> None:
    """A wide picture is centred on white, on its border's colour, or on nothing if it has alpha."""
    wide = half_red_half_blue(40, 20)
    white = pixels.fit(wide, 20)
    assert white.size == (20, 20)
    assert white.getpixel((10, 0)) == (255, 255, 255)
    assert is_near(white.getpixel((2, 10)), RED)
    assert pixels.fit(Image.new("RGB", (40, 20), BLUE), 20, None).getpixel((10, 0)) == BLUE
    assert pixels.fit(wide.convert("RGBA"), 20).getpixel((10, 0))[3] == 0
    square = noisy(20)
    assert pixels.fit(square, 20) is square


def test_a_square_has_white_around_cut_outs() -> None:
    """Even where their border is not; an opaque picture's border goes on."""
    seen = pixels.square(cut_off_cut_out(), 60)
    assert (seen.mode, seen.size) == ("RGB", (60, 60))
    assert seen.getpixel((5, 30)) == (255, 255, 255)
    assert pixels.square(Image.new("RGB", (40, 20), BLUE), 20).getpixel((10, 0)) == BLUE


def test_arrays_are_floats_between_0_and_1() -> None:
    """to_array gives height × width × channels, float32."""
    array = pixels.to_array(half_red_half_blue())
    assert (array.shape, array.dtype) == ((24, 40, 3), np.float32)
    assert (array.min(), array.max()) == (0, 1)


def test_a_fingerprint_is_of_the_pixels(tmp_path: Path) -> None:
    """One picture in two lossless formats has one fingerprint; one changed pixel another."""
    image = noisy()
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "a.bmp")
    key = pixels.fingerprint(pixels.read(tmp_path / "a.png"))
    assert key == pixels.fingerprint(pixels.read(tmp_path / "a.bmp"))
    image.putpixel((0, 0), (1, 2, 3))
    assert pixels.fingerprint(image) != key


def test_small_sixteen_bit_values_are_kept(tmp_path: Path) -> None:
    """A 16-bit file that holds eight bits' shades is no black picture."""
    ramp = np.tile(np.arange(200, dtype=np.uint16), (16, 1))
    for name in ("a.png", "a.tif"):
        Image.fromarray(ramp).save(tmp_path / name)
        shades = np.asarray(pixels.read(tmp_path / name))[0, :, 0]
        assert shades.tolist() == list(range(200))


def test_a_transparent_sixteen_bit_shade_is_clear(tmp_path: Path) -> None:
    """A grey PNG names a shade that is not to be seen, in 16 bits, too."""
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (16, 1))
    Image.fromarray(ramp).save(tmp_path / "a.png", transparency=65535)
    alpha = pixels.read(tmp_path / "a.png").getchannel("A")
    assert [alpha.getpixel((x, 4)) for x in (0, 62, 63)] == [255, 255, 0]


def test_pages_are_not_called_an_animation(tmp_path: Path) -> None:
    """A TIFF of two pages is told as that."""
    noisy().save(tmp_path / "a.tif", save_all=True, append_images=[noisy()])
    with pytest.raises(PictureError, match="has 2 pages: save the page"):
        pixels.read(tmp_path / "a.tif")
