"""Stage `appearance`: learn how the subject looks, from augmented pictures with their captions.

Reconstruction in the base's own target (v or noise), min-SNR weighted, with warmup and cosine; the
loss table may add `prior`: class pictures made by the base keep what the base knew.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from onbrand.artifacts.brand_model import StageResult
from onbrand.recipe import Stage
from onbrand.training.batches import Batch, draw_batch
from onbrand.training.cache import brand_examples
from onbrand.training.engine import Part
from onbrand.training.losses import min_snr_weight, reconstruction
from onbrand.training.session import Session, StagePlan

__all__ = ["run"]

NUM_VARIANTS = 16  # augmented latents kept per picture; each is seen in turn


def run(session: Session, stage: Stage, plan: StagePlan, folder: Path, seed: int) -> StageResult:
    """Train the session's adapter through this stage and write it to `folder`.

    Continues from the folder's checkpoint if there is one. Raises NonFiniteLoss, StorageError,
    KeyboardInterrupt (after saving).
    """
    # set up: pictures, class pictures, loop
    model = session.model
    examples = brand_examples(
        session.dataset,
        session.brief,
        model,
        session.store,
        augment=stage.augment,
        num_variants=NUM_VARIANTS,
        size_px=session.size_px,
        seed=session.recipe.seed,
    )
    prior = session.class_examples(session.class_prompts()) if plan.num_prior else None
    levels = session.noise_levels(stage.timestep_sampling)
    prior_weight = stage.losses.get("prior", 0.0) * session.recipe.prior.weight
    loop = session.loop(
        plan,
        folder,
        seed,
        learning_rate=stage.learning_rate,
        warmup_steps=stage.warmup_steps,
        schedule=stage.schedule,
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
    )

    # loop
    def measure(index: int, batch: Batch) -> Part:
        noisy = model.add_noise(batch.latents, batch.noise, batch.timesteps)
        with session.mixed():
            output = model.predict(noisy, batch.timesteps, batch.embeddings)
        target = model.target(batch.latents, batch.noise, batch.timesteps)
        weight = min_snr_weight(
            model.snr(batch.timesteps), stage.min_snr_gamma, model.prediction_type
        )
        errors = reconstruction(output, target, weight)
        brand = batch.brand_mean(errors)
        numbers = {"reconstruction": float(brand.detach())}
        if prior is None:
            return brand, numbers
        kept = batch.prior_mean(errors)
        return brand + prior_weight * kept, {**numbers, "prior": float(kept.detach())}

    model.unet.train()
    session.run(loop, draw, measure, plan)

    # save, measure
    return session.finish(plan, folder, loop.seconds)
