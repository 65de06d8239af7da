"""Stable Diffusion XL (arXiv 2307.01952): a U-Net told two CLIP encoders' states, a pooled
embedding, and the picture's size and crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from onbrand.models.families.conditioning import Conditioning
from onbrand.models.families.text import clip_length, clip_penultimate
from onbrand.models.families.variance import VarianceModel
from onbrand.models.layout import read_json

__all__ = ["StableDiffusionXL"]


class StableDiffusionXL(VarianceModel):
    """A StableDiffusionXLPipeline's parts.

    Conditioning: `tokens` [b, s, d1 + d2], `pooled` [b, p] of the second encoder.
    """

    def _reader(self) -> tuple[Any, int]:
        tokenizer = self.parts["tokenizer"]
        return tokenizer, clip_length(self.parts["text_encoder"], tokenizer)

    def _encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        """Both encoders' states before their last layer, side by side; the second one's pooled."""
        one, _ = self._states("", prompts)
        two, pooled = self._states("_2", prompts)
        return Conditioning(torch.cat([one, two], dim=-1), pooled)

    def _states(self, ending: str, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        encoder, tokenizer = self.parts[f"text_encoder{ending}"], self.parts[f"tokenizer{ending}"]
        return clip_penultimate(encoder, tokenizer, prompts, clip_length(encoder, tokenizer))

    def without_prompt(self, empty: Conditioning) -> Conditioning:
        """Zeros, where the base was trained with them for no prompt (as SDXL was)."""
        if not self._zeros:
            return empty
        assert empty.pooled is not None
        return Conditioning(torch.zeros_like(empty.tokens), torch.zeros_like(empty.pooled))

    @property
    def _zeros(self) -> bool:
        index = read_json(self.pack.root / "model_index.json")
        return bool(index.get("force_zeros_for_empty_prompt", True))

    def _predict(self, x_t: Tensor, t_b: Tensor, conditioning: Conditioning) -> Tensor:
        """The U-Net's output [b, c, h, w]."""
        conditioning, more = self.reach(conditioning)
        told = conditioning.to(self.device, self.dtype)
        output = self.network(
            x_t.to(self.device, self.dtype),
            t_b.to(self.device),
            encoder_hidden_states=told.tokens,
            added_cond_kwargs={"text_embeds": told.pooled, "time_ids": self.time_ids(x_t), **more},
        )
        return cast(Tensor, output.sample)

    def time_ids(self, latents_bchw: Tensor) -> Tensor:
        """[b, 6]: original height and width, crop's top and left, target height and width, in px.

        Pictures come fitted to their size and uncropped, so they are what the pipeline assumes.
        """
        batch, _, height, width = latents_bchw.shape
        size = [float(height * self.vae_factor), float(width * self.vae_factor)]
        row = torch.tensor([*size, 0.0, 0.0, *size], device=self.device, dtype=self.dtype)
        return row.expand(batch, -1)

    def pipeline_settings(self) -> dict[str, Any]:
        """No visible watermark; zeros for no prompt where the base learned them."""
        return {"add_watermarker": False, "force_zeros_for_empty_prompt": self._zeros}

    def told(
        self, positive: Conditioning, negative: Conditioning, guidance: float, rescale: float
    ) -> dict[str, Any]:
        """Both prompts and classifier-free guidance."""
        positive, negative, more = self.reach_pipeline(positive, negative, guidance)
        return {
            "prompt_embeds": positive.tokens,
            "pooled_prompt_embeds": positive.pooled,
            "negative_prompt_embeds": negative.tokens,
            "negative_pooled_prompt_embeds": negative.pooled,
            "guidance_scale": guidance,
            "guidance_rescale": rescale,
            **more,
        }
