"""Whether identity encoders tell a character from look-alikes, as a whole and by its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from onbrand.bench.record import Result, mean_metric
from onbrand.illustrator import (
    RESERVED_IDS,
    character,
    illustrate,
    indistinguishable,
    lookalikes,
    random_scene,
)
from onbrand.judging.looking import to_pixels
from onbrand.models.perception.parsing import mask_of

if TYPE_CHECKING:
    from torch import Tensor

    from onbrand.models.perception import Identity, Parsing

__all__ = ["Embed", "drawn_margins", "embedded", "part_margins"]

Embed = Callable[["Tensor"], "Tensor"]
SCENES = 2
_PART_OF = {
    "ears": "ears", "eyes": "eyes", "mark": "mark", "outfit": "outfit", "outfit_colour": "outfit",
    "accessory": "accessory", "accessory_colour": "accessory",
}  # fmt: skip


def drawn_margins(embed: Embed, num: int, size_px: int, seed: int) -> dict[str, Result]:
    """NearID's PA and SSR (arXiv 2604.01973) on reserved characters, two scenes each, against all
    their look-alikes with one trait changed, in the same scene: the share of directed margins
    s(p_i, p_j) - s(p_i, n_i) above 0, and of characters all of whose margins are. Drawings whose
    change the scene hides are no look-alikes: nobody could tell them, and they do not count."""
    shares, whole, groups, hidden = [], [], [], []
    for k in list(RESERVED_IDS)[:num]:
        drawn, others, shown = _scenes(k, size_px, seed)
        table = embedded(embed, drawn, size_px).reshape(SCENES, 1 + len(others), -1)
        own = float(table[0, 0] @ table[1, 0])
        margins = (own - np.einsum("skd,sd->sk", table[:, 1:], table[:, 0]))[shown]
        shares += (margins > 0).astype(float).tolist()
        groups += [k] * margins.size
        whole.append(float((margins > 0).all()))
        hidden += (~shown).ravel().astype(float).tolist()
    return {
        "lookalikes_hidden_fraction": mean_metric(hidden, better="lower", seed=seed),
        "pa_fraction": mean_metric(shares, groups=groups, bar=0.97, seed=seed),
        "ssr_fraction": mean_metric(whole, bar=0.90, seed=seed),
    }


@torch.inference_mode()
def part_margins(
    identity: Identity, parsing: Parsing, num: int, size_px: int, seed: int
) -> Result | None:
    """PA of parts: the same margins between the vectors of the very part that the look-alike has
    changed (ears, eyes, mark, outfit, accessory), as the parser finds it; hidden changes do not
    count. None where the parser knows none of these parts."""
    shares, groups = [], []
    for k in list(RESERVED_IDS)[:num]:
        drawn, others, shown = _scenes(k, size_px, seed)
        pixels = to_pixels(drawn, size_px)
        for part in sorted({_PART_OF[o] for o in others if o in _PART_OF}):
            if part not in parsing.labels:
                continue
            vectors = identity.embed_part(pixels, mask_of(parsing, pixels, [part]))
            table = vectors.unflatten(0, (SCENES, -1))
            own = float(table[0, 0] @ table[1, 0])
            changed = shown & [_PART_OF.get(trait) == part for trait in others]
            near = torch.einsum("skd,sd->sk", table[:, 1:], table[:, 0])[torch.from_numpy(changed)]
            shares += (own > near).float().tolist()
            groups += [k] * near.numel()
    return mean_metric(shares, groups=groups, seed=seed) if shares else None


def _scenes(
    k: int, size_px: int, seed: int
) -> tuple[list[Image.Image], list[str], NDArray[np.bool_]]:
    """Scene by scene the character, then each of its look-alikes; what these have changed; and
    [SCENES, look-alikes] whether it shows."""
    who, rng = character(k), np.random.default_rng((seed, k, 0x1D))
    others = lookalikes(who)
    rows = [
        [illustrate(x, scene, size_px, seed=k * SCENES + i).pixels for x in (who, *others)]
        for i, scene in enumerate([random_scene(rng) for _ in range(SCENES)])
    ]
    shown = np.array([[not indistinguishable(row[0], other) for other in row[1:]] for row in rows])
    drawn = [Image.fromarray(pixels) for row in rows for pixels in row]
    return drawn, [str(other.changed_trait) for other in others], shown


@torch.inference_mode()
def embedded(embed: Embed, pictures: Sequence[Image.Image], size_px: int) -> NDArray[np.float32]:
    """[n, d]."""
    parts = [embed(to_pixels(pictures[i : i + 25], size_px)) for i in range(0, len(pictures), 25)]
    found: NDArray[np.float32] = torch.cat(parts).float().cpu().numpy()
    return found
