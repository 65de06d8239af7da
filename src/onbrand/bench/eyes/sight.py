"""What the eyes see in drawings of reserved subjects: parts, joints, faces, expressions, words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from onbrand.bench.eyes.draws import Seen
from onbrand.bench.record import Result, mean_metric, metric
from onbrand.illustrator import PARTS
from onbrand.illustrator.parsing import PARSED, WORN, face_box, parsed
from onbrand.judging import bootstrap
from onbrand.judging.looking import to_pixels

if TYPE_CHECKING:
    from torch import Tensor

    from onbrand.models.perception import (
        Alignment,
        Clicks,
        ExpressionReader,
        FaceFinder,
        Parsing,
        Pose,
        Tagging,
    )

__all__ = [
    "batches",
    "box_iou",
    "captions_beaten",
    "captions_told",
    "click_on",
    "expressions_read",
    "faces_found",
    "joints_found",
    "parts_parsed",
    "tags_told",
    "thing",
    "things_clicked",
]

BATCH = 25
_NO_THING = [PARTS.index(name) for name in ("background", "stand")]
PEOPLE = (*WORN, "background", "skin", "face", "hair", "shoes", "mannequin")


def batches(drawn: Sequence[Seen], size_px: int) -> list[Tensor]:
    """Pixels in [-1, 1], BATCH at a time."""
    pictures = [one.picture for one in drawn]
    return [to_pixels(pictures[i : i + BATCH], size_px) for i in range(0, len(pictures), BATCH)]


def parts_parsed(
    parsing: Parsing, drawn: Mapping[str, Sequence[Seen]], size_px: int, seed: int
) -> dict[str, Result]:
    """Intersection over union, of all pixels of a part over all pictures: the mean of the garments,
    of all that people are made of (mannequins included), and of all parts of all worlds. Intervals
    resample pictures. Parts that the parser has no name for count as missed."""
    known = [parsing.labels.index(name) if name in parsing.labels else -1 for name in PARSED]
    counts = {
        world: np.concatenate(
            [_overlaps(parsing, known, seen, pixels) for seen, pixels in _paired(some, size_px)]
        )
        for world, some in drawn.items()
    }
    wanted = {"garments": WORN, "people": PEOPLE, "all": PARSED}
    bars = {"garments": 0.92, "people": 0.85, "all": 0.85}
    found = {}
    for name, parts in wanted.items():
        rows = counts["fashion"] if name != "all" else np.concatenate(list(counts.values()))
        columns = [PARSED.index(part) for part in parts]

        def mean_iou(
            some: NDArray[np.float64], rows: NDArray[np.int64] = rows, at: list[int] = columns
        ) -> float:
            both, either = rows[some.astype(np.int64)].sum(0)[at].T
            return float((both[either > 0] / either[either > 0]).mean())

        every = np.arange(len(rows), dtype=np.float64)
        interval = bootstrap(every, statistic=mean_iou, num_resamples=500, seed=seed)
        found[f"parsing_{name}_iou"] = metric(mean_iou(every), interval, bar=bars[name])
    return found


def _paired(drawn: Sequence[Seen], size_px: int) -> list[tuple[Sequence[Seen], Tensor]]:
    parts = [drawn[i : i + BATCH] for i in range(0, len(drawn), BATCH)]
    return list(zip(parts, batches(drawn, size_px), strict=True))


@torch.inference_mode()
def _overlaps(
    parsing: Parsing, known: Sequence[int], seen: Sequence[Seen], pixels: Tensor
) -> NDArray[np.int64]:
    """[n, PARSED, 2]: pixels in both, pixels in either."""
    said = parsing.shares(pixels).argmax(1).cpu().numpy()
    found = np.zeros((len(seen), len(PARSED), 2), np.int64)
    for row, (one, theirs) in enumerate(zip(seen, said, strict=True)):
        true = parsed(one.parts)
        for i, label in enumerate(known):
            mine, its = true == i, theirs == label
            found[row, i] = (mine & its).sum(), (mine | its).sum()
    return found


@torch.inference_mode()
def joints_found(pose: Pose, drawn: Sequence[Seen], size_px: int, seed: int) -> Result:
    """PCK@0.1: share of the seen joints found within a tenth of the longer side of the box around
    the figure's joints (Yang and Ramanan 2013)."""
    found = torch.cat([pose.joints(pixels) for pixels in batches(drawn, size_px)]).cpu().numpy()
    hits, groups = [], []
    for number, (one, its) in enumerate(zip(drawn, found, strict=True)):
        there = one.joints[:, 2] > 0
        if there.any():
            true = one.joints[there, :2]
            reach = 0.1 * float(np.ptp(true, axis=0).max())
            away = np.linalg.norm(its[there, :2] - true, axis=1)
            hits += (away <= reach).astype(float).tolist()
            groups += [number] * len(true)
    return mean_metric(hits, groups=groups, bar=0.9, seed=seed)


