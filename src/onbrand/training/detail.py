"""Stage `detail`: make the small things right, by looking at the picture the model has in mind.

Where the noise is low enough (t ≤ loss_max_timestep, chosen before anything is decoded) the
estimate of the clean latents goes through the base's decoder, and two frozen encoders look at it:
`perceptual` compares features of the VAE's encoder and of the training identity encoder with those
of the picture itself, `identity` the embedding with the brand's mean embedding. Class pictures
made by the base (`prior`) keep what the base knew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from onbrand.artifacts.brand_model import StageResult
from onbrand.recipe import Stage
from onbrand.training.batches import draw_batch, refuse_non_finite
from onbrand.training.cache import brand_examples
from onbrand.training.early_stop import EarlyStop
from onbrand.training.engine import Loop, Settings
from onbrand.training.eyes import Eyes, open_eyes
from onbrand.training.losses import (
    feature_distance,
    gated_mean,
    identity_distance,
    min_snr_weight,
    reconstruction,
)
from onbrand.training.session import Pace, Session, StagePlan, checkpoint_period

__all__ = ["run"]

NUM_VARIANTS = 8  # augmented latents kept per picture; fewer than in appearance, moves are small


def run(session: Session, stage: Stage, plan: StagePlan, folder: Path, seed: int) -> StageResult:
    """Train the session's adapter through this stage and write it to `folder`.

    Continues from the folder's checkpoint if there is one. Raises NonFiniteLoss, StorageError,
    KeyboardInterrupt (after saving).
    """
    # set up: pictures, class pictures, the eyes that look at decoded estimates, loop
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
    looks_closely = stage.losses.get("perceptual") or stage.losses.get("identity")
    eyes = open_eyes(session, examples) if looks_closely else None
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
        loss = errors[: batch.num_brand].mean()
        numbers = {"reconstruction": float(loss.detach()), **pace.tick()}
        if prior is not None:
            kept = errors[batch.num_brand :].mean()
            loss = loss + prior_weight * kept
            numbers["prior"] = float(kept.detach())

        gate = torch.nonzero(batch.timesteps[: batch.num_brand] <= stage.loss_max_timestep)[:, 0]
        if eyes is not None and index % stage.every == 0 and len(gate):
            clean = model.estimate_x0(output[gate], noisy[gate], batch.timesteps[gate])
            contents = [batch.contents[i] for i in gate.tolist()]
            looks = look(eyes, model.decode(clean), contents, stage.losses, seed, index)
            for name, part in looks.items():
                loss = loss + stage.losses[name] * part
                numbers[name] = float(part.detach())
        return loss, numbers

    model.unet.train()
    stop = EarlyStop(session, loop, folder)
    loop.run(step, every=stop.table(session.previews(folder.name)))

    # save, measure
    return session.finish(plan, folder, loop.seconds, stop.restore())


def look(
    eyes: Eyes,
    seen_bchw: Tensor,
    contents: Sequence[tuple[int, int]],
    losses: Mapping[str, float],
    seed: int,
    index: int,
) -> dict[str, Tensor]:
    """The weighted pixel losses of decoded estimates of `contents`, before their weights."""
    parts: dict[str, Tensor] = {}
    if losses.get("perceptual"):
        wanted = eyes.targets(contents)
        parts["perceptual"] = gated_mean(feature_distance(eyes.features(seen_bchw), wanted))
    if losses.get("identity"):
        views = [
            identity_distance(e, eyes.reference) for e in eyes.embeddings(seen_bchw, seed, index)
        ]
        parts["identity"] = gated_mean(torch.stack(views).mean(0))
    return parts
