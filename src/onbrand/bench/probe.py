"""A pack under test: what each part of `bench pack` needs of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.artifacts.origin import source_fingerprint
from onbrand.bench.record import Result
from onbrand.events import Listener
from onbrand.files import fingerprint_bytes, write_bytes_atomic, write_json_atomic
from onbrand.models.layout import fingerprint_folders

if TYPE_CHECKING:
    from onbrand.models.diffusion import DiffusionModel
    from onbrand.models.packs import Pack

__all__ = ["GUIDANCE", "READERS", "Probe", "kept", "kept_array", "parts_folder"]

T = TypeVar("T", bound=np.generic)

GUIDANCE = 4.0
READERS = ("attributes", "twin_expression", "parsing")  # faces are parsed
FEW_STEPS = 8  # attributes are read as well after them as after 20 (docs/benchmarks)


@dataclass(frozen=True)
class Probe:
    """`num` pictures of each kind at `num_steps`, or `few_steps` where many pictures are wanted,
    seeded; finished parts lie in `folder`."""

    pack: Pack
    model: DiffusionModel
    folder: Path
    num: int
    num_steps: int
    seed: int
    emit: Listener

    @property
    def few_steps(self) -> int:
        """Enough for what takes many pictures: steering and likeness."""
        return min(FEW_STEPS, self.num_steps)

    def kept(self, name: str, make: Callable[[], Result], roles: Sequence[str] = ()) -> Result:
        """What an earlier run found with the same base and the same models of `roles`, else what
        `make` finds, kept."""
        return kept(self.folder, self.named(name, roles), make)

    def named(self, name: str, roles: Sequence[str]) -> str:
        """The name of what is kept of a part that looks through these roles."""
        folders = sorted(self.pack.roles[role] for role in roles if role in self.pack.roles)
        return f"{name}-{fingerprint_folders(folders)}" if folders else name

    def draw(
        self, prompts: Sequence[str], num_steps: int | None = None, first: int = 5000, **more: Any
    ) -> list[Image.Image]:
        """A picture of each prompt, seeds from `first` on; `more` goes to `generation.sample`.

        Those of words alone are kept for all parts and other judges to look at.
        """
        from onbrand.generation import sample

        seeds = range(first, first + len(prompts))
        settings = {"guidance": GUIDANCE, "num_steps": num_steps or self.num_steps, **more}
        if "controlnet" in more:
            return sample(self.model, prompts, seeds=seeds, emit=self.emit, **settings)
        told = [self.pack.fingerprint, source_fingerprint(), list(prompts), first, settings]
        asked = json.dumps(told)
        file = self.folder.parent / "pictures" / f"{fingerprint_bytes(asked.encode())}.npy"

        def made() -> NDArray[np.uint8]:
            drawn = sample(self.model, prompts, seeds=seeds, emit=self.emit, **settings)
            return np.stack([np.asarray(picture) for picture in drawn])

        return [Image.fromarray(pixels) for pixels in kept_array(file, made)]


def parts_folder(work: Path, *facts: object) -> Path:
    """Where finished parts are kept that these facts and this very code make."""
    told = " ".join(map(str, (source_fingerprint(), *facts)))
    return work / fingerprint_bytes(told.encode())


def kept(folder: Path, name: str, make: Callable[[], Result]) -> Result:
    """What an earlier run wrote to that folder, else what `make` finds, written there."""
    file = folder / f"{name}.json"
    if not file.is_file():
        write_json_atomic(file, make())
    found: Result = json.loads(file.read_text(encoding="utf-8"))
    return found


def kept_array(file: Path, make: Callable[[], NDArray[T]]) -> NDArray[T]:
    """The array that an earlier run wrote to that .npy file, else what `make` finds, written there
    whole or not at all."""
    if not file.is_file():
        whole = io.BytesIO()
        np.save(whole, make())
        write_bytes_atomic(file, whole.getvalue())
    found: NDArray[T] = np.load(file)
    return found
