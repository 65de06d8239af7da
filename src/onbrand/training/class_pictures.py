"""Pictures of the plain class, for prior preservation: what the base draws, by content."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor

from onbrand import pixels
from onbrand.errors import PictureError
from onbrand.events import Advanced, Finished, Started
from onbrand.models.device import pictures_at_once
from onbrand.training.cache import Examples, encode

if TYPE_CHECKING:
    from onbrand.training.session import Session

__all__ = ["base_pictures", "class_examples"]

CLASS_SEED = 90_000


def class_examples(session: Session, prompts: Sequence[str]) -> Examples:
    """`recipe.prior.num_pictures` pictures that the untouched base makes for class prompts.

    Made once (call before LoRA is trained) and kept, as `base_pictures` are.
    """
    num = session.recipe.prior.num_pictures
    asked = [prompts[i % len(prompts)] for i in range(num)]

    def make() -> dict[str, Tensor]:
        pictures = base_pictures(session, asked, [CLASS_SEED + i for i in range(num)])
        return {"latents": encode(session.model, pictures)}

    facts = {**_facts(session), "prompts": asked}
    latents = session.store.tensors("class_latents", facts, make)["latents"]
    return Examples(
        tuple(f"class picture {i}" for i in range(num)),
        tuple(latents[i : i + 1] for i in range(num)),
        tuple((prompt,) for prompt in asked),
    )


def base_pictures(
    session: Session, prompts: Sequence[str], seeds: Sequence[int]
) -> list[Image.Image]:
    """What the untouched base draws of the prompts. Call it before LoRA is attached; they are kept
    as PNG files in the cache, a chunk at a time."""
    at_once = pictures_at_once(session.size_px)
    chunks: list[tuple[Sequence[str], Sequence[int], list[Path]]] = []
    for first in range(0, len(prompts), at_once):
        chunk, sown = prompts[first : first + at_once], seeds[first : first + at_once]
        facts = {**_facts(session), "prompts": list(chunk), "seeds": list(sown)}
        paths = [
            session.store.path("class_pictures", {**facts, "picture": i}, ".png")
            for i in range(len(chunk))
        ]
        chunks.append((chunk, sown, paths))
    kept = [_kept(paths) for _, _, paths in chunks]
    _make(session, [c for c, found in zip(chunks, kept, strict=True) if not found], len(prompts))
    return [
        picture
        for (_, _, paths), found in zip(chunks, kept, strict=True)
        for picture in found or _read(paths)
    ]


def _kept(paths: Sequence[Path]) -> list[Image.Image]:
    """A chunk's pictures; [] where one is missing or damaged, and all are to be drawn."""
    try:
        return _read(paths)
    except PictureError:
        return []


def _read(paths: Sequence[Path]) -> list[Image.Image]:
    return [pixels.read(path).convert("RGB") for path in paths]


def _facts(session: Session) -> dict[str, object]:
    """Who draws them and how, as the cache knows it."""
    validation = session.recipe.validation
    return {
        "base": session.base_fingerprint,
        "words": session.pack.words_fingerprint,
        "settings": [validation.num_steps, validation.guidance, session.size_px],
    }


def _make(
    session: Session,
    missing: Sequence[tuple[Sequence[str], Sequence[int], list[Path]]],
    num: int,
) -> None:
    """Sample the chunks (prompts, seeds, files) that the cache does not have whole."""
    if not missing:
        return
    task, done = "class pictures", num - sum(len(paths) for _, _, paths in missing)
    validation = session.recipe.validation
    session.emit(Started(task, num, "pictures"))
    for prompts, seeds, paths in missing:
        made = session.sample(
            session.model,
            prompts,
            seeds=seeds,
            num_steps=validation.num_steps,
            guidance=validation.guidance,
            size_px=session.size_px,
        )
        for path, picture in zip(paths, made, strict=True):
            pixels.write_png(picture, path)
        done += len(paths)
        session.emit(Advanced(task, done))
    session.emit(Finished(task, {"pictures": num}))
