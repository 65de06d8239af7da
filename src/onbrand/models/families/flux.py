"""FLUX.1 (Black Forest Labs, 2024): a transformer over packed latents, told T5's states and CLIP's
pooled one. FLUX.1-dev is distilled from guidance: its strength is an input, not a second pass."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from onbrand.models.families.conditioning import Conditioning
from onbrand.models.families.flow import FlowModel
from onbrand.models.families.text import clip_length, clip_pooled, t5_states

__all__ = ["TRAINING_GUIDANCE", "Flux"]

TRAINING_GUIDANCE = 1.0
"""The guidance that a guidance-distilled network is told while it trains: diffusers' README_flux
advises 1, as real pictures are no guided ones."""


class Flux(FlowModel):
    """A FluxPipeline's parts. Conditioning: `tokens` [b, s, d] of T5, `pooled` [b, p] of CLIP.

    Latents stay [b, 16, h, w] outside; the network sees 2×2 of them as one token of 64.
    """

    reads_negative = False

    def _reader(self) -> tuple[Any, int]:
        return self.parts["tokenizer_2"], self.t5_tokens

    @property
    def t5_tokens(self) -> int:
        """Tokens that T5 reads: 512, or 256 for the step-distilled kind (FLUX.1-schnell)."""
        most = 512 if self.network.config.guidance_embeds else 256
        return min(most, int(self.parts["tokenizer_2"].model_max_length))

    @property
    def patch(self) -> int:
        """Latents along the side of a token: packing makes it 2."""
        return 2

    def _encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        """T5's last states, CLIP's pooled one."""
        clip, clip_words = self.parts["text_encoder"], self.parts["tokenizer"]
        t5, t5_words = self.parts["text_encoder_2"], self.parts["tokenizer_2"]
        return Conditioning(
            t5_states(t5, t5_words, prompts, self.t5_tokens),
            clip_pooled(clip, clip_words, prompts, clip_length(clip, clip_words)),
        )

    def _predict(self, x_t: Tensor, t_b: Tensor, conditioning: Conditioning) -> Tensor:
        """The transformer's output, unpacked to [b, c, h, w]."""
        told = conditioning.to(self.device, self.dtype)
        height, width = (side // 2 for side in x_t.shape[-2:])
        rows = torch.arange(height, device=self.device)[:, None].expand(height, width)
        columns = torch.arange(width, device=self.device)[None].expand(height, width)
        places = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3)
        guided = bool(self.network.config.guidance_embeds)
        guidance = torch.full((len(x_t),), TRAINING_GUIDANCE, device=self.device)
        with warnings.catch_warnings():
            # autocast gives torch's RMSNorm bfloat16 beside its float32 weight: slower, not wrong
            warnings.filterwarnings("ignore", "Mismatch dtype between input and weight")
            output = self.network(
                hidden_states=self.pack_latents(x_t.to(self.device, self.dtype)),
                timestep=self.network_time(t_b).to(self.device) / self.num_timesteps,
                guidance=guidance if guided else None,
                pooled_projections=told.pooled,
                encoder_hidden_states=told.tokens,
                txt_ids=torch.zeros(told.tokens.shape[1], 3, device=self.device, dtype=self.dtype),
                img_ids=places.to(self.dtype),
            )
        return self.unpack_latents(cast(Tensor, output.sample), x_t)

    def pack_latents(self, latents_bchw: Tensor) -> Tensor:
        """[b, h/2·w/2, 4c]: each token holds 2×2 latents, channel by channel."""
        batch, channels, height, width = latents_bchw.shape
        tiles = latents_bchw.reshape(batch, channels, height // 2, 2, width // 2, 2)
        return tiles.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, 4 * channels)

    def unpack_latents(self, latents: Tensor, like_bchw: Tensor) -> Tensor:
        """[b, c, h, w] of tokens [b, h/2·w/2, 4c]."""
        batch, _, height, width = like_bchw.shape
        tiles = latents.reshape(batch, height // 2, width // 2, -1, 2, 2)
        return tiles.permute(0, 3, 1, 4, 2, 5).reshape(batch, -1, height, width)

    def told(
        self, positive: Conditioning, negative: Conditioning, guidance: float, rescale: float
    ) -> dict[str, Any]:
        """The prompt, and the strength of guidance that the network is told."""
        return {
            "prompt_embeds": positive.tokens,
            "pooled_prompt_embeds": positive.pooled,
            "guidance_scale": guidance,
        }
