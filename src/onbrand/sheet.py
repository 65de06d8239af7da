"""Many pictures on one page: a contact sheet with captions, or bare tiles."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import cache

from PIL import Image, ImageDraw, ImageFont

__all__ = ["contact_sheet", "tiles"]

PAPER = (255, 255, 255)
INK = (38, 38, 43)
GAP_PX = 12
CAPTION_PX = 34
TEXT_PX = 17
LEAST_SIDE_PX = 192
"""Small pictures are enlarged to this, so that they can be looked at on a screen of today."""

FONTS = (
    "DejaVuSans.ttf", "LiberationSans-Regular.ttf", "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "arial.ttf", "msgothic.ttc",
)  # fmt: skip
"""The system's, for letters that PIL's own font lacks: it knows plain Latin ones alone."""
NO_LETTER = "\U0010fffd"  # drawn as every font draws what it lacks

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(
    rows: Sequence[Sequence[Image.Image]], captions: Sequence[str], titles: Sequence[str] = ()
) -> Image.Image:
    """One RGB page with a captioned row per prompt.

    `rows[i]` are the pictures under `captions[i]`; all pictures are fitted to the first one's size.
    `titles` stand above the columns, each over its equal share of them.
    Raises `ValueError` when there is nothing to show or the two lists differ in length.
    """
    if not rows or not rows[0] or len(rows) != len(captions):
        raise ValueError(f"{len(rows)} rows for {len(captions)} captions: need one each, not empty")
    first = rows[0][0]
    scale = max(1.0, LEAST_SIDE_PX / min(first.size))
    width, height = (round(side * scale) for side in first.size)
    num_columns = max(len(row) for row in rows)
    head = CAPTION_PX if titles else 0
    page = Image.new(
        "RGB",
        (
            GAP_PX + num_columns * (width + GAP_PX),
            head + len(rows) * (CAPTION_PX + height + GAP_PX) + GAP_PX,
        ),
        PAPER,
    )
    pen = ImageDraw.Draw(page)
    share = (page.width - GAP_PX) / max(1, len(titles))
    for k, title in enumerate(titles):
        font = _font(title)
        text = _shortened(title, pen, font, share - GAP_PX)
        pen.text((GAP_PX + k * share, GAP_PX + TEXT_PX), text, fill=INK, font=font, anchor="lm")
    for r, (row, caption) in enumerate(zip(rows, captions, strict=True)):
        top = head + GAP_PX + r * (CAPTION_PX + height + GAP_PX)
        font = _font(caption)
        text = _shortened(caption, pen, font, page.width - 2 * GAP_PX)
        pen.text((GAP_PX, top + CAPTION_PX // 2), text, fill=INK, font=font, anchor="lm")
        for c, picture in enumerate(row):
            shown = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
            page.paste(shown, (GAP_PX + c * (width + GAP_PX), top + CAPTION_PX))
    return page


def tiles(pictures: Sequence[Image.Image], num_columns: int) -> Image.Image:
    """Pictures of one size edge to edge, row by row; what the last row lacks is white.

    Raises `ValueError` when there is nothing to show.
    """
    if not pictures:
        raise ValueError("no pictures to show")
    width, height = pictures[0].size
    page = Image.new("RGB", (num_columns * width, -(-len(pictures) // num_columns) * height), PAPER)
    for k, picture in enumerate(pictures):
        row, column = divmod(k, num_columns)
        page.paste(picture, (column * width, row * height))
    return page


@cache
def _fonts() -> list[Font]:
    """PIL's own font, and those of `FONTS` that are here."""
    found: list[Font] = [ImageFont.load_default(TEXT_PX)]
    for name in FONTS:
        with contextlib.suppress(OSError):
            found.append(ImageFont.truetype(name, TEXT_PX))
    return found


def _font(text: str) -> Font:
    """The font that lacks the fewest of the text's letters: PIL's own if it has them all."""
    return min(_fonts(), key=lambda font: _num_lacking(font, text))


def _num_lacking(font: Font, text: str) -> int:
    box = bytes(font.getmask(NO_LETTER))
    return sum(bytes(font.getmask(letter)) == box for letter in set(text) if letter.isprintable())


def _shortened(text: str, pen: ImageDraw.ImageDraw, font: Font, width_px: float) -> str:
    text = " ".join(text.split())  # a line break has no length
    while len(text) > 2 and pen.textlength(text, font=font) > width_px:
        text = text[:-2].rstrip() + "…"
    return text
