"""Stable Diffusion 3 and 3.5 (arXiv 2403.03206): a transformer told two CLIP encoders and a T5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from onbrand.models.families.conditioning import Conditioning
from onbrand.models.families.flow import FlowModel
from onbrand.models.families.text import clip_length, clip_penultimate, t5_states

__all__ = ["StableDiffusion3"]

T5_TOKENS = 256  # of the pipeline's `max_sequence_length`


class StableDiffusion3(FlowModel):
    """A StableDiffusion3Pipeline's parts; T5 may be absent, its states are zeros then.

    Conditioning: `tokens` [b, s1 + s2, d], CLIP's padded with zeros to T5's width, then T5's;
    `pooled` [b, p1 + p2] of the two CLIP encoders.
    """

    def _reader(self) -> tuple[Any, int]:
        if "text_encoder_3" in self.parts:
            return self.parts["tokenizer_3"], self.t5_tokens
        tokenizer = self.parts["tokenizer"]
        return tokenizer, clip_length(self.parts["text_encoder"], tokenizer)

    @property
    def t5_tokens(self) -> int:
        """Tokens that T5 reads (and how many zeros stand for them without it)."""
        tokenizer = self.parts.get("tokenizer_3")
        return T5_TOKENS if tokenizer is None else min(T5_TOKENS, int(tokenizer.model_max_length))

    def _encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        """CLIP's states before the last layer side by side, T5's last states after them."""
        length = int(self.parts["tokenizer"].model_max_length)
        one, pooled_one = self._states("", prompts, length)
        two, pooled_two = self._states("_2", prompts, length)
        clip = torch.cat([one, two], dim=-1)
        t5 = self._t5(prompts, clip)
        clip = functional.pad(clip, (0, t5.shape[-1] - clip.shape[-1]))
        return Conditioning(
            torch.cat([clip, t5], dim=-2), torch.cat([pooled_one, pooled_two], dim=-1)
        )

    def _states(self, ending: str, prompts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
        encoder, tokenizer = self.parts[f"text_encoder{ending}"], self.parts[f"tokenizer{ending}"]
        return clip_penultimate(encoder, tokenizer, prompts, length)

    def _t5(self, prompts: Sequence[str], like: Tensor) -> Tensor:
        if "text_encoder_3" in self.parts:
            encoder, tokenizer = self.parts["text_encoder_3"], self.parts["tokenizer_3"]
            return t5_states(encoder, tokenizer, prompts, self.t5_tokens)
        width = int(self.network.config.joint_attention_dim)
        return like.new_zeros(len(prompts), self.t5_tokens, width)

    def _predict(self, x_t: Tensor, t_b: Tensor, conditioning: Conditioning) -> Tensor:
        """The transformer's output [b, c, h, w]."""
        told = conditioning.to(self.device, self.dtype)
        output = self.network(
            hidden_states=x_t.to(self.device, self.dtype),
            timestep=self.network_time(t_b).to(self.device),
            encoder_hidden_states=told.tokens,
            pooled_projections=told.pooled,
        )
        return cast(Tensor, output.sample)

    def told(
        self, positive: Conditioning, negative: Conditioning, guidance: float, rescale: float
    ) -> dict[str, Any]:
        """Both prompts and classifier-free guidance."""
        return {
            "prompt_embeds": positive.tokens,
            "pooled_prompt_embeds": positive.pooled,
            "negative_prompt_embeds": negative.tokens,
            "negative_pooled_prompt_embeds": negative.pooled,
            "guidance_scale": guidance,
        }
