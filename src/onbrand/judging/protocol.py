"""The judge: one arm's pictures against the brand's real ones, with intervals.

Definitions are the design's; each lives in `metrics`, `colour` or `gallery` and is only put
together here. Pictures of one prompt are resampled together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.artifacts.judgement import Arm, Metric, alignment_name
from onbrand.brief import Objective
from onbrand.judging import metrics as m
from onbrand.judging.colour import palette_distance
from onbrand.judging.diagnosis import Diagnoser, worst_first
from onbrand.judging.eyes import Eyes
from onbrand.judging.gallery import OWN, Gallery
from onbrand.judging.indices import drift
from onbrand.judging.intervals import bootstrap
from onbrand.judging.objective import (
    AVATAR_PARTS,
    avatar_scores,
    background_variety,
    composition_count,
    real_avatar_scores,
)
from onbrand.judging.sight import See

__all__ = [
    "BETTER",
    "ArmPictures",
    "Judge",
    "Measured",
    "PictureScore",
    "References",
]

Floats = NDArray[np.float64]

BETTER: dict[str, Literal["higher", "lower"]] = {
    "identity": "higher",
    "identity_error": "lower",
    "retrieval_fraction": "higher",
    "alignment": "higher",
    "directional_alignment": "higher",
    "alignment_ratio": "higher",
    "diversity": "higher",
    "memorised_fraction": "lower",
    "palette_distance": "lower",
    "attributes_fraction": "higher",
    "expression_fraction": "higher",
    "pose_fraction": "higher",
    **dict.fromkeys(AVATAR_PARTS, "higher"),
    "background_variety": "higher",
    "composition_count": "higher",
    "shape_doubt": "lower",
    "pose_variety": "higher",
    "oiliness": "lower",
    "background_detail": "higher",
    "prior_drift": "lower",
}

READ_ALONE = ("expression", "pose")


@dataclass(frozen=True)
class References:
    """The brand's real pictures, as large as the arms' and, where oblong, on a square as training
    shows them (`Dataset.open_square`): copies are found by what is where, colours and fineness are
    read off pixels. `held_out` were never trained on; `palette` is ["#rrggbb", …].

    `held_out_for_memory`: more never-trained pictures for the memorisation threshold alone, where
    they are cheap (drawn characters); the held-out ones serve when it is empty. `objectives` say
    what else is measured (see `onbrand.judging.objective`): the brief's, both, or none.
    `held_out_texts[i]`: the trigger-free caption of held_out[i], "" where it has none.
    """

    train: Sequence[Image.Image]
    held_out: Sequence[Image.Image]
    gallery: Gallery
    palette: Sequence[str] = ()
    held_out_for_memory: Sequence[Image.Image] = ()
    objectives: Sequence[Objective] = ()
    held_out_texts: Sequence[str] = ()


@dataclass(frozen=True)
class ArmPictures:
    """One arm's pictures; texts[i] is the trigger-free text of pictures[i] (brief.class_prompt).

    `expected[i]`: the attributes that the prompt names, when they are known ({"pose": "waving"}).
    `steps`: training steps that the arm has behind it. `class_pictures`: what the arm draws for the
    plain class's prompts, which the base's own `pictures` are of, one for each text with the first
    of its seeds; without them no drift is told.
    """

    name: str
    pictures: Sequence[Image.Image]
    texts: Sequence[str]
    steps: int = 0
    expected: Sequence[Mapping[str, str]] | None = None
    class_pictures: Sequence[Image.Image] = ()

    def __post_init__(self) -> None:
        counts = {len(self.pictures), len(self.texts), len(self.expected or self.texts)}
        if len(counts) != 1 or not self.pictures:
            raise ValueError(
                f"arm {self.name!r}: {len(self.pictures)} pictures, {len(self.texts)} texts; "
                "each picture needs its own text, and there must be at least one"
            )


@dataclass(frozen=True)
class PictureScore:
    """What was seen on one picture. `nearest_train` is an index into References.train;
    `nearest_distance` is 0 for the same layout and 1 for nothing in common; `palette` is None
    without a palette in the brief."""

    identity: float
    right: bool
    alignment: float
    nearest_train: int
    nearest_distance: float
    memorised: bool
    palette: float | None


@dataclass(frozen=True)
class Measured:
    """An arm's figures (for report.json) and its pictures', in the order they were given.

    `worst[fault]` are numbers of pictures, those that show the fault most first; of "drift" they
    count the class pictures.
    """

    arm: Arm
    pictures: tuple[PictureScore, ...]
    worst: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class Judge:
    """Embeds the references once, then measures any number of arms against them.

    `base` holds the untouched base's pictures for the same texts; its directional alignment is what
    `alignment_ratio` divides by, or its plain one where all have one text. Without a base that
    figure is left out.
    """

    def __init__(
        self, eyes: Eyes, references: References, *, base: ArmPictures | None = None, seed: int = 0
    ) -> None:
        self.eyes, self.references, self.seed = eyes, references, seed
        self.real = eyes.embed(references.held_out)
        self.ceiling = m.self_similarity(self.real)
        shown = {
            name: eyes.embed(pictures)
            for name, pictures in zip(
                references.gallery.names, references.gallery.pictures, strict=True
            )
        }
        self.own_is_held_out = OWN not in shown
        shown.setdefault(OWN, self.real)
        self.names = tuple(shown)
        self.line_up = m.line_up(list(shown.values()))
        self.train_layouts = m.layouts(references.train)
        self.memory_threshold = m.memorisation_threshold(
            m.layouts(references.held_out_for_memory or references.held_out), self.train_layouts
        )
        self.diagnoser = None if eyes.see is None else _diagnoser(eyes.see, references)
        self.base_identity: Floats | None = None
        self.base_follows: dict[str, float] = {}
        self.follows = "alignment"
        if base is not None:
            if eyes.see is not None:
                self.base_identity = eyes.embed(base.pictures)
            found = self._follows(base.pictures, base.texts)
            self.follows = alignment_name(found)
            means, told = m.group_means(found[self.follows], base.texts)
            self.base_follows = dict(zip(told, means.tolist(), strict=True))

    def measure(self, arm: ArmPictures) -> Measured:
        """Every figure that can be had for this arm, and every picture's own."""
        embedded = self.eyes.embed(arm.pictures)
        identity = m.identity_scores(embedded, self.real)
        found = m.retrieve(embedded, self.line_up)
        right = np.array([self.names[k] == OWN for k in found])
        follows = self._follows(arm.pictures, arm.texts)
        layout = m.layouts(arm.pictures)
        near, distance = m.nearest_layout(layout, self.train_layouts)
        memorised = distance < self.memory_threshold
        palette = self._palette(arm.pictures)

        metrics = {
            "identity": self._mean("identity", identity, arm.texts),
            "identity_error": self._statistic(
                "identity_error", identity, arm.texts, lambda v: m.identity_error(v, self.ceiling)
            ),
            "retrieval_fraction": self._mean("retrieval_fraction", right, arm.texts),
            "memorised_fraction": self._mean("memorised_fraction", memorised, arm.texts),
        }
        metrics |= {name: self._mean(name, row, arm.texts) for name, row in follows.items()}
        metrics |= self._ratio(follows.get(self.follows), arm.texts)
        spread, prompts = m.diversity(layout, list(arm.texts))
        if len(spread):
            metrics["diversity"] = self._mean("diversity", spread, prompts)
        if palette is not None:
            metrics["palette_distance"] = self._mean("palette_distance", palette, arm.texts)
        metrics |= self._attributes(arm) | self._objectives(arm)
        wrong, worst = self._wrong(arm)
        metrics |= wrong
        ordered = {name: metrics[name] for name in BETTER if name in metrics}
        scores = tuple(
            PictureScore(
                identity=float(identity[i]),
                right=bool(right[i]),
                alignment=float(follows["alignment"][i]),
                nearest_train=int(near[i]),
                nearest_distance=float(distance[i]),
                memorised=bool(memorised[i]),
                palette=None if palette is None else float(palette[i]),
            )
            for i in range(len(arm.pictures))
        )
        found_arm = Arm(name=arm.name, steps=arm.steps, metrics=ordered, diagnosis=[])
        return Measured(found_arm, scores, worst)

    def _wrong(self, arm: ArmPictures) -> tuple[dict[str, Metric], dict[str, tuple[int, ...]]]:
        """The figures of diagnoses, and per fault the pictures that show it most. A set has no
        interval of its own: variety and drift are of all pictures together."""
        if self.diagnoser is None or self.eyes.see is None:
            return {}, {}
        sight = self.eyes.see(arm.pictures)
        figures = self.diagnoser.figures(sight)
        values = self.diagnoser.values(sight)
        if arm.class_pictures and self.base_identity is not None:
            own = self.eyes.embed(arm.class_pictures)
            base = self.base_identity
            figures["prior_drift"] = drift(own, base[:: len(base) // len(own)])  # of one seed
            values["drift"] = np.linalg.norm(own[:, None] - base[None], axis=-1).min(axis=1)
        figures.pop("memorised_fraction")  # measured above, with its interval
        metrics = {
            name: Metric(value=value, better=BETTER[name])
            for name, value in figures.items()
            if np.isfinite(value)
        }
        return metrics, {fault: tuple(worst_first(row)) for fault, row in values.items()}

    def measure_real(self) -> Arm:
        """The held-out real pictures by the same rules: the ceiling that arms are read against.

        Identity is the mean over pairs of different real pictures, so its error is 0 by definition.
        Alignment is that of their own captions: these, too, do not name the brand's traits, so that
        a model that shows them cannot have a better plain one.
        """
        held_out = self.references.held_out
        right = self._real_right()
        figures = {
            "identity": Metric(value=self.ceiling, better="higher"),
            "retrieval_fraction": self._mean("retrieval_fraction", right, range(len(right))),
        }
        captions = self.references.held_out_texts or [""] * len(held_out)
        told = [(p, t) for p, t in zip(held_out, captions, strict=True) if t]
        if told:
            pictures, texts = zip(*told, strict=True)
            for name, row in self._follows(pictures, texts).items():
                figures[name] = self._mean(name, row, range(len(told)))
        palette = self._palette(held_out)
        if palette is not None:
            figures["palette_distance"] = self._mean(
                "palette_distance", palette, range(len(palette))
            )
        if self.eyes.read_parts is not None and "avatar" in self.references.objectives:
            ceilings = real_avatar_scores(self.eyes.embed, self.eyes.read_parts, held_out)
            figures |= {name: self._mean(name, x, range(len(x))) for name, x in ceilings.items()}
        return Arm(name="real", steps=0, metrics=figures, diagnosis=[])

    def _real_right(self) -> NDArray[np.bool_]:
        """Whether each held-out picture is retrieved as the brand, [n]. Where the held-out pictures
        are the brand's in the line-up, each is left out of the mean that it is compared with:
        it is a part of that mean, and of no other."""
        own = self.names.index(OWN)
        cosines = self.real @ self.line_up.T
        if self.own_is_held_out:
            for k, picture in enumerate(self.real):
                others = np.delete(self.real, k, axis=0)
                cosines[k, own] = picture @ m.mean_direction(others, self.ceiling)
        return np.asarray(np.argmax(cosines, axis=1) == own)

    def _palette(self, pictures: Sequence[Image.Image]) -> Floats | None:
        wanted = self.references.palette
        return np.array([palette_distance(p, wanted) for p in pictures]) if wanted else None

    def _follows(self, pictures: Sequence[Image.Image], texts: Sequence[str]) -> dict[str, Floats]:
        """How each picture fits its text, plainly and, where there are several texts, by direction.
        Directions share their means: intervals over a few texts are too narrow, not too wide."""
        seen, told = self.eyes.align(pictures, texts)
        found = {
            "alignment": m.alignment(seen, told),
            "directional_alignment": m.directional_alignment(seen, told),
        }
        return {name: row for name, row in found.items() if np.isfinite(row).all()}

    def _ratio(self, follows: Floats | None, texts: Sequence[str]) -> dict[str, Metric]:
        """How prompts are followed over the base's, resampled by text; {} where that may be 0."""
        own = np.array([self.base_follows.get(text, np.nan) for text in texts])
        least = (bootstrap(own, texts, seed=self.seed) or (own.mean(),))[0]
        if follows is None or np.isnan(own).any() or least <= 0:
            return {}
        pairs = np.stack([follows, own], axis=1)
        return {
            "alignment_ratio": self._statistic(
                "alignment_ratio", pairs, texts, lambda v: float(v[:, 0].mean() / v[:, 1].mean())
            )
        }

    def _attributes(self, arm: ArmPictures) -> dict[str, Metric]:
        """The share of the prompt's attributes that the reader sees on the picture; of those in
        `READ_ALONE` each by itself, too, where every prompt names it."""
        if arm.expected is None or self.eyes.read_attributes is None:
            return {}
        hits = [
            {key: float(seen[key] == word) for key, word in wanted.items() if key in seen}
            for wanted, seen in zip(
                arm.expected, self.eyes.read_attributes(arm.pictures), strict=True
            )
        ]
        if not all(hits):
            return {}
        shares = {"attributes_fraction": [float(np.mean(list(hit.values()))) for hit in hits]}
        for key in READ_ALONE:
            if all(key in hit for hit in hits):
                shares[f"{key}_fraction"] = [hit[key] for hit in hits]
        return {name: self._mean(name, np.array(row), arm.texts) for name, row in shares.items()}

    def _objectives(self, arm: ArmPictures) -> dict[str, Metric]:
        """What the brief's objective asks: parts of an avatar, variety of scenes."""
        parts, objectives = self.eyes.read_parts, self.references.objectives
        found: dict[str, Metric] = {}
        if parts is None:
            return found
        if "avatar" in objectives:
            real = self.references.held_out
            scores = avatar_scores(self.eyes.embed, parts, arm.pictures, real)
            found |= {name: self._mean(name, row, arm.texts) for name, row in scores.items()}
        if "scene" in objectives:
            seen = parts(arm.pictures)
            figures = {
                "background_variety": background_variety(arm.pictures, seen, arm.texts),
                "composition_count": composition_count(seen),
            }
            found |= {
                name: Metric(value=value, better=BETTER[name])
                for name, value in figures.items()
                if np.isfinite(value)
            }
        return found

    def _mean(self, name: str, values: NDArray[np.generic], groups: Sequence[object]) -> Metric:
        return self._statistic(name, np.asarray(values, np.float64), groups, None)

    def _statistic(
        self,
        name: str,
        values: Floats,
        groups: Sequence[object],
        statistic: Callable[[Floats], float] | None,
    ) -> Metric:
        value = float(values.mean()) if statistic is None else statistic(values)
        interval = bootstrap(
            values, [str(g) for g in groups], statistic=statistic, seed=self.seed,
            share=name.endswith("_fraction"),
        )  # fmt: skip
        return Metric(value=value, interval=interval, better=BETTER[name])


def _diagnoser(see: See, references: References) -> Diagnoser:
    return Diagnoser(
        see,
        train=references.train,
        held_out=references.held_out,
        held_out_for_memory=references.held_out_for_memory,
    )
