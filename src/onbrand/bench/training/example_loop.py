"""The loop to beat: a LoRA step as diffusers' own example takes it, in our words.

After examples/dreambooth/train_dreambooth_lora.py (diffusers 0.42): a picture is opened and resized
every time it is drawn, the VAE and the text encoder run in every step, noise and timesteps are
drawn at once, mean squared error, gradient norm at most 1, AdamW. `cached` encodes every picture
and prompt once instead. Base, adapter, memory format and arithmetic are those of our own step.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from onbrand.models.adapters import attach_lora, lora_parameters
from onbrand.models.diffusion import Conditioning
from onbrand.training.precision import mixed

if TYPE_CHECKING:
    from onbrand.models.diffusion import DiffusionModel
    from onbrand.recipe import Recipe

__all__ = ["ExampleLoop"]


class ExampleLoop:
    """Steps over picture files and their prompts, one each; `step` takes one."""

    def __init__(
        self,
        model: DiffusionModel,
        recipe: Recipe,
        paths: Sequence[Path],
        prompts: Sequence[str],
        *,
        cached: bool,
    ) -> None:
        stage = recipe.stage[0]
        attach_lora(model, recipe.lora, seed=recipe.seed)
        self._model = model
        self._precision = recipe.precision
        self._batch_size = stage.batch_size
        self._paths, self._prompts = list(paths), list(prompts)
        self._parameters = list(lora_parameters(model).values())
        self._optimiser = torch.optim.AdamW(self._parameters, lr=stage.learning_rate)
        self._rates: Any = torch.optim.lr_scheduler.ConstantLR(self._optimiser, factor=1.0)
        self._latents: list[Tensor] | None = None
        if cached:
            everything = range(len(self._paths))
            self._latents = [self._encode([i])[0] for i in everything]
            self._texts = [self._read([i]) for i in everything]
        model.network.train()

    def step(self) -> float:
        """One update on random pictures; returns its loss."""
        model = self._model
        chosen = torch.randint(len(self._paths), (self._batch_size,)).tolist()
        if self._latents is None:
            latents, embeddings = self._encode(chosen), self._read(chosen)
        else:
            latents = torch.stack([self._latents[i] for i in chosen])
            embeddings = Conditioning.stack([self._texts[i] for i in chosen])
        noise = torch.randn_like(latents)
        timesteps = torch.randint(model.num_timesteps, (len(chosen),))
        noisy = model.scheduler.add_noise(latents, noise, timesteps)
        with mixed(model.device, self._precision):
            output = model.predict(noisy, timesteps, embeddings)
        target = noise
        if model.prediction_type == "v_prediction":
            target = model.scheduler.get_velocity(latents, noise, timesteps)
        loss = functional.mse_loss(output.float(), target.float())
        torch.autograd.backward([loss])
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimiser.step()
        self._rates.step()
        self._optimiser.zero_grad()
        return float(loss.detach())

    @torch.no_grad()
    def _encode(self, chosen: Sequence[int]) -> Tensor:
        """Latents [b, c, h, w] drawn from the VAE's posterior of the pictures' files."""
        side = self._model.num_px
        rows = []
        for index in chosen:
            with Image.open(self._paths[index]) as opened:
                image = ImageOps.exif_transpose(opened).convert("RGB")
            image = image.resize((side, side), Image.Resampling.BILINEAR)
            rows.append(torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1)
        vae: Any = self._model.vae
        pixels = torch.stack(rows).contiguous(memory_format=torch.channels_last)
        with mixed(self._model.device, self._precision):
            latents: Tensor = vae.encode(pixels).latent_dist.sample()
        return latents.float() * float(vae.config.scaling_factor)

    @torch.no_grad()
    def _read(self, chosen: Sequence[int]) -> Conditioning:
        """What the network is told of the pictures' prompts, float32."""
        with mixed(self._model.device, self._precision):
            told = self._model.encode_prompts([self._prompts[i] for i in chosen])
        return told.to(dtype=torch.float32)
