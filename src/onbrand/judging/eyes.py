"""The evaluation twins, which grade. What selects looks through `training_side`; they never mix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onbrand.judging.looking import Align, Embed, ReadAttributes, aligning, batched, to_pixels
from onbrand.judging.sight import SHAPE_FAULTS, See, sight_through
from onbrand.models.parts import BEHIND

if TYPE_CHECKING:
    from torch import Tensor

    from onbrand.judging.objective import ReadParts
    from onbrand.models.packs import Pack
    from onbrand.models.perception import Parsing
    from onbrand.models.twins import AttributeReader, ExpressionTwin

__all__ = [
    "Eyes",
    "borrowed_judges",
    "open_eyes",
    "open_features",
    "open_joints",
    "open_twin_sight",
]


@dataclass(frozen=True)
class Eyes:
    """What `Judge` looks through. `read_attributes` is None when the pack has no such role, `see`,
    which diagnoses ask, and `read_parts`, which the brief's objective does, when nobody wants to
    know."""

    embed: Embed
    align: Align
    read_attributes: ReadAttributes | None = None
    see: See | None = None
    read_parts: ReadParts | None = None


def borrowed_judges(pack: Pack) -> list[str]:
    """Roles of what `open_eyes` looks through that the pack's fallback fills, as ["identity", …].
    Faces tell expressions only where the pack has no reader of its own (`_face_reader`)."""
    roles = ["twin_identity", "twin_alignment", "twin_pose", "attributes", "parsing"]
    roles += [] if "attributes" in pack.roles else ["twin_expression"]
    return [role.removeprefix("twin_") for role in pack.borrowed(roles)]


def open_eyes(pack: Pack, *, batch_size: int = 16) -> Eyes:
    """The evaluation side: IdentityTwin, AlignmentTwin and, where there is one, AttributeReader.
    Diagnoses are left out where the parser knows no background.

    Raises PackError (from `onbrand.models`) when a needed role can be found nowhere.
    """
    from onbrand.models.perception import load_parsing
    from onbrand.models.twins import AlignmentTwin, IdentityTwin, PoseTwin

    identity, parser = IdentityTwin(pack), load_parsing(pack)
    reader, face_reader = _reader(pack), _face_reader(pack)

    def read(pictures: Sequence[Image.Image]) -> list[dict[str, str]]:
        import torch

        seen: list[dict[str, str]] = []
        with torch.inference_mode():
            for start in range(0, len(pictures), batch_size):
                pixels = to_pixels(pictures[start : start + batch_size], pack.num_px)
                columns = [reader.read(pixels)] if reader else []
                if face_reader:
                    columns.append([_told(shares) for shares in face_reader.read(pixels)])
                seen.extend(
                    {name: value for table in row for name, value in table.items()}
                    for row in zip(*columns, strict=True)
                )
        return seen

    see = None
    if BEHIND in parser.labels:
        faults, joints = _shape_faults(pack, reader), PoseTwin(pack).joints
        see = sight_through(parser, joints, identity.embed, faults, pack.num_px, batch_size)
    return Eyes(
        embed=batched(identity.embed, pack.num_px, batch_size),
        align=aligning(AlignmentTwin(pack), pack.num_px, batch_size),
        read_attributes=read if reader else None,
        see=see,
        read_parts=_read_parts(parser, pack.num_px, batch_size),
    )


def open_twin_sight(pack: Pack, *, batch_size: int = 16) -> See:
    """The evaluation twins' eyes for `Diagnoser`: a twin that reads faults, where the pack has one,
    tells the probability of a fault of shape in place of the parser's doubt.

    Raises PackError when the pack and its fallback lack a parser, a pose or an identity twin.
    """
    from onbrand.models.perception import load_parsing
    from onbrand.models.twins import AttributeReader, IdentityTwin, PoseTwin

    reader = AttributeReader(pack) if "attributes" in pack.roles else None
    joints, embed = PoseTwin(pack).joints, IdentityTwin(pack).embed
    faults = _shape_faults(pack, reader)
    return sight_through(load_parsing(pack), joints, embed, faults, pack.num_px, batch_size)


def _shape_faults(
    pack: Pack, reader: AttributeReader | None
) -> Callable[[Tensor], NDArray[np.float64]] | None:
    """The probability of any fault of shape [n] by pixels; None where the pack's own reader, whose
    faults are to tell, knows none."""
    if reader is None or "attributes" not in pack.roles or "fault" not in reader.attributes:
        return None

    def faults(pixels_bchw: Tensor) -> NDArray[np.float64]:
        tables = reader.probabilities(pixels_bchw)
        return np.array([sum(t["fault"].get(tag, 0.0) for tag in SHAPE_FAULTS) for t in tables])

    return faults


def _read_parts(parser: Parsing, size_px: int, batch_size: int) -> ReadParts:
    """The most probable label of each pixel, by the parser."""
    from onbrand.judging.objective import PartMaps

    def read(pictures: Sequence[Image.Image]) -> PartMaps:
        import torch

        maps = []
        with torch.inference_mode():
            for start in range(0, len(pictures), batch_size):
                pixels = to_pixels(pictures[start : start + batch_size], size_px)
                maps.append(parser.shares(pixels).argmax(1).cpu().numpy())
        return PartMaps(parser.labels, np.concatenate(maps))

    return read


def _reader(pack: Pack) -> AttributeReader | None:
    """The pack's attribute reader, else its fallback's; None where neither has one."""
    from onbrand.errors import PackError
    from onbrand.models.twins import AttributeReader

    try:
        return AttributeReader(pack)
    except PackError:
        if "attributes" in pack.roles:  # it is there, and broken
            raise
        return None


def _face_reader(pack: Pack) -> ExpressionTwin | None:
    """Reads expressions from faces, which is surer than from whole pictures; None where a pack with
    readers of its own has none."""
    from onbrand.errors import PackError
    from onbrand.models.twins import ExpressionTwin

    if "attributes" in pack.roles and "twin_expression" not in pack.roles:
        return None
    try:
        return ExpressionTwin(pack)
    except PackError:
        return None


def _told(shares: Mapping[str, float]) -> dict[str, str]:
    return {"expression": max(shares, key=shares.__getitem__)} if shares else {}


def open_features(pack: Pack, *, batch_size: int = 16) -> Embed:
    """The logits [n, labels], not normalised, of the attribute reader: what a Fréchet distance
    compares. Raises PackError when the pack has none."""
    from onbrand.models.twins import AttributeReader

    return batched(AttributeReader(pack).logits, pack.num_px, batch_size)


def open_joints(pack: Pack, *, batch_size: int = 16) -> Embed:
    """COCO-17's joints of pictures of the pack's size: [n, 17, 3], x_px, y_px and how sure.

    Raises PackError when the pack has no pose estimator.
    """
    from onbrand.models.twins import PoseTwin

    return batched(PoseTwin(pack).joints, pack.num_px, batch_size)
