"""Text encoders as diffusers' pipelines run them: CLIP and T5, always padded to full length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor

__all__ = ["clip_length", "clip_penultimate", "clip_pooled", "t5_states", "token_ids"]


def clip_length(encoder: Any, tokenizer: Any) -> int:
    """Tokens that a CLIP text encoder reads, the two end marks included."""
    most = int(encoder.config.max_position_embeddings)
    return min(most, int(tokenizer.model_max_length))


def token_ids(tokenizer: Any, prompts: Sequence[str], length: int) -> Any:
    """The tokenizer's output for the prompts, each padded or cut to `length`: ids and mask [b, s].

    Lookup is by `.input_ids` and `.attention_mask`.
    """
    return tokenizer(
        list(prompts),
        padding="max_length",
        max_length=length,
        truncation=True,
        return_tensors="pt",
    )


def clip_penultimate(
    encoder: Any, tokenizer: Any, prompts: Sequence[str], length: int
) -> tuple[Tensor, Tensor]:
    """States [b, s, d] before CLIP's last layer, unnormed, and its first output: the projected
    embedding [b, p] where the encoder projects (SDXL, arXiv 2307.01952, section 2.1)."""
    ids = token_ids(tokenizer, prompts, length).input_ids.to(encoder.device)
    output = encoder(ids, output_hidden_states=True)
    return cast(Tensor, output.hidden_states[-2]), cast(Tensor, output[0])


def clip_pooled(encoder: Any, tokenizer: Any, prompts: Sequence[str], length: int) -> Tensor:
    """CLIP's state at the end mark, [b, d]."""
    ids = token_ids(tokenizer, prompts, length).input_ids.to(encoder.device)
    return cast(Tensor, encoder(ids).pooler_output)


def t5_states(encoder: Any, tokenizer: Any, prompts: Sequence[str], length: int) -> Tensor:
    """T5's last states [b, s, d]; padding is not masked, as the pipelines do it."""
    ids = token_ids(tokenizer, prompts, length).input_ids.to(encoder.device)
    return cast(Tensor, encoder(ids)[0])
