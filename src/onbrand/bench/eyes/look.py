"""A pack whose eyes are measured: its eyes, each loaded once, and the drawings they look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onbrand.bench.eyes.draws import Seen, draw
from onbrand.bench.eyes.folders import FOLDERS
from onbrand.bench.worlds import WORLDS
from onbrand.events import Listener, Noted
from onbrand.models.parts import PARTS

if TYPE_CHECKING:
    from onbrand.models.packs import Pack

__all__ = ["EYES", "Look", "loaders"]

EYES = (
    "identity", "alignment", "pose", "parsing", "clicks", "expression", "tagger", "attributes",
    "twin_identity", "twin_pose", "twin_alignment", "twin_expression",
)  # fmt: skip


@dataclass
class Look:
    """A pack whose eyes are measured: `num` drawings of each world."""

    pack: Pack
    num: int
    seed: int
    data: Path
    emit: Listener
    _loaded: dict[str, Any] = field(default_factory=dict)

    @property
    def size_px(self) -> int:
        """Side of the drawings."""
        return self.pack.num_px

    @cached_property
    def drawn(self) -> dict[str, list[Seen]]:
        """By world."""
        return {
            world: draw(world, self.num, seed=self.seed, size_px=self.size_px) for world in WORLDS
        }

    def eye(self, role: str) -> Any:
        """The role's eye, loaded once; None where the pack has none of its own."""
        if role not in self._loaded:
            self._loaded[role] = loaders()[role](self.pack) if self.has(role) else None
        return self._loaded[role]

    def has(self, role: str) -> bool:
        """Whether the pack itself has what the role needs; faces may come from a parser of its own
        that knows parts of them."""
        from onbrand.models.perception.parsing import parsed_parts

        own = self.pack.roles
        if role != "faces" or "faces" in own:
            return role in own
        return "parsing" in own and not set(PARTS["head"]).isdisjoint(parsed_parts(self.pack))

    def tell_missing(self) -> None:
        """A note for each role that the pack has not, and each folder of pictures."""
        for role in filter(lambda role: not self.has(role), (*EYES, "faces", "safety")):
            self.emit(Noted(f"pack {self.pack.name} has no {role}: it is not measured"))
        for folder in (self.data / name for name in FOLDERS):
            if not folder.is_dir():
                self.emit(Noted(f"{folder} is not there: it is not looked at"))


def loaders() -> dict[str, Callable[[Pack], Any]]:
    """What opens each role of a pack."""
    from onbrand.models import perception, twins

    return {
        "identity": perception.load_identity,
        "alignment": perception.load_alignment,
        "pose": perception.load_pose,
        "parsing": perception.load_parsing,
        "clicks": perception.load_clicks,
        "faces": perception.load_faces,
        "safety": perception.load_picture_check,
        "expression": perception.load_expression,
        "tagger": perception.load_tagger,
        "attributes": twins.AttributeReader,
        "twin_identity": twins.IdentityTwin,
        "twin_pose": twins.PoseTwin,
        "twin_expression": twins.ExpressionTwin,
        "twin_alignment": twins.AlignmentTwin,
    }
