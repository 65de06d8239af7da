"""Pictures: what a model drew for some prompts, with which seeds, steps and guidance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from PIL import Image

from onbrand import pixels
from onbrand.artifacts.folder import DAMAGED, listed, read_manifest, write_manifest
from onbrand.errors import ArtifactError, PictureError

__all__ = ["Picture", "Pictures"]

KIND = "pictures"


@dataclass(frozen=True, slots=True)
class Picture:
    """One generated picture: `file` is its name in the folder, `prompt` the full text it was
    drawn from. The file itself also names the negative prompt and the sampler."""

    file: str
    prompt: str
    seed: int
    num_steps: int
    guidance: float


@dataclass(frozen=True)
class Pictures:
    """A folder of generated pictures; `parents` names the base and the adapter that drew them."""

    root: Path
    items: Sequence[Picture]
    parents: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, root: str | Path) -> Pictures:
        """The pictures in a folder. Raises `ArtifactError` where there are none."""
        fields = read_manifest(Path(root), KIND)
        try:
            items = tuple(Picture(**item) for item in listed(fields, "items"))
            return cls(root=Path(root), items=items, parents=dict(fields["parents"]))
        except DAMAGED as fault:
            raise ArtifactError(f"{root} is a damaged set of pictures ({fault})") from fault

    def save(self) -> None:
        """Writes the manifest; the files are there already. Raises `StorageError`."""
        fields = {"items": [asdict(item) for item in self.items], "parents": dict(self.parents)}
        write_manifest(self.root, KIND, fields)

    def __len__(self) -> int:
        return len(self.items)

    def path(self, index: int) -> Path:
        """The file of picture `index`."""
        return self.root / self.items[index].file

    def open(self, index: int) -> Image.Image:
        """Picture `index` as RGB. Raises `ArtifactError` when its file is gone or damaged."""
        try:
            return pixels.flatten(pixels.read(self.path(index)))
        except PictureError as fault:
            raise ArtifactError(f"a picture of {self.root} is gone or damaged: {fault}") from fault
