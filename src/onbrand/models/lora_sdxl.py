"""The names that kohya's sd-scripts gives the layers of SDXL's U-Net: those of its first release.

SD 1.x and 2.x LoRA go by diffusers' paths in both forms; for SDXL sd-scripts trains Stability's own
network (`sgm`), so that its files say `input_blocks_4_1` for `down_blocks.1.attentions.0`.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["sgm_path"]

RESNET = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
    "time_emb_proj": "emb_layers.1",
}
MIDDLE = {"resnets.0": "0", "attentions.0": "1", "resnets.1": "2"}
OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}


def sgm_path(path: str, num_layers: int) -> str:
    """The layer's path in sgm's U-Net, of its path in diffusers' with `num_layers` a block (2 in
    SDXL); the path itself where the two agree.

    Counted as both build it: the down path has an entry, then per block `num_layers` pairs and one
    place to shrink; the up path has `num_layers` + 1 a block, which grow within the last.
    """
    if path in OUTSIDE:
        return OUTSIDE[path]
    head, *rest = path.split(".")
    if head == "mid_block":
        place = MIDDLE.get(".".join(rest[:2]))
        return path if place is None else _joined("middle_block", place, rest[2:])
    if head not in ("down_blocks", "up_blocks") or len(rest) < 4:
        return path
    block, kind, layer, *inner = rest
    number = int(block) * (num_layers + 1) + int(layer)
    if head == "down_blocks":
        if kind == "downsamplers":
            last = (int(block) + 1) * (num_layers + 1)
            return _joined("input_blocks", f"{last}.0", ["op"])
        return _joined("input_blocks", f"{1 + number}.{int(kind == 'attentions')}", inner)
    if kind == "upsamplers":
        last = int(block) * (num_layers + 1) + num_layers
        return _joined("output_blocks", f"{last}.2", inner)
    return _joined("output_blocks", f"{number}.{int(kind == 'attentions')}", inner)


def _joined(head: str, place: str, inner: Iterable[str]) -> str:
    names = list(inner)
    if len(names) == 1:
        names = [RESNET.get(names[0], names[0])]
    return ".".join((head, place, *names))
