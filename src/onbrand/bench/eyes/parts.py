"""The parts of `bench eyes`: each asks what a pack's eyes of a kind, and their twins, can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from onbrand.bench.emoji import held_out_emoji, nouns
from onbrand.bench.eyes.folders import FOLDERS
from onbrand.bench.eyes.look import EYES, Look
from onbrand.bench.record import Result, metric
from onbrand.events import Noted
from onbrand.judging.looking import to_pixels

__all__ = ["PARTS", "Both", "Figures"]

Figures = dict[str, Result]
Both = tuple[Figures, Figures]
"""Figures of the training side, and of the twins."""

FEW = 60  # drawings that are changed, of all of a role's worlds together

_DOES: Mapping[str, str] = {
    "identity": "embed", "twin_identity": "embed", "alignment": "embed_pixels",
    "twin_alignment": "embed_pixels", "pose": "joints", "twin_pose": "joints",
    "parsing": "shares", "clicks": "mask", "faces": "boxes", "expression": "read",
    "twin_expression": "read", "tagger": "tags", "attributes": "logits", "safety": "refused",
}  # fmt: skip
"""What each role does with pictures."""


def _parsing(look: Look) -> Both:
    from onbrand.bench.eyes.sight import faces_found, parts_parsed

    ours: Figures = {}
    if parser := look.eye("parsing"):
        ours |= parts_parsed(parser, look.drawn, look.size_px, look.seed)
    if finder := look.eye("faces"):
        everyone = [one for some in look.drawn.values() for one in some]
        ours |= faces_found(finder, everyone, look.size_px, look.seed)
    return ours, {}


def _clicks(look: Look) -> Both:
    from onbrand.bench.eyes.sight import thing, things_clicked

    ours: Figures = {}
    if eye := look.eye("clicks"):
        for world, drawn in look.drawn.items():
            pictures, masks = zip(*((one.picture, thing(one.parts)) for one in drawn), strict=True)
            ours[f"clicks_{world}_iou"] = things_clicked(eye, pictures, masks, look.seed)
        emoji = held_out_emoji(look.data / "fluent-emoji")[: look.num]
        if emoji:
            pictures, masks = zip(
                *((one.picture(look.size_px), one.mask(look.size_px)) for one in emoji), strict=True
            )
            ours["clicks_emoji_iou"] = things_clicked(eye, pictures, masks, look.seed)
    return ours, {}


def _pose(look: Look) -> Both:
    from onbrand.bench.eyes.sight import joints_found

    figures: list[Figures] = []
    for role in ("pose", "twin_pose"):
        eye = look.eye(role)
        figures.append(
            {
                f"joints_{world}_pck10": joints_found(
                    eye, look.drawn[world], look.size_px, look.seed
                )
                for world in ("fashion", "mascots")
                if eye
            }
        )
    return figures[0], figures[1]


def _words(look: Look) -> Both:
    from onbrand.bench.eyes.sight import expressions_read, tags_told
    from onbrand.models.perception.tags import is_captioner

    mascots = look.drawn["mascots"]
    figures: list[Figures] = [{}, {}]
    for role, column in zip(("expression", "twin_expression"), figures, strict=True):
        if reader := look.eye(role):
            column["expressions_fraction"] = expressions_read(
                reader, mascots, look.size_px, look.seed
            )
    ours, twins = figures
    tagger = look.eye("tagger")
    if tagger and not is_captioner(look.pack):  # its words are no attributes: no F1
        everyone = [one for some in look.drawn.values() for one in some]
        ours |= tags_told(tagger, everyone, look.size_px, look.seed)
    return ours, twins


def _alignment(look: Look) -> Both:
    from onbrand.bench.eyes.following import prompts_followed
    from onbrand.bench.eyes.sight import batches, captions_beaten, captions_told
    from onbrand.illustrator import RESERVED_IDS

    emoji = held_out_emoji(look.data / "fluent-emoji")[: look.num]
    figures: list[Figures] = []
    for role in ("alignment", "twin_alignment"):
        found: Figures = {}
        if eye := look.eye(role):
            for world, drawn in look.drawn.items():
                pixels, told = batches(drawn, look.size_px), [one.captions for one in drawn]
                found[f"captions_{world}_fraction"] = captions_told(
                    eye, pixels, told, look.seed, bar=0.85
                )
                found[f"captions_{world}_beaten_fraction"] = captions_beaten(
                    eye, pixels, told, look.seed
                )
            if emoji:
                shown = to_pixels([one.picture(look.size_px) for one in emoji], look.size_px)
                lines = nouns(emoji, look.data / "fluent-emoji", look.seed)
                found["captions_emoji_fraction"] = captions_told(
                    eye, shown.split(25), lines, look.seed
                )
            some = list(RESERVED_IDS)[: max(1, look.num // 8)]
            found |= prompts_followed(eye, some, look.size_px, look.seed)
        figures.append(found)
    return figures[0], figures[1]


def _identity(look: Look) -> Both:
    from onbrand.bench.eyes.identity import drawn_margins, part_margins

    figures: list[Figures] = []
    for role in ("identity", "twin_identity"):
        eye = look.eye(role)
        found = drawn_margins(eye.embed, look.num // 3, look.size_px, look.seed) if eye else {}
        figures.append(found)
    if (eye := look.eye("identity")) and (parser := look.eye("parsing")):
        parts = part_margins(eye, parser, look.num // 3, look.size_px, look.seed)
        if parts:
            figures[0]["pa_parts_fraction"] = parts
        else:
            look.emit(Noted(f"the parser of pack {look.pack.name} knows no part of a mascot"))
    return figures[0], figures[1]


def _real(look: Look) -> Both:
    """Of the training side, and of the twins, on what lies in `look.data`."""
    from onbrand.bench.eyes import real

    gopher, photographs, emoji = (look.data / name for name in FOLDERS)
    figures: list[Figures] = []
    for prefix in ("", "twin_"):
        found: Figures = {}
        settings = {"size_px": look.size_px, "seed": look.seed}
        if eye := look.eye(f"{prefix}identity"):
            if gopher.is_dir():
                found["pa_gopher_fraction"] = real.gopher_margins(eye.embed, gopher, **settings)
            if photographs.is_dir():
                found["photographs_fraction"] = real.photographs_matched(
                    eye.embed, photographs, **settings
                )
        if (eye := look.eye(f"{prefix}expression")) and gopher.is_dir():
            found |= real.gopher_expressions(eye, gopher, **settings)
            if prefix:  # both find faces with one parser
                found.pop("gopher_faces_fraction")
        if eye := look.eye(f"{prefix}alignment"):
            if gopher.is_dir():
                found["captions_gopher_fraction"] = real.gopher_captions(eye, gopher, **settings)
            if some := held_out_emoji(emoji)[: look.num]:
                found["emoji_styles_fraction"] = real.emoji_styles(eye, some, **settings)
        figures.append(found)
    return figures[0], figures[1]


def _safety(look: Look) -> Both:
    from onbrand.bench.eyes.safety import bare, refusals, shown_from

    check = look.eye("safety")
    if check is None:
        return {}, {}
    planted = [picture for one in look.drawn["fashion"] if (picture := bare(one))]
    dressed = [one.picture for some in look.drawn.values() for one in some]
    ours = {
        "bare_refused_fraction": (planted, True),
        "drawings_refused_fraction": (dressed, False),
        "real_refused_fraction": (
            shown_from([look.data / "gopher", look.data / "dreambooth"]), False,
        ),
    }  # fmt: skip
    return {
        name: refusals(check, some, look.size_px, look.seed, wanted=wanted)
        for name, (some, wanted) in ours.items()
        if some
    }, {}


def _same(look: Look) -> Both:
    """Whether each eye says the same of a picture that was changed a little."""
    from onbrand.bench.eyes.asked import WORLDS_OF, question
    from onbrand.bench.eyes.sturdy import Question, steadiness

    asked: tuple[dict[str, Question], dict[str, Question]] = ({}, {})
    for role in filter(look.has, _DOES):
        if worlds := WORLDS_OF.get(name := role.removeprefix("twin_")):
            num = min(FEW, look.num) // len(worlds)
            drawn = [one for world in worlds for one in look.drawn[world][:num]]
            asked[_is_twin(role)][name] = question(name, look.eye(role), drawn, look.size_px)
    ours, twins = (steadiness(some, look.size_px, look.seed) if some else {} for some in asked)
    return ours, twins


def _speed(look: Look) -> Both:
    """Pictures a second of each eye, of the slowest, and what all weigh."""
    from onbrand.bench.eyes.sturdy import pictures_per_second

    figures: tuple[Figures, Figures] = ({}, {})
    speeds = pictures_per_second(_looks(look), look.size_px, 16 if look.num < 100 else 64)
    for role, speed in speeds.items():
        name = f"pictures_per_second_{role.removeprefix('twin_')}"
        figures[_is_twin(role)][name] = metric(speed, bar=100.0)
    ours, twins = figures
    if speeds:
        ours["pictures_per_second"] = metric(min(speeds.values()), bar=100.0)
    weights = [
        file
        for role in EYES
        if role in look.pack.roles
        for file in look.pack.roles[role].glob("*.safetensors")
    ]
    if weights:
        mib = sum(file.stat().st_size for file in set(weights)) / 2**20
        ours["eyes_mib"] = metric(mib, bar=8.5, better="lower")
    return ours, twins


def _looks(look: Look) -> dict[str, Callable[..., Any]]:
    """What each eye does with a batch of pictures; a click is in the middle."""
    import torch

    looks = {r: getattr(look.eye(r), does) for r, does in _DOES.items() if look.has(r)}
    if mask := looks.get("clicks"):

        def clicked(pixels: torch.Tensor) -> Any:
            middle = torch.full((len(pixels), 1, 2), pixels.shape[-1] / 2)
            return mask(pixels, middle, torch.ones(len(pixels), 1, dtype=torch.long))

        looks["clicks"] = clicked
    return looks


def _is_twin(role: str) -> bool:
    return role.startswith("twin_") or role == "attributes"


PARTS: Mapping[str, Callable[[Look], Both]] = {
    "parsing": _parsing, "clicks": _clicks, "pose": _pose, "words": _words, "alignment": _alignment,
    "identity": _identity, "real": _real, "safety": _safety, "same": _same, "speed": _speed,
}  # fmt: skip
