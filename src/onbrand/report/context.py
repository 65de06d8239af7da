"""What the report page shows, typed; the road fills it, the page lays it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from onbrand.artifacts.judgement import Judgement

__all__ = ["Column", "Curve", "Evidence", "Neighbour", "ReportContext", "Shown"]


@dataclass(frozen=True)
class Shown:
    """One picture on the page. `alt` says what is on it, for people who cannot see it; `note` is
    printed under it."""

    picture: Image.Image
    alt: str
    note: str = ""


@dataclass(frozen=True)
class Column:
    """One arm of the grid: rows[prompt][seed], the same prompts and seeds as every other column.

    `arm` is the name in the judgement ("detail", "prompt_only"), `title` what people read.
    """

    arm: str
    title: str
    rows: Sequence[Sequence[Shown]]


@dataclass(frozen=True)
class Curve:
    """One stage's training loss: values[i] at steps[i]."""

    name: str
    steps: Sequence[int]
    values: Sequence[float]


@dataclass(frozen=True)
class Neighbour:
    """A generated picture beside its nearest training picture; `distance` is 0 for the
    same layout, 1 for nothing in common."""

    generated: Shown
    training: Shown
    distance: float
    memorised: bool


@dataclass(frozen=True)
class Evidence:
    """A fault of the stage that the verdict speaks of: its `title`, as the diagnosis begins, and
    the pictures that show it most, each beside what `beside` names (None: nothing)."""

    title: str
    pairs: Sequence[tuple[Shown, Shown | None]]
    beside: str = ""


@dataclass(frozen=True)
class ReportContext:
    """Everything on the page. Only the first six are needed; an empty rest leaves its section out.

    `sentence` is the verdict ("Ship detail: …"), `good` whether something ships. `prompts` name the
    grid's rows. `chance` gives what guessing would reach, per metric. `lineage` pairs what was used
    with its fingerprint; `facts` are short (name, value) pairs; `commands` reproduce the page.
    `borrowed` says whose encoders measured, where they are not of the base's own pack.
    """

    brand: str
    sentence: str
    good: bool
    judgement: Judgement
    prompts: Sequence[str]
    columns: Sequence[Column]
    references: Sequence[Shown] = ()
    lookalikes: Sequence[Shown] = ()
    curves: Sequence[Curve] = ()
    neighbours: Sequence[Neighbour] = ()
    coverage_holes: Sequence[str] = ()
    skipped: Sequence[tuple[str, str]] = ()
    recipe_toml: str = ""
    lineage: Sequence[tuple[str, str]] = ()
    commands: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    diagnosis: Sequence[str] = ()
    evidence: Sequence[Evidence] = ()
    chance: Mapping[str, float] = field(default_factory=dict)
    borrowed: str = ""
