"""The losses that look at pictures which the model draws itself, from noise, within a step.

    own = open_own(session, stage, examples)
    own(batch, seed, step)      # {"own_identity": …, "own_expression": …, "own_tags": …}

An estimate of a noised training picture (looks.py) still shows what that picture showed; here every
mistake is the model's own: it draws each sample's prompt from the sample's noise (drawing.py).
Reconstruction beside it is what keeps the model from pleasing the eyes alone. The evaluation twins
are not reachable here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from onbrand.recipe import OWN_LOSSES, Stage
from onbrand.training.batches import Batch
from onbrand.training.cache import Examples, in_order
from onbrand.training.drawing import draw_x0, learning_steps
from onbrand.training.engine import generator
from onbrand.training.lenses import cropped, jittered, open_lenses
from onbrand.training.losses import attribute_distance, expression_distance
from onbrand.training.session import Session

if TYPE_CHECKING:
    from onbrand.models.diffusion import Conditioning

__all__ = ["Own", "Regard", "open_own"]

_WHICH = -7  # stream of the steps that learn
_FACES = 1_000_000  # and of jittered faces, a sample's number added

Regard = Callable[[Tensor, Batch, int, int], Tensor]
"""(own pictures [b, 3, h, w], the batch whose prompts they show, seed, step) -> distance [b]"""


@dataclass(frozen=True)
class Own:
    """The own losses of a stage; called with the brand's samples of a step."""

    session: Session
    regards: Mapping[str, Regard]

    def __call__(self, batch: Batch, seed: int, step: int) -> dict[str, Tensor]:
        """What these samples add to each loss's mean over the step's, before its weight."""
        if not batch.num_brand:
            return {}
        model, num = self.session.model, batch.num_brand
        told, guidance = batch.embeddings[:num], self.session.recipe.validation.guidance
        guided = guidance > 1 and model.reads_negative  # as diffusers' pipelines
        nothing = _nothing(self.session, told) if guided else told
        with self.session.mixed():
            clean = draw_x0(
                model,
                lambda x_t, t_b: model.predict(x_t, t_b, told),
                (lambda x_t, t_b: model.predict(x_t, t_b, nothing)) if guided else None,
                batch.noise[:num],
                guidance=guidance,
                learns=learning_steps(generator(seed, step, _WHICH)),
            )
        seen = model.decode(clean)
        return {
            name: batch.brand_mean(regard(seen, batch, seed, step))
            for name, regard in self.regards.items()
        }


def open_own(session: Session, stage: Stage, examples: Examples) -> Own | None:
    """None for a stage without own losses. Raises PackError when the pack lacks an eye."""
    makers = {"own_identity": _identity, "own_expression": _expression, "own_tags": _tags}
    names = [name for name in OWN_LOSSES if stage.weight(name)]
    if not names:
        return None
    return Own(session, {name: makers[name](session, stage, examples) for name in names})


def _nothing(session: Session, told: Conditioning) -> Conditioning:
    """What guidance leads away from: no prompt, nobody."""
    empty = session.model.without_prompt(session.texts.embed([""] * len(told)))
    if told.identity is None:
        return empty
    return replace(empty, identity=torch.zeros_like(told.identity))


def _identity(session: Session, stage: Stage, examples: Examples) -> Regard:
    """Who it is, as in estimates."""
    lens = open_lenses(session, examples, ["identity"])["identity"]
    return lambda seen, batch, seed, step: lens(seen, batch.contents, seed, step)


def _expression(session: Session, stage: Stage, examples: Examples) -> Regard:
    """Whether the face shows what the caption names; a caption that names no expression that the
    reader knows counts nothing, and so does a picture without a face."""
    from onbrand.models.perception import load_expression

    reader = load_expression(session.pack, device=session.device)
    tags = [a.tags for a in in_order(session.dataset, stage.only)]
    wanted = _named(tags, "expression", reader.labels)

    def regard(seen: Tensor, batch: Batch, seed: int, step: int) -> Tensor:
        boxes, there = reader.faces(seen.detach())
        shares = wanted[[picture for picture, _ in batch.contents]].to(seen.device)
        rows = batch.rows[: batch.num_brand]
        chances = [torch.rand(4, generator=generator(seed, step, _FACES + row)) for row in rows]
        logits = reader.face_logits(seen, jittered(boxes, torch.stack(chances)))
        return expression_distance(logits, shares, there & (shares.sum(1) > 0))

    return regard


def _tags(session: Session, stage: Stage, examples: Examples) -> Regard:
    """Whether it shows what the caption names and the tagger knows, in two views as of who it is:
    whole and cropped."""
    from onbrand.models.perception.tags import Tagger

    tagger = Tagger(session.pack, device=session.device)
    assets = in_order(session.dataset, stage.only)
    wanted = {
        name: _named([a.tags for a in assets], name, values)
        for name, values in tagger.attributes.items()
    }

    def regard(seen: Tensor, batch: Batch, seed: int, step: int) -> Tensor:
        rows = [picture for picture, _ in batch.contents]
        asked = {name: table[rows].to(seen.device) for name, table in wanted.items()}
        views = [tagger.logits(view) for view in (seen, cropped(seen, seed, step))]
        return attribute_distance(
            [(v[:, tagger.columns[name]], shares) for name, shares in asked.items() for v in views]
        )

    return regard


def _named(tags: Sequence[Sequence[str]], attribute: str, labels: Sequence[str]) -> Tensor:
    """[pictures, labels]: 1 for the value of the attribute that a picture's tags name, in rows that
    name one of the labels; 0 elsewhere."""
    named = torch.zeros(len(tags), len(labels))
    for picture, told in enumerate(tags):
        known = [label for label in labels if f"{attribute}:{label}" in told]
        if known:
            named[picture, labels.index(known[0])] = 1.0
    return named
