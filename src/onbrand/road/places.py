"""Where things lie in a brand's folder; every function of the road opens one of these first."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from onbrand.artifacts import BrandModel, Dataset
from onbrand.brief import Brief
from onbrand.errors import DatasetError, InputError, StorageError
from onbrand.files import readable, storage_errors
from onbrand.models.packs import BUILT_IN
from onbrand.recipe import Recipe

__all__ = ["Places", "open_brand", "paths_of", "place_of"]


@dataclass(frozen=True)
class Places:
    """The parts of a brand's folder by name (see the README for the drawing)."""

    root: Path

    @property
    def pictures(self) -> Path:
        """The brand's own pictures and captions; people add to it."""
        return self.root / "pictures"

    @property
    def lookalikes(self) -> Path:
        """What the brand must not be mistaken for; may be absent."""
        return self.root / "lookalikes"

    @property
    def dataset(self) -> Path:
        """The frozen Dataset artifact."""
        return self.root / "dataset"

    @property
    def model(self) -> Path:
        """The BrandModel artifact."""
        return self.root / "model"

    @property
    def baseline(self) -> Path:
        """The BrandModel of the dreambooth_lora baseline."""
        return self.root / "baselines" / "dreambooth_lora"

    @property
    def cache(self) -> Path:
        """Latents and class pictures, shared by every arm of training."""
        return self.model / "cache"

    @property
    def generated(self) -> Path:
        """Numbered Pictures artifacts, one per call of generate."""
        return self.root / "generated"

    @property
    def judged(self) -> Path:
        """The report's pictures, one Pictures artifact per arm."""
        return self.root / "judged"

    @property
    def sweep(self) -> Path:
        """What sweeps trained and drew, and their page."""
        return self.root / "sweep"

    def command(self, verb: str) -> str:
        """`onbrand VERB` on this folder, as a shell takes it."""
        return f"onbrand {verb} {shlex.quote(str(self.root))}"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While the block trains or compares, no other process may; the block may nest.

        Raises `StorageError` at once when another process holds the folder.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.root / ".lock", timeout=0, is_singleton=True)
        with storage_errors(self.root):
            try:
                lock.acquire()
            except Timeout as error:  # an OSError, too
                raise StorageError(
                    f"another onbrand is at work in {self.root}: wait for its end, or stop it"
                ) from error
        try:
            yield
        finally:
            lock.release()

    def brief(self) -> Brief:
        """The brief as it stands in the folder now."""
        return Brief.load(self.root)

    def recipe(self) -> Recipe:
        """The recipe as it stands in the folder now."""
        return Recipe.load(self.root / "recipe.toml")

    @property
    def is_trained(self) -> bool:
        """Whether there is a brand model."""
        return (self.model / "manifest.json").is_file()

    def trained(self) -> BrandModel:
        """The brand model. Raises `InputError` when nothing has been trained yet."""
        if not self.is_trained:
            raise InputError(f"{self.root} has no trained model yet: run  {self.command('train')}")
        return BrandModel.load(self.model)

    def trained_on(self, model: BrandModel) -> Dataset:
        """The pictures that the model learned from and is to be measured on.

        Raises `DatasetError` when they have changed: it may have learned what would measure it.
        """
        dataset = Dataset.load(self.dataset)
        if dataset.fingerprint != model.parents.get("dataset"):
            raise DatasetError(
                f"pictures, captions or held_out of {self.root} have changed since it was trained, "
                f"so that it would be measured on what it may have learned: run  "
                f"{self.command('train')}  first"
            )
        return dataset

    def brief_of(self, model: BrandModel) -> Brief:
        """The folder's brief in the words that the model learned: its trigger and description."""
        told = {name: getattr(model.brief, name) for name in ("trigger", "subject", "description")}
        return self.brief().model_copy(update=told)


def open_brand(brand: str | Path) -> Places:
    """The places of a brand's folder. Raises `InputError` where there is no brief.toml, or none
    that may be looked at."""
    root = Path(brand)
    try:
        if (root / "brief.toml").is_file():
            return Places(root)
    except OSError as fault:
        told = fault.strerror or fault
        raise InputError(f"cannot look into {readable(str(root))!r}: {told}") from fault
    if root.is_file():
        raise InputError(f"{root} is a file: name the brand's folder, such as {root.parent}")
    if not root.is_dir():
        raise InputError(
            f"no folder {str(root)!r}: make one with  {Places(root).command('new')} --pictures DIR"
        )
    raise InputError(
        f"{root.resolve()} is not a brand's folder (no brief.toml in it): name one, or make one "
        "with  onbrand new NAME --pictures DIR"
    )


def paths_of(given: Path | str | Sequence[Path | str]) -> list[Path]:
    """A path, or several, as a list."""
    return [Path(given)] if isinstance(given, Path | str) else [Path(path) for path in given]


def place_of(base: str) -> str:
    """A base's name as a recipe keeps it: folders as absolute paths, other names as they are.

    A relative folder would mean another one as soon as a command runs elsewhere. A built-in pack
    is not a folder of its name.
    """
    if base in BUILT_IN:
        return base
    folder = Path(base).expanduser()
    looks_like_a_path = base.startswith((".", "/", "~")) or (folder / "model_index.json").is_file()
    return str(folder.resolve()) if looks_like_a_path else base
