"""The baseline `dreambooth_lora`: one stage, as diffusers' example trains it.

From examples/dreambooth/train_dreambooth_lora.py: one instance prompt for all pictures, one class
prompt, as many class pictures as instance pictures in every batch, plain mean squared error of
both, prior_loss_weight 1, independent uniform timesteps, constant learning rate without warmup,
AdamW (0.9, 0.999) with weight decay 0.01, gradient norm at most 1, no augmentation, class pictures
sampled once from the base. What differs, for both arms alike: rank, layers, whether the text
encoder learns (train_text_encoder) and the count of class pictures come from the recipe, latents
are the VAE's mode, not a draw, and the learning rate is given, since the example's 1e-4 is for a
base eighty times as large.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from onbrand.artifacts.brand_model import StageResult
from onbrand.recipe import Augment
from onbrand.training.batches import Batch, draw_batch
from onbrand.training.cache import brand_examples
from onbrand.training.engine import Part
from onbrand.training.losses import reconstruction
from onbrand.training.noise_levels import NoiseLevels
from onbrand.training.session import Session
from onbrand.training.stage_plan import BASELINE, StagePlan

__all__ = ["NAME", "RATE_SHARE", "run"]

NAME = BASELINE
PRIOR_LOSS_WEIGHT = 1.0
RATE_SHARE = 2.0
"""Of our first stage's learning rate: the best of 1/4, 1/2, 1, 2 and 4 for each revision of the
built-in pack that `onbrand bench consistency` searched (docs/benchmarks)."""


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
        emit=session.emit,
    )
    prior = session.class_examples([session.brief.class_prompt("")])
    levels = NoiseLevels.uniform(model.num_timesteps, stratified=False)
    loop = session.loop(
        plan,
        folder,
        seed,
        learning_rate=learning_rate,
        schedule="constant",
        betas=(0.9, 0.999),
    )
    draw = partial(
        draw_batch,
        examples,
        session.texts,
        seed=seed,
        batch_size=plan.batch_size,
        noise_levels=levels,
        prior=prior,
        num_prior=plan.num_prior,
        device=model.device,
    )

    # loop
    def measure(index: int, batch: Batch) -> Part:
        noisy = model.add_noise(batch.latents, batch.noise, batch.timesteps)
        with session.mixed():
            output = model.predict(noisy, batch.timesteps, batch.embeddings)
        target = model.target(batch.latents, batch.noise, batch.timesteps)
        errors = reconstruction(output, target, target.new_ones(len(target)))
        instance = batch.brand_mean(errors)
        kept = batch.prior_mean(errors)
        numbers = {"reconstruction": float(instance.detach()), "prior": float(kept.detach())}
        return instance + PRIOR_LOSS_WEIGHT * kept, numbers

    session.run(loop, draw, measure, plan)

    # save, measure
    return session.finish(plan, loop)
