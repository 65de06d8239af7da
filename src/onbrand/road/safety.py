"""What may come in and go out: words by a pack's list, pictures by its checker ("safety")."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING

from onbrand.curation import Guard
from onbrand.models import DEFAULT_PACK, may_be_on_hub, open_pack
from onbrand.road.words import refuse_words

if TYPE_CHECKING:
    from PIL.Image import Image

    from onbrand.models.packs import Pack
    from onbrand.models.perception import PictureCheck
    from onbrand.road.request import Request

__all__ = ["guard_of", "pack_for_rules", "refusal", "rejecter"]


def guard_of(pack: Pack) -> Guard:
    """What curation lets in: no word of the pack's list, no picture that its checker refuses."""
    return Guard(partial(refuse_words, pack), rejecter(pack))


def pack_for_rules(base: str) -> Pack:
    """The pack whose rules count before training: the base's, where it is here. For a hub id, which
    is not fetched for that, the built-in one's. Raises PackError and WeightsError for no pack."""
    return open_pack(DEFAULT_PACK if may_be_on_hub(base) else base)


def rejecter(pack: Pack) -> Callable[[Image], str | None]:
    """Says why a picture may not be used, None where it may: by the checker that the pack itself
    names, which is loaded for the first picture. Without one nothing is refused."""

    @cache
    def checker() -> PictureCheck:
        from onbrand.models.device import chosen_device
        from onbrand.models.perception import load_picture_check

        return load_picture_check(pack, device=chosen_device())

    def reject(picture: Image) -> str | None:
        from onbrand.judging.looking import to_pixels

        if "safety" not in pack.roles:
            return None
        return checker().refused(to_pixels([picture], checker().size_px))[0]

    return reject


def refusal(request: Request, reasons: Mapping[int, str]) -> str:
    """What is said of pictures that were drawn and refused: reason, prompts and seeds."""
    told: dict[tuple[str, str], list[int]] = {}
    for index, reason in reasons.items():
        told.setdefault((request.label(index)["prompt"], reason), []).append(request.seeds[index])
    return "; ".join(
        f"'{prompt}' with seed {', '.join(map(str, seeds))} is not written: {reason}"
        for (prompt, reason), seeds in told.items()
    )
