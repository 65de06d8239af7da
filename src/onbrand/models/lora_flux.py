"""FLUX.1's LoRA in kohya's form, which names the original network: one matrix for q, k and v.

    lora_unet_double_blocks_I_img_attn_qkv   of to_q, to_k, to_v (txt: the added projections)
    lora_unet_single_blocks_I_linear1        of to_q, to_k, to_v, proj_mlp
    lora_unet_…                              of one layer each (PLAIN)

Fusing stacks the down matrices and puts the up matrices on the diagonal of a larger one, rank n·r:
the product is the same, with zeros between the parts, by which sd-scripts' and diffusers' readers
(lora_conversion_utils) know that it may be split again. Tensors only; no model library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from onbrand.models.lora_layer import Layer

__all__ = ["FLUX_WIDTH", "fuse_flux", "is_flux_sized", "split_flux"]

FLUX_WIDTH = 3072
"""The one width that diffusers' reader splits `linear1` for: FLUX.1's."""

MLP_SHARE = 4  # proj_mlp is so many times as wide as the network
FUSED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "transformer_blocks": {
        "img_attn_qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
        "txt_attn_qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    },
    "single_transformer_blocks": {
        "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
    },
}
PLAIN: Mapping[str, Mapping[str, str]] = {
    "transformer_blocks": {
        "img_attn_proj": "attn.to_out.0",
        "img_mlp_0": "ff.net.0.proj",
        "img_mlp_2": "ff.net.2",
        "img_mod_lin": "norm1.linear",
        "txt_attn_proj": "attn.to_add_out",
        "txt_mlp_0": "ff_context.net.0.proj",
        "txt_mlp_2": "ff_context.net.2",
        "txt_mod_lin": "norm1_context.linear",
    },
    "single_transformer_blocks": {"linear2": "proj_out", "modulation_lin": "norm.linear"},
}
THEIRS = {"transformer_blocks": "double_blocks", "single_transformer_blocks": "single_blocks"}


def is_flux_sized(layers: Mapping[str, Layer]) -> bool:
    """Whether these are layers of a transformer of FLUX.1's width, each with a name in kohya's
    form, so that diffusers reads it back."""
    named = sum(len(paths) for paths in _placed(layers).values())
    return _width(layers) == FLUX_WIDTH and named == len(layers)


def fuse_flux(layers: Mapping[str, Layer]) -> dict[str, Layer]:
    """kohya's layers, named without `lora_unet_` and with underscores, of diffusers' by path; for
    layers that are `is_flux_sized`."""
    made: dict[str, Layer] = {}
    width = _width(layers)
    for key, paths in _placed(layers).items():
        whole = _whole(key)
        if len(whole) == 1:
            made[key] = layers[paths[0]]
        else:
            outs = [MLP_SHARE * width if path.endswith("proj_mlp") else width for path in whole]
            made[key] = _fused([layers.get(path) for path in whole], outs)
    return made


def split_flux(key: str, layer: Layer) -> dict[str, Layer]:
    """diffusers' layers by path of one of kohya's, by its name without `lora_unet_`: what
    `fuse_flux` made, or what sd-scripts trained (all parts share a down matrix then). {} for a name
    that is none of FLUX's."""
    paths = _whole(key)
    if len(paths) < 2:
        return dict.fromkeys(paths, layer)
    return _split(layer, paths)


def _whole(key: str) -> list[str]:
    """The paths that a kohya name stands for; [] for an unknown one."""
    for ours, theirs in THEIRS.items():
        number, _, name = key.removeprefix(f"{theirs}_").partition("_")
        if not key.startswith(theirs) or not number.isdigit():
            continue
        plain = PLAIN[ours].get(name)
        parts = (plain,) if plain else FUSED[ours].get(name, ())
        return [f"{ours}.{number}.{part}" for part in parts]
    return []


def _placed(layers: Mapping[str, Layer]) -> dict[str, list[str]]:
    """kohya name -> the paths among `layers` that it stands for, in the form's order."""
    places = (path.split(".")[:2] for path in layers)
    numbers = dict.fromkeys((p[0], p[1]) for p in places if p[0] in THEIRS)
    placed: dict[str, list[str]] = {}
    for block, number in numbers:
        for name in (*PLAIN[block], *FUSED[block]):
            key = f"{THEIRS[block]}_{number}_{name}"
            paths = [path for path in _whole(key) if path in layers]
            if paths:
                placed[key] = paths
    return placed


def _width(layers: Mapping[str, Layer]) -> int:
    """The network's width: what its attention takes in; 0 when no attention is adapted."""
    ends = (".attn.to_q", ".attn.add_q_proj")
    return next((int(x.down.shape[1]) for path, x in layers.items() if path.endswith(ends)), 0)


def _fused(parts: Sequence[Layer | None], outs: Sequence[int]) -> Layer:
    """One layer that is all of `parts` (None: zeros), their outputs of sizes `outs` in a row."""
    like = next(part for part in parts if part is not None)
    rank = max(part.rank for part in parts if part is not None)
    down = like.down.new_zeros(len(parts) * rank, like.down.shape[1])
    up = like.up.new_zeros(sum(outs), len(parts) * rank)
    row = 0
    for i, (part, out) in enumerate(zip(parts, outs, strict=True)):
        if part is not None:
            columns = slice(i * rank, i * rank + part.rank)
            down[columns] = part.down
            up[row : row + out, columns] = part.up * (part.alpha / part.rank)
        row += out
    return Layer(down, up, float(len(parts) * rank))  # the strength is in `up` now


def _split(layer: Layer, paths: Sequence[str]) -> dict[str, Layer]:
    """The parts of a fused layer, without the columns that only others use."""
    width = layer.up.shape[0] // (len(paths) + (MLP_SHARE - 1) * (len(paths) == 4))
    outs = [MLP_SHARE * width if path.endswith("proj_mlp") else width for path in paths]
    rows: tuple[Tensor, ...] = torch.split(layer.up, outs)
    used = torch.stack([part.abs().sum(0) > 0 for part in rows])
    apart = bool(used.any()) and int(used.sum(0).max()) == 1
    made: dict[str, Layer] = {}
    for path, part, mine in zip(paths, rows, used, strict=True):
        if not apart:
            made[path] = Layer(layer.down, part.contiguous(), layer.alpha)
        elif bool(mine.any()):
            share = float(mine.sum()) / layer.rank
            made[path] = Layer(layer.down[mine], part[:, mine].contiguous(), layer.alpha * share)
    return made
