"""Identity: who is in some pictures, as vectors of one encoder, and of the parts it is known by.

NAME/manifest.json          pictures, encoder, base
NAME/vectors.safetensors    who [d], each [n, d], part:ears [d], …; unit vectors
NAME/pictures/<key>.png     what it was made of, re-encoded
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from onbrand.artifacts.folder import DAMAGED, listed, read_manifest, write_manifest
from onbrand.errors import ArtifactError
from onbrand.files import write_bytes_atomic

__all__ = ["VECTORS", "Identity", "IdentityPicture"]

KIND = "identity"
VECTORS = "vectors.safetensors"

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class IdentityPicture:
    """One picture: its content's hash, the name it came by, and its cosine to the mean of the
    others, which tells the odd one out (NaN, kept as None, for a single picture)."""

    key: str
    source: str
    cosine: float | None


@dataclass(frozen=True)
class Identity:
    """The vectors of somebody. `who` [d] is the mean of `each` [n, d], normalised; `parts` maps a
    part's name to its own. `encoder` is the fingerprint of the weights that made them, `base` the
    pack that they belong to: vectors of other encoders mean nothing to each other. `description` is
    who it is in words, for prompts; "" where nobody said."""

    root: Path
    name: str
    base: str
    encoder: str
    pictures: Sequence[IdentityPicture]
    who: Floats
    each: Floats
    parts: Mapping[str, Floats]
    description: str = ""

    @classmethod
    def load(cls, root: str | Path) -> Identity:
        """The identity in a folder. Raises `ArtifactError` where there is none or a damaged one."""
        root = Path(root)
        fields = read_manifest(root, KIND)
        try:
            vectors = load_file(root / VECTORS)
            return cls(
                root=root,
                name=fields["name"],
                base=fields["base"],
                encoder=fields["encoder"],
                pictures=tuple(
                    IdentityPicture(**picture) for picture in listed(fields, "pictures")
                ),
                who=vectors["who"],
                each=vectors["each"],
                parts={k.partition(":")[2]: v for k, v in vectors.items() if k.startswith("part:")},
                description=str(fields.get("description", "")),
            )
        except (*DAMAGED, OSError, SafetensorError) as fault:
            raise ArtifactError(f"{root} is a damaged identity ({fault}): make it again") from fault

    def save(self) -> None:
        """Writes vectors and manifest; the pictures are there already. Raises `StorageError`."""
        parts = {f"part:{name}": vector for name, vector in self.parts.items()}
        vectors = {"who": self.who, "each": self.each, **parts}
        write_bytes_atomic(self.root / VECTORS, save(vectors))
        write_manifest(
            self.root,
            KIND,
            {
                "name": self.name,
                "description": self.description,
                "base": self.base,
                "encoder": self.encoder,
                "pictures": [asdict(picture) for picture in self.pictures],
                "parts": sorted(self.parts),
            },
        )
