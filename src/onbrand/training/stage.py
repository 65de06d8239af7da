"""A stage of the recipe from top to bottom: set up, loop, save, measure. All kinds run here.

    appearance   the whole look: reconstruction over many small variants of each picture
    detail       + what frozen eyes see in the decoded estimate: textures, things, who it is
    expression   + where the joints are and what the face shows, in estimates and in pictures that
                 the model draws itself; a critic that begins late

What a kind may add to reconstruction the recipe says (STAGE_LOSSES); what each loss is, losses.py;
what looks at decoded estimates, lenses.py; at own drawings, own_pictures.py. The base's own target
(v, noise or flow) is min-SNR weighted; `prior`, class pictures made by the base, keeps what it
knew, and `weights` keeps the adapter small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from torch import Tensor
from torch.nn import Parameter

from onbrand.artifacts.brand_model import StageResult
from onbrand.recipe import SEEN_LOSSES, Stage
from onbrand.training.batches import Batch, draw_batch
from onbrand.training.cache import Examples, brand_examples
from onbrand.training.critic import Critic, adversarial, open_critic
from onbrand.training.early_stop import EarlyStop
from onbrand.training.engine import Part
from onbrand.training.focus import Heads, focus_of, head_weight
from onbrand.training.lenses import Lens, open_lenses
from onbrand.training.looks import estimates, latest_timestep, look
from onbrand.training.losses import min_snr_weight, reconstruction, snr_gamma, weight_change
from onbrand.training.own_pictures import Own, open_own
from onbrand.training.session import Session
from onbrand.training.stage_plan import StagePlan

__all__ = ["run"]

NUM_VARIANTS = {"appearance": 16, "detail": 8, "expression": 8}
"""Augmented latents kept per picture, each seen in turn; moves are small where little is to see."""


def run(session: Session, stage: Stage, plan: StagePlan, folder: Path, seed: int) -> StageResult:
    """Train the session's adapter through this stage and write it to `folder`.

    Continues from the folder's checkpoint if there is one. Raises NonFiniteLoss, StorageError,
    PackError when the pack lacks an eye that a loss needs, KeyboardInterrupt (after saving).
    """
    # set up: pictures, class pictures, what looks, the loop
    model = session.model
    tools = _set_up(session, stage, plan, seed)
    gamma = snr_gamma(stage.min_snr_gamma, model.prediction_type)
    loop = session.loop(
        plan,
        folder,
        seed,
        learning_rate=stage.learning_rate,
        warmup_steps=stage.warmup_steps,
        schedule=stage.schedule,
        beside=tools.trained,
    )
    draw = partial(
        draw_batch,
        tools.examples,
        session.texts,
        seed=seed,
        batch_size=plan.batch_size,
        noise_levels=session.noise_levels(stage.timestep_sampling),
        prior=tools.prior,
        num_prior=plan.num_prior,
        who_d=session.who_d,
        device=model.device,
    )

    # loop
    def measure(index: int, batch: Batch) -> Part:
        noisy = model.add_noise(batch.latents, batch.noise, batch.timesteps)
        with session.mixed():
            output = model.predict(noisy, batch.timesteps, batch.embeddings)
        target = model.target(batch.latents, batch.noise, batch.timesteps)
        weight = min_snr_weight(model.snr(batch.timesteps), gamma, model.prediction_type)
        focus = focus_of(batch, tools.examples, tools.head_weight)
        errors = reconstruction(output, target, weight, stage.reconstruction, focus)
        losses = {"reconstruction": batch.brand_mean(errors)}
        if tools.prior is not None:
            losses["prior"] = batch.prior_mean(errors)
        if tools.changes:
            losses["weights"] = batch.share * weight_change(tools.changes)
        if index % stage.every == 0:
            losses |= _seen(session, stage, plan, tools, output, noisy, batch, seed, index)
        return _sum_of(losses, tools.weights), {k: float(v.detach()) for k, v in losses.items()}

    stop = EarlyStop(session, loop, folder)
    session.run(loop, draw, measure, plan, every=stop.table(session.previews(folder.name)))

    # save, measure
    return session.finish(plan, loop, stop.restore())


@dataclass(frozen=True)
class _Tools:
    """What a stage holds: `weights` of its losses, `trained` beside the adapter, `changes` for
    `weight_change`."""

    examples: Examples
    prior: Examples | None
    lenses: Mapping[str, Lens]
    own: Own | None
    critic: Critic | None
    changes: Sequence[tuple[Tensor, Tensor, float, float]]
    weights: Mapping[str, float]
    head_weight: float

    @property
    def trained(self) -> dict[str, Parameter]:
        """The critic's parameters, kept in checkpoints beside the adapter's."""
        named = self.critic.named_parameters() if self.critic else ()
        return {f"critic.{name}": parameter for name, parameter in named}


def _set_up(session: Session, stage: Stage, plan: StagePlan, seed: int) -> _Tools:
    from onbrand.models.adapters import lora_changes

    weight_of_head = head_weight(stage, session.brief, session.pack)
    examples = brand_examples(
        session.dataset,
        session.brief,
        session.model,
        session.store,
        augment=stage.augment,
        num_variants=NUM_VARIANTS[stage.kind],
        size_px=session.size_px,
        seed=session.recipe.seed,
        only=stage.only,
        heads=Heads.of(session.pack) if weight_of_head > 1 else None,
        emit=session.emit,
    )
    weights = {name: stage.weight(name) for name in stage.losses}
    weights |= {"reconstruction": 1.0, "critic": 1.0}
    if "prior" in weights:
        weights["prior"] *= session.recipe.prior.weight
    prior = session.class_examples(session.class_prompts()) if plan.num_prior else None
    has_critic = stage.weight("adversarial")
    critic = open_critic(session.model, session.texts, seed) if has_critic else None
    prompts = (*examples.prompts, *(prior.prompts if prior else ()))
    session.texts.read(chain.from_iterable(prompts))
    return _Tools(
        examples=examples,
        prior=prior,
        lenses=open_lenses(session, examples, [n for n in SEEN_LOSSES if stage.weight(n)]),
        own=open_own(session, stage, examples),
        critic=critic,
        changes=lora_changes(session.model) if stage.weight("weights") else (),
        weights=weights,
        head_weight=weight_of_head,
    )


def _seen(
    session: Session,
    stage: Stage,
    plan: StagePlan,
    tools: _Tools,
    output: Tensor,
    noisy: Tensor,
    batch: Batch,
    seed: int,
    index: int,
) -> dict[str, Tensor]:
    """What lenses and critic see in the estimates, and what own drawings show, before the weights.
    The critic's own loss is among them: it learns in the same backward pass."""
    model = session.model
    found = tools.own(batch, seed, index) if tools.own else {}
    if tools.lenses:
        found |= look(model, tools.lenses, stage, output, noisy, batch, seed=seed, step=index)
    if tools.critic is None:
        return found
    term = stage.losses["adversarial"]
    if index >= term.from_fraction * plan.num_steps:
        reach = latest_timestep(model, stage, "adversarial")
        gate, fake, share = estimates(model, output, noisy, batch, reach)
        if len(gate):
            real, words = batch.latents[gate], batch.embeddings[gate]
            samples = [batch.rows[int(place)] for place in gate]
            fooled, judged = adversarial(
                model, tools.critic, real, fake, words, seed, index, samples
            )
            found |= {"adversarial": share * fooled, "critic": share * judged}
    return found


def _sum_of(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Σ weight · loss, in the losses' order."""
    weighed = [
        value if weights[name] == 1 else weights[name] * value for name, value in losses.items()
    ]
    total = weighed[0]
    for value in weighed[1:]:
        total = total + value
    return total
