"""A request for pictures: all that their pixels depend on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from onbrand.files import fingerprint_bytes

__all__ = ["Request"]


@dataclass(frozen=True)
class Request:
    """What is to be drawn: prompt i with seed i, and everything else the pixels depend on; with
    `size_px` None as large as the base's own pictures. Where several stand side by side,
    `beside[k][i]` is what number k + 2 of them is told in picture i."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    num_steps: int
    guidance: float
    negative_prompt: str = ""
    sampler: str = ""
    parents: Mapping[str, str] = field(default_factory=dict)
    size_px: int | None = None
    beside: tuple[tuple[str, ...], ...] = ()

    def fingerprint(self) -> str:
        """Changes when any picture would."""
        told = asdict(self)
        if self.size_px is None:  # the base's own, as before there was another
            told.pop("size_px")
        if not self.beside:  # likewise
            told.pop("beside")
        return fingerprint_bytes(json.dumps(told, sort_keys=True).encode())

    def label(self, index: int) -> dict[str, str]:
        """What is written into picture `index`."""
        prompts = [self.prompts[index], *(row[index] for row in self.beside)]
        return {
            "Software": "onbrand",
            "prompt": " | ".join(prompts),
            "negative_prompt": self.negative_prompt,
            "seed": str(self.seeds[index]),
            "num_steps": str(self.num_steps),
            "guidance": str(self.guidance),
            **({"sampler": self.sampler} if self.sampler else {}),
            **{f"parent_{name}": value for name, value in self.parents.items()},
        }
