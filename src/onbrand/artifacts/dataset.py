"""Dataset: a brand's pictures, frozen. What training and judging see, and nothing else.

    dataset/manifest.json          assets, skips, coverage
    dataset/pictures/<key>.png     one file per asset; the key is the hash of its pixels

A Dataset does not change when a file in the brand's pictures/ does: it is made anew by `curate`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand import pixels
from onbrand.artifacts.folder import DAMAGED, listed, read_manifest, write_manifest
from onbrand.errors import ArtifactError, PictureError
from onbrand.files import fingerprint_bytes

__all__ = ["Asset", "Dataset", "Skip", "Split"]

KIND = "dataset"
Split = Literal["train", "held_out"]


@dataclass(frozen=True, slots=True)
class Asset:
    """One picture: `key` is the hash of its content, `file` its place under the dataset's root,
    `source` the name it came by. `caption` is "" where there was none."""

    key: str
    file: str
    caption: str
    split: Split
    tags: Sequence[str]
    source: str
    width_px: int
    height_px: int
    has_alpha: bool


@dataclass(frozen=True, slots=True)
class Skip:
    """A file that was left out, and why, in plain words."""

    path: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """The frozen pictures. `coverage` holds what the captions show and miss: see
    `onbrand.curation.coverage`; its "holes" are sentences."""

    root: Path
    assets: Sequence[Asset]
    skipped: Sequence[Skip] = ()
    coverage: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, root: str | Path) -> Dataset:
        """The dataset in a folder. Raises `ArtifactError` where there is none, or a damaged one."""
        fields = read_manifest(Path(root), KIND)
        try:
            return cls(
                root=Path(root),
                assets=[Asset(**asset) for asset in listed(fields, "assets")],
                skipped=[Skip(**skip) for skip in listed(fields, "skipped")],
                coverage=dict(fields["coverage"]),
            )
        except DAMAGED as fault:
            raise ArtifactError(
                f"{root} is a damaged dataset ({fault}): run onbrand train again"
            ) from fault

    def save(self) -> None:
        """Writes the manifest; the pictures are there already. Raises `StorageError`."""
        write_manifest(
            self.root,
            KIND,
            {
                "fingerprint": self.fingerprint,
                "assets": [asdict(asset) for asset in self.assets],
                "skipped": [asdict(skip) for skip in self.skipped],
                "coverage": self.coverage,
            },
        )

    @property
    def train(self) -> list[Asset]:
        """What is learned from."""
        return [asset for asset in self.assets if asset.split == "train"]

    @property
    def held_out(self) -> list[Asset]:
        """What is measured on, and never trained on."""
        return [asset for asset in self.assets if asset.split == "held_out"]

    @property
    def fingerprint(self) -> str:
        """Changes when a picture, a caption or a split does (not with names or order)."""
        told = sorted([a.key, a.caption, a.split] for a in self.assets)
        return fingerprint_bytes(json.dumps(told, ensure_ascii=False).encode())

    def path(self, asset: Asset) -> Path:
        """Where the asset's picture lies."""
        return self.root / asset.file

    def open(self, asset: Asset) -> Image.Image:
        """The picture as RGB, laid on white where it is transparent. Raises `ArtifactError`."""
        return pixels.flatten(self._read(asset))

    def open_square(self, asset: Asset, size_px: int) -> Image.Image:
        """The picture as training shows it at that size, unmoved (`pixels.square`)."""
        return pixels.square(self._read(asset), size_px)

    def alpha(self, asset: Asset) -> NDArray[np.float32] | None:
        """How opaque the picture is, [height, width] in [0, 1]; None for an opaque picture."""
        if not asset.has_alpha:
            return None
        image = self._read(asset)
        if image.mode != "RGBA":
            return None
        return np.asarray(image.getchannel("A"), dtype=np.float32) / np.float32(255)

    def _read(self, asset: Asset) -> Image.Image:
        try:
            return pixels.read(self.path(asset))
        except PictureError as fault:
            raise ArtifactError(
                f"a picture of the dataset {self.root} is gone or damaged ({fault}): "
                "run onbrand train again"
            ) from fault
