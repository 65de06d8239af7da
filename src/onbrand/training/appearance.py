"""Stage `appearance`: learn how the subject looks, from augmented pictures with their captions.

Reconstruction in the base's own target (v or noise), min-SNR weighted, with warmup and cosine; the
loss table may add `prior`: class pictures made by the base keep what the base knew.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from onbrand.artifacts.brand_model import StageResult
from onbrand.recipe import Stage
from onbrand.training.batches import draw_batch, refuse_non_finite
from onbrand.training.cache import brand_examples
from onbrand.training.early_stop import EarlyStop
from onbrand.training.engine import Loop, Settings
from onbrand.training.losses import min_snr_weight, reconstruction
from onbrand.training.session import Pace, Session, StagePlan, checkpoint_period

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
    settings = Settings(
        num_steps=plan.num_steps,
        learning_rate=stage.learning_rate,
        seed=seed,
        warmup_steps=stage.warmup_steps,
        schedule=stage.schedule,
        checkpoint_every=checkpoint_period(plan.num_steps),
    )
    loop = Loop(folder, session.parameters, settings, task=plan.name, emit=session.emit)
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
        weight = min_snr_weight(
            model.snr(batch.timesteps), stage.min_snr_gamma, model.prediction_type
        )
        errors = reconstruction(output, target, weight)
        refuse_non_finite(errors, batch, plan.name, index)
        brand = errors[: batch.num_brand].mean()
        numbers = {"reconstruction": float(brand.detach()), **pace.tick()}
        if prior is None:
            return brand, numbers
        kept = errors[batch.num_brand :].mean()
        return brand + prior_weight * kept, {**numbers, "prior": float(kept.detach())}

    model.unet.train()
    stop = EarlyStop(session, loop, folder)
    loop.run(step, every=stop.table(session.previews(folder.name)))

    # save, measure
    return session.finish(plan, folder, loop.seconds, stop.restore())
