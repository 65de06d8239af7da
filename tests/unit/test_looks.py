"""Near pictures are known however they were saved; poses of one mascot are not taken for one."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from onbrand import pixels
from onbrand.curation.looks import is_near, look_of, near_pairs
from onbrand.illustrator import character, illustrate, random_scene

GOPHER = Path(__file__).resolve().parents[3] / "shared" / "data" / "gopher"
NUM = 12


@pytest.fixture(scope="module")
def scenes() -> list[Image.Image]:
    """One mascot in as many scenes."""
    return [picture for picture, _ in drawn()]


@pytest.fixture(scope="module")
def stickers() -> list[Image.Image]:
    """The same, cut out and small on white."""
    return [on_white(subject) for _, subject in drawn()]


def drawn() -> list[tuple[Image.Image, Image.Image]]:
    """Each scene, and its subject cut out."""
    rng = np.random.default_rng(0)
    found = []
    for seed in range(NUM):
        made = illustrate(character(3), random_scene(rng), 256, seed=seed)
        alpha = ((made.parts > 0) * 255).astype(np.uint8)
        subject = Image.fromarray(np.dstack([made.pixels, alpha]))
        found.append((Image.fromarray(made.pixels), subject.crop(subject.getbbox())))
    return found


def on_white(subject: Image.Image, share: float = 0.33) -> Image.Image:
    page = Image.new("RGB", (512, 512), "white")
    small = subject.copy()
    small.thumbnail((round(512 * share), round(512 * share)))
    page.paste(small, ((512 - small.width) // 2, (512 - small.height) // 2), small)
    return page


def as_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=50)
    return Image.open(buffer).convert("RGB")


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved anew": as_jpeg,
    "scaled": lambda i: i.resize((i.width // 2, i.height // 2), Image.Resampling.LANCZOS),
    "brighter": lambda i: ImageEnhance.Brightness(i).enhance(1.03),
    "mirrored": ImageOps.mirror,
    "shifted": lambda i: i.transform(i.size, Image.Transform.AFFINE, (1, 0, 4, 0, 1, 0)),
    "padded": lambda i: ImageOps.expand(i, (15, 0), "white"),
    "cropped": lambda i: ImageOps.crop(i, round(0.01 * i.width)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_near(
    change: str, scenes: list[Image.Image], stickers: list[Image.Image]
) -> None:
    """Whatever happens to pictures between two folders, nearly all are known again."""
    for pictures in (scenes, stickers):
        near = [is_near(look_of(one), look_of(CHANGES[change](one))) for one in pictures]
        assert sum(near) >= NUM - 1


def test_poses_are_not_near(scenes: list[Image.Image], stickers: list[Image.Image]) -> None:
    """One mascot in other poses is another picture, in scenes and small on white."""
    for pictures in (scenes, stickers):
        assert near_pairs([look_of(one) for one in pictures]) == []


@pytest.mark.skipif(not GOPHER.is_dir(), reason=f"no folder {GOPHER}")
def test_real_drawings_are_not_near() -> None:
    """Of sixty pictures of one mascot, colour variants among them, no two are taken for one."""
    looks = [look_of(pixels.read(file)) for file in sorted(GOPHER.glob("*.png"))]
    assert len(looks) == 60
    assert near_pairs(looks) == []


def test_a_cut_out_is_near_its_like_on_white(stickers: list[Image.Image]) -> None:
    """Transparent or white around it, in the middle or in a corner: the drawing is the same."""
    (_, subject), *_ = drawn()
    assert is_near(look_of(subject), look_of(stickers[0]))
    corner = Image.new("RGB", (512, 512), "white")
    corner.paste(stickers[0].crop((160, 160, 352, 352)), (0, 300))
    assert is_near(look_of(corner), look_of(stickers[0]))


def test_a_ground_of_another_colour_is_another_picture(stickers: list[Image.Image]) -> None:
    """The subject is the same, and still there is something to learn."""
    (_, subject), *_ = drawn()
    page = Image.new("RGB", (512, 512), (120, 180, 240))
    page.paste(subject, (150, 150), subject)
    assert not is_near(look_of(page), look_of(stickers[0]))


def test_flat_shapes_are_told_by_their_place() -> None:
    """Trimmed of lines of one colour, nothing would be left of them."""
    pages = [Image.new("RGB", (64, 64), "white") for _ in range(2)]
    for at, page in zip((4, 30), pages, strict=True):
        page.paste((200, 90, 40), (at, at, at + 24, at + 24))
    assert near_pairs([look_of(page) for page in pages]) == []


def test_pictures_of_one_colour_have_a_look() -> None:
    """Nothing is to be seen in them; that is no crash."""
    plain = look_of(Image.new("RGB", (64, 20), "red"))
    assert near_pairs([plain, look_of(Image.new("RGB", (1, 1)))]) == []
