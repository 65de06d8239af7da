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

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Embed", "drawn_margins", "gopher_margins", "photographs_matched"]

Embed = Callable[["Tensor"], "Tensor"]
SCENES = 2


def drawn_margins(embed: Embed, num: int, size_px: int, seed: int) -> dict[str, Result]:
    """NearID's PA and SSR (arXiv 2604.01973) on reserved characters, two scenes each, against all
    their look-alikes with one trait changed, in the same scene: the share of directed margins
    s(p_i, p_j) - s(p_i, n_i) above 0, and of characters all of whose margins are."""
    shares, whole, groups = [], [], []
    for k in list(RESERVED_IDS)[:num]:
        who, rng = character(k), np.random.default_rng((seed, k, 0x1D))
        scenes = [random_scene(rng) for _ in range(SCENES)]
        others = lookalikes(who)
        drawn = [
            Image.fromarray(illustrate(someone, scene, size_px, seed=k * SCENES + i).pixels)
            for i, scene in enumerate(scenes)
            for someone in (who, *others)
        ]
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
