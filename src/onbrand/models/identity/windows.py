"""Several identities in one picture, by a base that draws one figure at a time.

The canvas is wider than the base's own: windows of the base's size lie side by side on it, each
told one identity alone. In every step the network looks through each window, and what it predicts
is blended where two overlap (MultiDiffusion, Bar-Tal et al., arXiv 2302.08113), so that the place
goes on behind all of them. Regions of attention (`IdentityWay.show`'s masks) keep a square picture
but only serve bases that draw several figures by themselves: one that puts a single figure into
the middle makes it half of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from onbrand.models.diffusion import Conditioning, DiffusionModel

__all__ = ["canvas_px", "side_by_side"]

OVERLAP = 4  # windows share a quarter of their width


def canvas_px(model: DiffusionModel, side_px: int) -> int:
    """The width of a picture of that height which shows all whom the model's way shows."""
    num = model.way.num_windows if model.way is not None else 1
    return num * side_px - (num - 1) * _shared(side_px, model.unit_px)


@contextmanager
def side_by_side(
    model: DiffusionModel, side_px: int, prompts_n: Sequence[Conditioning]
) -> Iterator[None]:
    """Within it the network looks at latents of `canvas_px` through windows, one for each identity
    that the model's way shows, told `prompts_n[k]` in place of the pipeline's prompts (the last
    rows of what that asks about; negative prompts come first). With one identity, or none, it is
    as ever."""
    if model.way is None or model.way.num_windows == 1:
        yield
        return
    network, whole = model.network, model.network.forward
    side = side_px // model.vae_factor
    shared = _shared(side_px, model.unit_px) // model.vae_factor
    weights = _weights(model.way.num_windows, side, shared)

    def forward(
        sample: Tensor, timestep: Any, encoder_hidden_states: Tensor, *,
        added_cond_kwargs: dict[str, Any], **named: Any,
    ) -> tuple[Tensor]:  # fmt: skip
        blended = torch.zeros_like(sample)
        for k, (told, weight_w) in enumerate(zip(prompts_n, weights.to(sample), strict=True)):
            first = k * (side - shared)
            people: list[Tensor] = added_cond_kwargs["image_embeds"]
            more = {**added_cond_kwargs, "image_embeds": [who[:, k : k + 1] for who in people]}
            if told.pooled is not None:
                more["text_embeds"] = _in_place(more["text_embeds"], told.pooled)
            if "time_ids" in more:
                more["time_ids"] = _sized(more["time_ids"], side_px)
            words = _in_place(encoder_hidden_states, told.tokens)
            seen = whole(
                sample[..., first : first + side], timestep, words, added_cond_kwargs=more, **named
            )[0]
            blended[..., first : first + side] += seen * weight_w[first : first + side]
        return (blended,)

    network.forward = forward
    try:
        yield
    finally:
        network.forward = whole


def _in_place(given: Tensor, told: Tensor) -> Tensor:
    """`given` with its last rows, the prompts', replaced."""
    return torch.cat([given[: -len(told)], told.to(given)])


def _sized(time_ids: Tensor, side_px: int) -> Tensor:
    """SDXL's [b, 6], height, width, top, left, height, width, of a window, not of the canvas."""
    sized = time_ids.clone()
    sized[:, 1] = sized[:, 5] = side_px
    return sized


def _shared(side_px: int, unit_px: int) -> int:
    """Pixels that two neighbours share: a multiple of what the base can draw, at least one."""
    return max(unit_px, side_px // OVERLAP // unit_px * unit_px)


def _weights(num: int, side: int, shared: int) -> Tensor:
    """[num, width]: what each window counts for, sums to one; linear where two overlap."""
    ramp = torch.arange(1, shared + 1) / (shared + 1)
    weights = torch.zeros(num, num * side - (num - 1) * shared)
    for k, row in enumerate(weights):
        window = row[k * (side - shared) :][:side]
        window.fill_(1)
        if k > 0:
            window[:shared] = ramp
        if k < num - 1:
            window[side - shared :] = 1 - ramp
    return weights
