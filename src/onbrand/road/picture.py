"""generate: prompts become pictures of the brand. Also how the report draws its arms."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from shutil import rmtree
from time import monotonic
from typing import TYPE_CHECKING

from onbrand.artifacts import BrandModel, Picture, Pictures
from onbrand.brief import Brief
from onbrand.curation import Reject, let_in
from onbrand.errors import InputError, PromptError, counted
from onbrand.events import Advanced, Finished, Listener, Started, Warned, silent, warning_once
from onbrand.files import (
    fingerprint_file,
    is_utf8,
    make_folder,
    storage_errors,
    write_json_atomic,
)
from onbrand.models import open_pack
from onbrand.models.samplers import check_sampler
from onbrand.road.follow import Followed, followed_from
from onbrand.road.guide import Guide, guide_from
from onbrand.road.places import Places, open_brand, paths_of
from onbrand.road.request import Request
from onbrand.road.safety import refusal, rejecter
from onbrand.road.words import refuse_words, warn_of_unseen_words

if TYPE_CHECKING:
    from PIL.Image import Image

    from onbrand.models.diffusion import DiffusionModel
    from onbrand.models.packs import Pack

__all__ = [
    "checkpoint_of",
    "draw",
    "generate",
    "negative_of",
    "parents_of",
    "refuse_below_one",
    "with_lora",
    "write_sheet",
]

PICTURES_PER_CALL = 8
SHEET_NAME = "sheet.png"


def generate(
    prompts: str | Sequence[str],
    brand: str | Path = ".",
    *,
    num_per_prompt: int = 4,
    seed: int = 7,
    num_steps: int = 20,
    guidance: float = 4.0,
    negative_prompt: str = "",
    sampler: str = "",
    stage: str | None = None,
    edges: str | Path | None = None,
    drawing: str | Path | None = None,
    strength: float | None = None,
    identities: str | Path | Sequence[str | Path] = (),
    masks: str | Path | Sequence[str | Path] = (),
    identity_strength: float | None = None,
    emit: Listener = silent,
) -> Pictures:
    """Draws `num_per_prompt` pictures of each prompt into a new folder under generated/.

    They are as large as those that the model learned from (the recipe's `resolution_px`).
    Picture k of every prompt has seed `seed + k`. `stage` names a stage's checkpoint, "base" the
    untouched base; None takes the checkpoint to ship. What the brief lists under `never` goes into
    the negative prompt before `negative_prompt`. `sampler` is a name of models.samplers, "" the
    pack's own. A call that was stopped goes on where it stopped when it is made again. Warns of
    words that the base has never seen. A picture that the base's checker refuses, where its pack
    names one, is not written, and a `Warned` tells its seed.

    All of them follow the edges of the picture `edges`, or a `drawing` as it is (white edges or an
    OpenPose figure, on black), as strictly as `strength` says (None: 1), if one is given.

    They show the characters of `identities`, folders that `make_identity` wrote; that needs no
    training: a brand without a trained model, or `stage` "base", is drawn by its base. Several
    characters stand side by side in a wider picture, or in a square one where `masks` (white on
    black, one each) say, which takes a base that draws several figures; a single one stands
    anywhere, or where its mask says. `identity_strength` None is 1.

    Raises `PromptError` for empty prompts, refused words and where every picture is refused,
    `InputError` for an untrained brand without identities, an unknown stage, things that cannot be
    followed together, or a strength of nothing, `PictureError` for a mask or a drawing that is no
    picture, `PackError` for a base without the ControlNet or the adapter that is asked for.
    """
    from onbrand import pixels

    places = open_brand(brand)
    asked = [prompts] if isinstance(prompts, str) else list(prompts)
    _check(asked, negative_prompt, num_per_prompt, num_steps, seed, guidance)
    check_sampler(sampler)
    shown, inside = paths_of(identities), paths_of(masks)
    source = _source(places, stage, untrained=bool(shown or inside))
    pack = open_pack(source.base)
    followed = followed_from(pack, source.base, source.checkpoint, shown, inside, identity_strength)
    told = _told(pack, source, followed, asked, emit)
    guide = guide_from(pack, edges, drawing, strength, source.size_px)
    if guide and len(told) > 1:
        raise InputError("several characters follow a drawing only where masks say: one for each")
    followable = {"guide": guide, "identity": followed}
    names = {name: one.name for name, one in followable.items() if one}
    request = Request(
        prompts=_each(told[0], num_per_prompt),
        seeds=tuple(seed + k for _ in asked for k in range(num_per_prompt)),
        num_steps=num_steps,
        guidance=guidance,
        sampler=sampler,
        negative_prompt=negative_of(places.brief(), negative_prompt),
        parents={**source.parents, **names},
        size_px=source.size_px,
        beside=tuple(_each(row, num_per_prompt) for row in told[1:]),
    )
    root = _folder_for(places, request)
    artist = partial(_artist, pack, source.checkpoint, followed)
    reject = rejecter(pack)
    shots = draw(artist, request, root, task="drawing", guide=guide, reject=reject, emit=emit)
    if guide:
        pixels.write_png(guide.drawing, root / "drawing.png", None)
    write_sheet(shots, asked, num_per_prompt)
    return shots


def draw(
    artist: Callable[[], DiffusionModel],
    request: Request,
    root: Path,
    *,
    task: str,
    guide: Guide | None = None,
    reject: Reject = let_in,
    emit: Listener,
) -> Pictures:
    """Draws what `request` asks into `root`, keeping pictures that an earlier call already drew.

    `artist` gives the model and is called only when something is missing. Pictures are written as
    they are made, so a stop loses at most one batch. Those that `reject` gives a reason against are
    not written and not among the result; a `Warned` tells their seeds. Where none is left the
    folder is removed, and a `PromptError` says so.
    """
    from onbrand import generation, pixels

    _claim(root, request)
    files = [f"{index:03d}.png" for index in range(len(request.prompts))]
    missing = [index for index, file in enumerate(files) if not (root / file).is_file()]
    reasons: dict[int, str] = {}
    if missing:
        model, once, begun = artist(), warning_once(emit), monotonic()
        emit(Started(task, len(missing), "pictures"))
        for first in range(0, len(missing), PICTURES_PER_CALL):
            batch = missing[first : first + PICTURES_PER_CALL]
            images = generation.sample(
                model,
                [request.prompts[i] for i in batch],
                seeds=[request.seeds[i] for i in batch],
                num_steps=request.num_steps,
                guidance=request.guidance,
                negative_prompt=request.negative_prompt,
                sampler=request.sampler,
                size_px=request.size_px,
                beside=[[row[i] for i in batch] for row in request.beside],
                emit=lambda event: once(event) if isinstance(event, Warned) else None,
                **(guide.settings(len(batch)) if guide else {}),
            )
            for index, image in zip(batch, images, strict=True):
                if reason := reject(image):
                    reasons[index] = reason
                else:
                    pixels.write_png(image, root / files[index], request.label(index))
            done = first + len(batch)
            emit(Advanced(task, done, {"s/picture": (monotonic() - begun) / done}))
        made = len(missing) - len(reasons)
        emit(Finished(task, {"pictures": made, "seconds": monotonic() - begun}))
    if len(reasons) == len(files):
        rmtree(root)
        raise PromptError(f"{refusal(request, reasons)}. Say it in other words.")
    if reasons:
        emit(Warned(refusal(request, reasons)))
    shots = Pictures(
        root=root,
        items=tuple(
            Picture(
                file=file,
                prompt=request.prompts[index],
                seed=request.seeds[index],
                num_steps=request.num_steps,
                guidance=request.guidance,
            )
            for index, file in enumerate(files)
            if index not in reasons
        ),
        parents=dict(request.parents),
    )
    shots.save()
    return shots


def _told(
    pack: Pack, source: _Source, followed: Followed | None, asked: list[str], emit: Listener
) -> list[list[str]]:
    """The prompts, a row for each who stands beside others. Refuses words, and warns of those that
    mean nothing to the base or the same for all."""
    told = [[source.say(text) for text in asked]]
    if followed:
        told = followed.told(source.say, source.brief, asked)
        followed.warn_of_namesakes(emit)
    every = list(chain.from_iterable(told))
    refuse_words(pack, every)
    warn_of_unseen_words(pack, every, source.brief, emit)
    return told


def _each(texts: Sequence[str], num: int) -> tuple[str, ...]:
    return tuple(text for text in texts for _ in range(num))


def negative_of(brief: Brief, asked: str) -> str:
    """What pictures stay away from: what the brief lists under `never`, then what is asked."""
    return ", ".join(filter(None, [*brief.never, asked.strip()]))


def with_lora(diffusion: DiffusionModel, checkpoint: Path | None) -> DiffusionModel:
    """The model with exactly this checkpoint's LoRA and identity on it; None takes any off."""
    from onbrand.models.adapters import detach_lora, load_lora
    from onbrand.models.identity import detach_identity, load_way

    detach_identity(diffusion)
    if checkpoint is None:
        detach_lora(diffusion)
    else:
        load_lora(diffusion, checkpoint)
        load_way(diffusion, checkpoint)
    return diffusion


def checkpoint_of(model: BrandModel, stage: str | None) -> Path | None:
    """The folder of a stage's LoRA; the one to ship when None; None for "base"."""
    if stage == "base":
        return None
    return model.checkpoint(stage)


def parents_of(model: BrandModel, checkpoint: Path | None) -> dict[str, str]:
    """Lineage of a picture: the base and the LoRA file that drew it, by content."""
    from onbrand.models.lora_files import DIFFUSERS_FILE

    lora = None if checkpoint is None else checkpoint / DIFFUSERS_FILE
    return {
        "base": f"{model.base} {model.parents.get('base', '')}".strip(),
        "lora": "none" if lora is None else fingerprint_file(lora),
    }


@dataclass(frozen=True)
class _Source:
    """What draws, and how it is told what to draw: `say` makes a text its prompt."""

    base: str
    brief: Brief
    checkpoint: Path | None
    say: Callable[[str], str]
    parents: Mapping[str, str]
    size_px: int | None = None


def _source(places: Places, stage: str | None, *, untrained: bool) -> _Source:
    """The brand's model at this stage; its bare base, told the description, where nothing is
    trained and that is fine (`untrained`)."""
    if untrained and not places.is_trained and stage in (None, "base"):
        brief, base = places.brief(), places.recipe().base
        parents = {"base": base, "lora": "none"}
        return _Source(base, brief, None, brief.description_prompt, parents)
    model = places.trained()
    checkpoint = checkpoint_of(model, stage)
    brief = model.brief
    parents, size_px = parents_of(model, checkpoint), model.recipe.resolution_px
    return _Source(model.base, brief, checkpoint, brief.prompt, parents, size_px)


def _artist(pack: Pack, checkpoint: Path | None, followed: Followed | None) -> DiffusionModel:
    from onbrand.models.diffusion import load_diffusion

    model = with_lora(load_diffusion(pack), checkpoint)
    return followed.shown_by(model, pack) if followed else model


def _check(
    prompts: Sequence[str],
    negative_prompt: str,
    num_per_prompt: int,
    num_steps: int,
    seed: int,
    guidance: float,
) -> None:
    if not prompts or not all(prompt.strip() for prompt in prompts):
        raise PromptError("there is an empty prompt: say what is to be drawn")
    every = [*prompts, negative_prompt]
    if bad := next((prompt for prompt in every if not is_utf8(prompt)), None):
        raise PromptError(f"the prompt {bad!r} is no text in UTF-8")
    refuse_below_one(num_per_prompt=num_per_prompt, num_steps=num_steps)
    if not 0 <= seed <= 2**63 - num_per_prompt:
        raise InputError(
            f"the seed is {seed}; those of {counted(num_per_prompt, 'picture')} count up from it, "
            "and seeds are whole numbers from 0 to 2^63 − 1"
        )
    if not 0 <= guidance < math.inf:
        raise InputError(f"the guidance is {guidance}; it is 0 or more, such as 4 (up to 1: off)")


def refuse_below_one(**numbers: int) -> None:
    """Raises `InputError` for numbers of which there must be one at least."""
    if low := [f"{name}={number}" for name, number in numbers.items() if number < 1]:
        raise InputError(f"{' and '.join(low)}: there must be 1 at least")


def _folder_for(places: Places, request: Request) -> Path:
    """The next numbered folder, made here, so that no other process takes the number; or the last
    one that holds this very request unfinished (the sheet comes last)."""
    numbered = (p for p in places.generated.glob("*") if p.name.isdecimal() and p.is_dir())
    taken = sorted(numbered, key=lambda path: int(path.name))
    asked = request.fingerprint()
    for folder in reversed(taken):
        if _claimed(folder) == asked and not (folder / SHEET_NAME).is_file():
            return folder
    make_folder(places.generated)
    number = int(taken[-1].name) + 1 if taken else 1
    while not _made(places.generated / f"{number:03d}"):
        number += 1
    return places.generated / f"{number:03d}"


def _made(folder: Path) -> bool:
    """Whether it was made here; False when it was there."""
    with storage_errors(folder):
        try:
            folder.mkdir()
        except FileExistsError:
            return False
    return True


def _claimed(root: Path) -> str | None:
    try:
        return str(json.loads((root / "request.json").read_text())["fingerprint"])
    except (OSError, ValueError, KeyError):
        return None


def _claim(root: Path, request: Request) -> None:
    """Makes `root` the place of this request; pictures of any other request there are removed."""
    if _claimed(root) == request.fingerprint():
        return
    if root.is_dir():
        with storage_errors(root):
            rmtree(root)
    make_folder(root)
    write_json_atomic(
        root / "request.json", {"fingerprint": request.fingerprint(), **asdict(request)}
    )


def write_sheet(shots: Pictures, prompts: Sequence[str], num_per_prompt: int) -> None:
    """Puts all pictures on one page, sheet.png in their folder: a row per prompt that has any."""
    from onbrand import pixels
    from onbrand.sheet import contact_sheet

    rows: dict[int, list[Image]] = {}
    for index, item in enumerate(shots.items):
        row = int(Path(item.file).stem) // num_per_prompt
        rows.setdefault(row, []).append(shots.open(index))
    page = contact_sheet(list(rows.values()), [prompts[row] for row in rows])
    pixels.write_png(page, shots.root / SHEET_NAME, None)
