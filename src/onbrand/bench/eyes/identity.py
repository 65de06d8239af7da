"""Whether identity encoders tell someone from a look-alike: drawn characters, and real pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from onbrand.bench.record import Result, mean_metric
from onbrand.illustrator import RESERVED_IDS, character, illustrate, lookalikes, random_scene
from onbrand.judging.eyes import to_pixels
from onbrand.models.perception.parsing import mask_of

if TYPE_CHECKING:
    from torch import Tensor

    from onbrand.models.perception import Identity, Parsing

__all__ = ["Embed", "drawn_margins", "gopher_margins", "part_margins", "photographs_matched"]

Embed = Callable[["Tensor"], "Tensor"]
SCENES = 2
_PART_OF = {
    "ears": "ears", "eyes": "eyes", "mark": "mark", "outfit": "outfit", "outfit_colour": "outfit",
    "accessory": "accessory", "accessory_colour": "accessory",
}  # fmt: skip


def drawn_margins(embed: Embed, num: int, size_px: int, seed: int) -> dict[str, Result]:
    """NearID's PA and SSR (arXiv 2604.01973) on reserved characters, two scenes each, against all
    their look-alikes with one trait changed, in the same scene: the share of directed margins
    s(p_i, p_j) - s(p_i, n_i) above 0, and of characters all of whose margins are."""
    shares, whole, groups = [], [], []
    for k in list(RESERVED_IDS)[:num]:
        drawn, others = _scenes(k, size_px, seed)
        table = _embedded(embed, drawn, size_px).reshape(SCENES, 1 + len(others), -1)
        own = float(table[0, 0] @ table[1, 0])
        margins = own - np.einsum("skd,sd->sk", table[:, 1:], table[:, 0])
        shares += (margins > 0).ravel().astype(float).tolist()
        groups += [k] * margins.size
        whole.append(float((margins > 0).all()))
    return {
        "pa_fraction": mean_metric(shares, groups=groups, bar=0.97, seed=seed),
        "ssr_fraction": mean_metric(whole, bar=0.90, seed=seed),
    }


@torch.inference_mode()
def part_margins(identity: Identity, parsing: Parsing, num: int, size_px: int, seed: int) -> Result:
    """PA of parts: the same margins between the vectors of the very part that the look-alike has
    changed (ears, eyes, mark, outfit, accessory), as the parser finds it."""
    shares, groups = [], []
    for k in list(RESERVED_IDS)[:num]:
        drawn, others = _scenes(k, size_px, seed)
        pixels = to_pixels(drawn, size_px)
        for part in sorted({_PART_OF[o] for o in others if o in _PART_OF}):
            if part not in parsing.labels:
                continue
            vectors = identity.embed_part(pixels, mask_of(parsing, pixels, [part]))
            table = vectors.unflatten(0, (SCENES, -1))
            own = float(table[0, 0] @ table[1, 0])
            changed = [1 + n for n, trait in enumerate(others) if _PART_OF.get(trait) == part]
            near = torch.einsum("skd,sd->sk", table[:, changed], table[:, 0])
            shares += (own > near).flatten().float().tolist()
            groups += [k] * near.numel()
    return mean_metric(shares, groups=groups, seed=seed)


def _scenes(k: int, size_px: int, seed: int) -> tuple[list[Image.Image], list[str]]:
    """Scene by scene the character, then each of its look-alikes; and what these have changed."""
    who, rng = character(k), np.random.default_rng((seed, k, 0x1D))
    others = lookalikes(who)
    drawn = [
        Image.fromarray(illustrate(someone, scene, size_px, seed=k * SCENES + i).pixels)
        for i, scene in enumerate([random_scene(rng) for _ in range(SCENES)])
        for someone in (who, *others)
    ]
    return drawn, [str(other.changed_trait) for other in others]


def gopher_margins(embed: Embed, folder: Path, size_px: int, seed: int) -> Result:
    """PA on a real mascot: the share of (picture, other picture, colour variant) in which the other
    picture is nearer than the variant."""
    lines = (folder / "metadata.jsonl").read_text("utf-8").splitlines()
    told = [json.loads(line) for line in lines]
    own = [t for t in told if not t.get("note")]
    variants = [t for t in told if t.get("note")]
    mine, theirs = (
        _embedded(embed, [Image.open(folder / t["file_name"]) for t in some], size_px)
        for some in (own, variants)
    )
    near = mine @ mine.T
    margins = near[:, :, None] - (mine @ theirs.T)[:, None, :]
    there = ~np.eye(len(mine), dtype=np.bool_)
    shares = [float((margins[i][there[i]] > 0).mean()) for i in range(len(mine))]
    return mean_metric(shares, bar=0.9, seed=seed)


def photographs_matched(embed: Embed, folder: Path, size_px: int, seed: int) -> Result:
    """Of real subjects photographed several times, the share of photographs whose nearest other one
    shows the same subject."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    vectors = _embedded(embed, [Image.open(file) for file in files], size_px)
    subjects = [file.parent.name for file in files]
    near = vectors @ vectors.T - 9 * np.eye(len(files))
    right = [
        float(subjects[int(row.argmax())] == own) for row, own in zip(near, subjects, strict=True)
    ]
    return mean_metric(right, groups=subjects, seed=seed)


@torch.inference_mode()
def _embedded(embed: Embed, pictures: Sequence[Image.Image], size_px: int) -> NDArray[np.float32]:
    """[n, d]."""
    parts = [embed(to_pixels(pictures[i : i + 25], size_px)) for i in range(0, len(pictures), 25)]
    found: NDArray[np.float32] = torch.cat(parts).float().cpu().numpy()
    return found