@torch.inference_mode()
def faces_found(
    finder: FaceFinder, drawn: Sequence[Seen], size_px: int, seed: int
) -> dict[str, Result]:
    """Recall and precision of boxes that overlap the drawn face's by one half (intersection over
    union); drawings without a face count for the latter."""
    hits, claims = [], []
    for seen, pixels in _paired(drawn, size_px):
        for one, boxes in zip(seen, finder.boxes(pixels), strict=True):
            true = face_box(one.parts)
            right = [true is not None and box_iou(true, box.tolist()) >= 0.5 for box in boxes]
            claims += [float(r and r not in right[:k]) for k, r in enumerate(right)]
            if true is not None:
                hits.append(float(any(right)))
    return {
        "faces_recall_fraction": mean_metric(hits, bar=0.97, seed=seed),
        "faces_precision_fraction": mean_metric(claims or [0.0], bar=0.97, seed=seed),
    }


def box_iou(one: Sequence[float], two: Sequence[float]) -> float:
    """Intersection over union of boxes: left, top, right, bottom."""
    wide = min(one[2], two[2]) - max(one[0], two[0])
    high = min(one[3], two[3]) - max(one[1], two[1])
    both = max(wide, 0.0) * max(high, 0.0)
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, two))
    return both / max(area - both, 1e-9)


def expressions_read(
    reader: ExpressionReader, drawn: Sequence[Seen], size_px: int, seed: int
) -> Result:
    """Share of mascots whose expression is read right; a face that is not found is read wrong."""
    tables = [table for pixels in batches(drawn, size_px) for table in reader.read(pixels)]
    said = [max(table, key=table.__getitem__, default="") for table in tables]
    right = [float(w == one.attributes["expression"]) for w, one in zip(said, drawn, strict=True)]
    return mean_metric(right, groups=[one.subject for one in drawn], bar=0.95, seed=seed)


def tags_told(tagger: Tagging, drawn: Sequence[Seen], size_px: int, seed: int) -> dict[str, Result]:
    """F1 of each attribute's tags over all drawings, and their mean; tags are "attribute:value"."""
    said = [set(tags) for pixels in batches(drawn, size_px) for tags in tagger.tags(pixels)]
    true = [{f"{n}:{v}" for n, v in o.attributes.items() if v != "none"} for o in drawn]
    names = sorted({tag.partition(":")[0] for tags in true for tag in tags})

    def f1(some: NDArray[np.float64], name: str) -> float:
        hits = both = 0
        for row in some.astype(int):
            mine, its = (
                {t for t in tags[row] if t.startswith(f"{name}:")} for tags in (true, said)
            )
            hits, both = hits + len(mine & its), both + len(mine) + len(its)
        return 2 * hits / max(both, 1)

    every = np.arange(len(drawn), dtype=np.float64)
    each = {name: f1(every, name) for name in names}
    interval = bootstrap(
        every, statistic=lambda some: float(np.mean([f1(some, n) for n in names])),
        num_resamples=200, seed=seed,
    )  # fmt: skip
    mean = metric(float(np.mean(list(each.values()))), interval, bar=0.9)
    return {"tags_f1": mean, **{f"tags_{name}_f1": metric(value) for name, value in each.items()}}


def captions_told(
    alignment: Alignment,
    pixels: Sequence[Tensor],
    captions: Sequence[Sequence[str]],
    seed: int,
    bar: float | None = None,
) -> Result:
    """Share of pictures whose true caption, the first, fits better than all the wrong ones."""
    better = _margins(alignment, pixels, captions)
    return mean_metric([float(row.all()) for row in better], bar=bar, seed=seed)


def captions_beaten(
    alignment: Alignment, pixels: Sequence[Tensor], captions: Sequence[Sequence[str]], seed: int
) -> Result:
    """Share of the wrong captions that fit worse than the true one; a coin has one half."""
    better = _margins(alignment, pixels, captions)
    return mean_metric([float(row.mean()) for row in better], seed=seed)


@torch.inference_mode()
def _margins(
    alignment: Alignment, pixels: Sequence[Tensor], captions: Sequence[Sequence[str]]
) -> list[NDArray[np.bool_]]:
    """Per picture, which of its wrong captions fit worse than the first."""
    vectors = torch.cat([alignment.embed_pixels(some) for some in pixels])
    rows = []
    for vector, lines in zip(vectors, captions, strict=True):
        fits = (alignment.embed_texts(lines) @ vector).cpu().numpy()
        rows.append(np.asarray(fits[0] > fits[1:]))
    return rows


def thing(parts_hw: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """[h, w] where a drawing shows its subject: neither background nor what it stands on."""
    return ~np.isin(parts_hw, _NO_THING)


def click_on(mask_hw: NDArray[np.bool_]) -> tuple[float, float]:
    """x, y in pixels of where the thing is thickest."""
    depth = cv2.distanceTransform(np.pad(mask_hw, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), mask_hw.shape)
    return float(column), float(row)


@torch.inference_mode()
def things_clicked(
    clicks: Clicks, pictures: Sequence[Image.Image], masks: Sequence[NDArray[np.bool_]], seed: int
) -> Result:
    """Mean intersection over union of things and their masks after one click, where the thing is
    thickest."""
    found = []
    for picture, mask in zip(pictures, masks, strict=True):
        point = torch.tensor([[click_on(mask)]])
        pixels = to_pixels([picture], picture.width)
        said = clicks.mask(pixels, point, torch.ones(1, 1, dtype=torch.long))[0].cpu().numpy() > 0.5
        found.append(float((said & mask).sum() / max(int((said | mask).sum()), 1)))
    return mean_metric(found, seed=seed)
