"""BrandModel: what training made of a brand: the adapters of its stages over a base.

model/manifest.json                      this file's fields
model/stages/01-appearance/…             a stage's LoRA in diffusers' and kohya's form
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from onbrand.artifacts.folder import (
    DAMAGED,
    MANIFEST,
    listed,
    not_finite_as_none,
    read_manifest,
    write_manifest,
)
from onbrand.brief import Brief
from onbrand.errors import ArtifactError, InputError, instead
from onbrand.files import fingerprint_file
from onbrand.recipe import Recipe

__all__ = ["BrandModel", "StageResult"]

KIND = "brand_model"


@dataclass(frozen=True, slots=True)
class StageResult:
    """One finished stage: `folder` is its place under the model's root, `metrics` the
    training-side figures of its validation pictures, `gate` the gate's sentence or None. `files`
    are the fingerprints of the folder's weights by name, `code` what trained it: commit, source.

    `best_step` is the step that an early stop kept (None: the last). `diagnosis` says what is wrong
    with it. `tries` are earlier ones whose gate failed: {"changes", "metrics", "gate", "folder"};
    `changes` are the fallback's settings that this one was trained with."""

    name: str
    kind: str
    num_steps: int
    num_pictures_seen: int
    folder: str
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    gate: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    best_step: int | None = None
    diagnosis: tuple[str, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    tries: tuple[Mapping[str, Any], ...] = ()

    def changed_files(self, root: Path) -> list[Path]:
        """The files of the stage that are not what training wrote: other bytes, or gone."""
        paths = {root / self.folder / name: told for name, told in self.files.items()}
        return [p for p, told in paths.items() if not p.is_file() or fingerprint_file(p) != told]


@dataclass
class BrandModel:
    """The stages of one arm ("onbrand", or "dreambooth_lora") and what they were made from.

    `ship` holds "stage", the name of the one to use, and "reason", a sentence. `parents` names
    what it came from by fingerprint: dataset, base, recipe.
    """

    root: Path
    arm: str
    base: str
    brief: Brief
    recipe: Recipe
    stages: list[StageResult] = field(default_factory=list)
    ship: dict[str, str] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, root: str | Path) -> BrandModel:
        """The model in a folder. Raises `ArtifactError` where there is none, or a damaged one, or
        one whose weights are not what the manifest says."""
        fields = read_manifest(Path(root), KIND)
        try:
            model = cls(
                root=Path(root),
                arm=fields["arm"],
                base=fields["base"],
                brief=Brief.model_validate(fields["brief"]),
                recipe=Recipe.model_validate(fields["recipe"]),
                stages=[_stage(stage) for stage in listed(fields, "stages")],
                ship=dict(fields["ship"]),
                parents=dict(fields["parents"]),
            )
        except (*DAMAGED, InputError) as fault:
            said = " ".join(str(fault).split())
            raise ArtifactError(f"{root} is a damaged brand model: {said}; train again") from fault
        changed = [path for stage in model.stages for path in stage.changed_files(model.root)]
        if changed:
            raise ArtifactError(
                f"{', '.join(map(str, changed))}: not what training wrote (its hash stands in "
                f"{model.root / MANIFEST}); bring the old file back, or train again to make it anew"
            )
        return model

    def save(self) -> None:
        """Writes the manifest. Raises `StorageError`."""
        fields = {
            "arm": self.arm,
            "base": self.base,
            "brief": self.brief.model_dump(),
            "recipe": self.recipe.model_dump(),
            "stages": [asdict(stage) for stage in self.stages],
            "ship": self.ship,
            "parents": self.parents,
        }
        write_manifest(self.root, KIND, not_finite_as_none(fields))

    def checkpoint(self, stage_name: str | None = None) -> Path:
        """The folder of a stage's LoRA; with None that of the stage to ship, or else the last.

        Raises `InputError` for a name that is no stage, `ArtifactError` when none is trained.
        """
        if not self.stages:
            raise ArtifactError(f"{self.root} has no trained stage: train it first")
        names = [stage.name for stage in self.stages]
        wanted = stage_name or self.ship.get("stage") or names[-1]
        if wanted not in names:
            raise InputError(f"no stage {wanted!r} in {self.root}: {instead(wanted, names)}")
        return self.root / self.stages[names.index(wanted)].folder


def _stage(fields: dict[str, Any]) -> StageResult:
    metrics = {k: math.nan if v is None else float(v) for k, v in fields["metrics"].items()}
    listed = {name: tuple(fields.get(name, ())) for name in ("diagnosis", "tries")}
    return StageResult(**{**fields, **listed, "metrics": metrics})
