"""Stable Diffusion 1.x and 2.x, the pocket pack's family: a U-Net told CLIP's last states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor

from onbrand.models.families.conditioning import Conditioning
from onbrand.models.families.text import clip_length, token_ids
from onbrand.models.families.variance import VarianceModel

__all__ = ["StableDiffusion"]


class StableDiffusion(VarianceModel):
    """A StableDiffusionPipeline's parts. Conditioning is `tokens` [b, max_tokens, dim] alone."""

    def _reader(self) -> tuple[Any, int]:
        tokenizer = self.parts["tokenizer"]
        return tokenizer, clip_length(self.parts["text_encoder"], tokenizer)

    def _encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        """The text encoder's last states; padding is masked where its config asks for it."""
        encoder = self.parts["text_encoder"]
        tokens = token_ids(self.parts["tokenizer"], prompts, self.max_tokens)
        masked = bool(getattr(encoder.config, "use_attention_mask", False))
        mask = tokens.attention_mask.to(self.device) if masked else None
        output = encoder(tokens.input_ids.to(self.device), attention_mask=mask)
        return Conditioning(cast(Tensor, output[0]))

    def _predict(self, x_t: Tensor, t_b: Tensor, conditioning: Conditioning) -> Tensor:
        """The U-Net's output [b, c, h, w]."""
        conditioning, more = self.reach(conditioning)
        output = self.network(
            x_t.to(self.device, self.dtype),
            t_b.to(self.device),
            encoder_hidden_states=conditioning.tokens.to(self.device, self.dtype),
            added_cond_kwargs=more,
        )
        return cast(Tensor, output.sample)

    def pipeline_settings(self) -> dict[str, Any]:
        """No safety checker: prompts are read before, by the pack's own list."""
        return {
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
        }

    def told(
        self, positive: Conditioning, negative: Conditioning, guidance: float, rescale: float
    ) -> dict[str, Any]:
        """Both prompts and classifier-free guidance."""
        positive, negative, more = self.reach_pipeline(positive, negative, guidance)
        return {
            "prompt_embeds": positive.tokens,
            "negative_prompt_embeds": negative.tokens,
            "guidance_scale": guidance,
            "guidance_rescale": rescale,
            **more,
        }
