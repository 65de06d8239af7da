"""Many pictures on one page: a contact sheet with captions, or bare tiles."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

__all__ = ["contact_sheet", "tiles"]

PAPER = (255, 255, 255)
INK = (38, 38, 43)
GAP_PX = 12
CAPTION_PX = 34
TEXT_PX = 17
LEAST_SIDE_PX = 192
"""Small pictures are enlarged to this, so that they can be looked at on a screen of today."""


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
    font = ImageFont.load_default(TEXT_PX)
    share = (page.width - GAP_PX) / max(1, len(titles))
    for k, title in enumerate(titles):
        text = _shortened(title, pen, font, share - GAP_PX)
        pen.text((GAP_PX + k * share, GAP_PX + TEXT_PX), text, fill=INK, font=font, anchor="lm")
    for r, (row, caption) in enumerate(zip(rows, captions, strict=True)):
        top = head + GAP_PX + r * (CAPTION_PX + height + GAP_PX)
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


def _shortened(
    text: str,
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    width_px: float,
) -> str:
    text = " ".join(text.split())  # a line break has no length
    while len(text) > 2 and pen.textlength(text, font=font) > width_px:
        text = text[:-2].rstrip() + "…"
    return text
