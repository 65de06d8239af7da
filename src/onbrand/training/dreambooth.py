"""The baseline `dreambooth_lora`: one stage, as diffusers' example trains it.

From examples/dreambooth/train_dreambooth_lora.py: one instance prompt for all pictures, one class
prompt, as many class pictures as instance pictures in every batch, plain mean squared error of
both, prior_loss_weight 1, independent uniform timesteps, constant learning rate without warmup,
AdamW (0.9, 0.999) with weight decay 0.01, gradient norm at most 1, no augmentation, frozen text
encoder, class pictures sampled once from the base. What differs, for both arms alike: rank,
layers and the count of class pictures come from the recipe, latents are the VAE's mode, not a
draw, and the learning rate is given, since the example's 1e-4 is for a base eighty times as large.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from onbrand.artifacts.brand_model import StageResult
from onbrand.recipe import Augment
from onbrand.training.batches import draw_batch, refuse_non_finite
from onbrand.training.cache import brand_examples
from onbrand.training.engine import Loop, Settings
from onbrand.training.losses import reconstruction
from onbrand.training.noise_levels import NoiseLevels
from onbrand.training.session import Pace, Session, StagePlan, checkpoint_period

__all__ = ["NAME", "RATE_SHARE", "run"]

NAME = "dreambooth_lora"
RATE_SHARE = 0.25
"""Of our first stage's learning rate: the best of 1, 1/2 and 1/4 on two characters (log.md)."""


def run(
    session: Session, learning_rate: float, plan: StagePlan, folder: Path, seed: int
) -> StageResult:
    """Train the session's adapter as the example does and write it to `folder`.

    Continues from the folder's checkpoint if there is one. Raises NonFiniteLoss, StorageError,
    KeyboardInterrupt (after saving).
    """
    # set up
    model = session.model
    examples = brand_examples(
        session.dataset,
        session.brief,
        model,
        session.store,
        augment=Augment(
            flip=False,
            rotate_degrees=0,
            scale_fraction=0,
            shift_fraction=0,
            brightness_fraction=0,
        ),
        num_variants=1,
        size_px=session.size_px,
        seed=session.recipe.seed,
        prompt=session.brief.trigger_prompt(""),
    )
    prior = session.class_examples([session.brief.class_prompt("")])
    levels = NoiseLevels.uniform(model.num_timesteps, stratified=False)
    settings = Settings(
        num_steps=plan.num_steps,
        learning_rate=learning_rate,
        seed=seed,
        schedule="constant",
        betas=(0.9, 0.999),
        checkpoint_every=checkpoint_period(plan.num_steps),
    )
    loop = Loop(folder, session.parameters, settings, task=NAME, emit=session.emit)
    loop.resume()
    pace = Pace(plan.batch_size + plan.num_prior)

    # loop
    def step(index: int) -> tuple[Tensor, dict[str, float]]:
        session.enter_step(seed, index)
        batch = draw_batch(
            examples,
            session.texts,
            seed=seed,
            step=index,
            batch_size=plan.batch_size,
            noise_levels=levels,
            prior=prior,
            num_prior=plan.num_prior,
        )
        noisy = model.add_noise(batch.latents, batch.noise, batch.timesteps)
        with session.mixed():
            output = model.predict(noisy, batch.timesteps, batch.embeddings)
        target = model.target(batch.latents, batch.noise, batch.timesteps)
        errors = reconstruction(output, target, torch.ones(len(target)))
        refuse_non_finite(errors, batch, NAME, index)
        instance = errors[: batch.num_brand].mean()
        kept = errors[batch.num_brand :].mean()
        numbers = {"reconstruction": float(instance.detach()), "prior": float(kept.detach())}
        return instance + session.recipe.prior.weight * kept, {**numbers, **pace.tick()}

    model.network.train()
    loop.run(step, every=session.previews(folder.name))

    # save, measure
    return session.finish(plan, folder, loop.seconds)
