"""Which pictures are held out: those that the brief names, else about every fifth."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import PurePosixPath

from onbrand import pixels
from onbrand.artifacts.dataset import Split
from onbrand.errors import DatasetError, nearest
from onbrand.events import Listener, Warned

__all__ = ["named", "split_of"]

EVERY = 5
LEAST_SHARE = 10  # fewer than one of so many held out is worth a word


def split_of(
    names: Sequence[str],
    near: Sequence[tuple[int, int]],
    patterns: Sequence[str],
    emit: Listener,
    *,
    aliases: Sequence[Sequence[str]] = (),
) -> list[Split]:
    """ "train" or "held_out" for each picture: by the brief's patterns, else about every fifth.

    `aliases[i]` are the names of dropped copies of picture i, by which patterns may mean it, too.
    Without patterns no picture is held out that is nearly the same as another, for it would measure
    memory. Raises `DatasetError` when the patterns leave nothing to train on, or none to measure.
    """
    called = [[name] for name in names]
    for one, more in zip(called, aliases, strict=False):
        one += more
    held = _by_patterns(called, patterns, emit) if patterns else _every_fifth(len(names), near)
    if len(held) == len(names):
        raise DatasetError(
            f"held_out = {list(patterns)} keeps all {len(names)} pictures from training: name fewer"
        )
    if patterns and not held:
        raise DatasetError(
            f"held_out = {list(patterns)} names none of the {len(names)} pictures ({names[0]}, …)"
        )
    if not patterns and len(held) * LEAST_SHARE < len(names):
        emit(
            Warned(
                f"only {len(held)} of {len(names)} pictures can be held out to measure on: nearly "
                "all others are so like another that they would measure memory. Add pictures that "
                "differ, or name some under held_out in brief.toml"
            )
        )
    for i, j in near:
        if (i in held) != (j in held):
            kept, trained = (i, j) if i in held else (j, i)
            emit(
                Warned(
                    f"{names[kept]} is held out, but {names[trained]}, which is trained on, is "
                    "nearly the same picture: hold out both"
                )
            )
    return ["held_out" if i in held else "train" for i in range(len(names))]


def named(called: Sequence[Sequence[str]], pattern: str) -> set[int]:
    """Indices of the pictures that the pattern means, `called[i]` being the names of picture i.

    A name matches as a whole, without its folder, or without its ending. A pattern with the ending
    of a picture format, which no name has, means a copy in another format.
    """
    found = _matching(called, pattern)
    asked = PurePosixPath(pattern)
    if not found and asked.suffix.lower() in pixels.ENDINGS and asked.stem.strip("*?"):
        return _matching(called, asked.stem)
    return found


def _matching(called: Sequence[Sequence[str]], pattern: str) -> set[int]:
    """Brackets stand in many file names, and for themselves; where no name has them, for one of the
    characters in them."""
    for one in (pattern.replace("[", "[[]"), pattern):
        found = {
            i
            for i, names in enumerate(called)
            for path in map(PurePosixPath, names)
            if any(fnmatch(text, one) for text in (str(path), path.name, path.stem))
        }
        if found:
            return found
    return set()


def _by_patterns(
    called: Sequence[Sequence[str]], patterns: Sequence[str], emit: Listener
) -> set[int]:
    held: set[int] = set()
    for pattern in patterns:
        matches = named(called, pattern)
        if not matches:
            guess = nearest(pattern, [PurePosixPath(name).name for one in called for name in one])
            hint = f"; did you mean {guess!r}?" if guess else ""
            emit(Warned(f"held_out: no picture is called {pattern!r}{hint}"))
        held |= matches
    return held


def _every_fifth(num: int, near: Sequence[tuple[int, int]]) -> set[int]:
    twins = {i for pair in near for i in pair}
    alone = [i for i in range(num) if i not in twins]
    held = alone[EVERY - 1 :: EVERY]
    if len(held) < 2 and len(alone) >= 4:
        held = [alone[1], alone[-1]]
    elif not held and num >= 2:
        held = alone[-1:] or [num - 1]
    return set(held)
