"""What a pack can do before any brand: reconstruct, draw what a prompt names, how fast, how small.

Attributes named in prompts (species, colour, pose, expression, prop, place; a product's or a
garment's kind, colour and print) are read back from the generated pictures by the pack's
AttributeReader, which is first checked on real drawings of the same prompts: that column is the
most that could be read. Finished parts are kept under `work`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from onbrand.bench.read_back import WORLDS, ask, hits
from onbrand.bench.record import Result, mean_metric, metric, result
from onbrand.errors import PackError
from onbrand.events import Advanced, Finished, Listener, Noted, Started, silent
from onbrand.files import fingerprint_bytes, write_json_atomic
from onbrand.illustrator import (
    RESERVED_IDS,
    character,
    illustrate,
    random_scene,
)

if TYPE_CHECKING:
    from onbrand.models.diffusion import DiffusionModel
    from onbrand.models.packs import Pack

__all__ = ["psnr_db", "run_pack"]

MASCOT = Path("../shared/data/gopher")
STEP_COUNTS = (4, 8, 20, 50)
MAIN_STEPS = 20
GUIDANCE = 4.0
T2I_PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


def psnr_db(original: np.ndarray, restored: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal to noise ratio in dB of [h, w, 3] in [0, 1]: 10 · log10(1 / MSE).

    Over the pixels of `mask` [h, w] alone when it is given; at most 100 dB.
    """
    squared = (np.asarray(original, np.float64) - np.asarray(restored, np.float64)) ** 2
    error = float(squared.mean() if mask is None else squared[mask].mean())
    return 10 * float(np.log10(1 / max(error, 1e-10)))


def run_pack(
    *,
    base: str = "pocket",
    quick: bool = False,
    work: Path = Path("build/bench/pack"),
    seed: int = 7,
    mascot: Path = MASCOT,
    json_path: Path | None = None,
    emit: Listener = silent,
) -> Result:
    """Run (or go on with) the bench and return its JSON object, written to `json_path` too.

    `mascot`: a folder of RGBA pictures of a real mascot; its figure is left out, with a note, when
    the folder is not there. `quick` takes few pictures and steps. Raises PackError, StorageError.
    """
    from onbrand.models import open_pack
    from onbrand.models.diffusion import load_diffusion

    began, pack = time.monotonic(), open_pack(base)
    folder = work / fingerprint_bytes(f"{pack.fingerprint} {seed} {quick} {mascot}".encode())
    model = load_diffusion(pack)
    emit(Started("pack", None, "parts"))
    num = 8 if quick else 200
    steps = (2, 4) if quick else STEP_COUNTS
    main_steps = max(steps) if quick else MAIN_STEPS

    drawn = _kept(folder / "drawn.json", lambda: _drawn_psnr(model, num, seed))
    drawn_db = mean_metric(drawn["psnr"], groups=drawn["character"], bar=27.0, seed=seed)
    metrics = {"psnr_drawn_db": drawn_db}
    if mascot.is_dir():
        real = _kept(
            folder / "mascot.json", lambda: _mascot_psnr(model, mascot, 4 if quick else 99)
        )
        metrics["psnr_mascot_db"] = mean_metric(real["psnr"], bar=24.0, seed=seed)
    else:
        emit(Noted(f"{mascot} is not there: its reconstruction is not measured"))
    read, by_steps = _attributes(pack, model, folder, num, steps, main_steps, seed, emit)
    if read:
        metrics |= _with_bars(by_steps[main_steps])
    timed = _kept(folder / "seconds.json", lambda: _seconds(model, main_steps, 1 if quick else 5))
    metrics["seconds_per_picture"] = mean_metric(
        timed["seconds"], bar=4.0, better="lower", seed=seed
    )
    metrics |= _sizes(pack)
    found = result(
        "pack",
        seed=seed,
        seconds=time.monotonic() - began,
        metrics=metrics,
        baselines={"real": read} if read else {},
        quick=quick,
        pack={"name": pack.name, "fingerprint": pack.fingerprint, "revision": pack.revision},
        steps={str(count): figures for count, figures in by_steps.items()},
        guidance=GUIDANCE,
    )
    if json_path is not None:
        write_json_atomic(json_path, found)
    emit(Finished("pack", {name: m["value"] for name, m in metrics.items()}))
    return found


def _kept(file: Path, make: Callable[[], Result]) -> Result:
    """What an earlier run found, else what `make` finds, kept."""
    if not file.is_file():
        write_json_atomic(file, make())
    found: Result = json.loads(file.read_text(encoding="utf-8"))
    return found


def _restored(model: DiffusionModel, pictures: Sequence[Image.Image]) -> list[np.ndarray]:
    """Each picture through encoder and decoder: [h, w, 3] in [0, 1]."""
    import torch

    from onbrand.judging.eyes import to_pixels

    rows: list[np.ndarray] = []
    with torch.inference_mode():
        for start in range(0, len(pictures), 8):
            pixels = to_pixels(pictures[start : start + 8], model.num_px)
            back = model.decode(model.encode_pixels(pixels)).clamp(-1, 1)
            rows.extend((back.permute(0, 2, 3, 1).float().numpy() + 1) / 2)
    return rows


def _drawn_psnr(model: DiffusionModel, num: int, seed: int) -> Result:
    """Reserved characters in random scenes, reconstructed; grouped by character."""
    rng = np.random.default_rng([seed, 0xA1])
    ids = [int(i) for i in rng.choice(len(RESERVED_IDS), num)]
    pictures = [
        Image.fromarray(
            illustrate(character(i), random_scene(rng), size_px=model.num_px, seed=n).pixels
        )
        for n, i in enumerate(ids)
    ]
    originals = [np.asarray(picture) / 255.0 for picture in pictures]
    values = [
        psnr_db(one, other)
        for one, other in zip(originals, _restored(model, pictures), strict=True)
    ]
    return {"character": ids, "psnr": values}


def _mascot_psnr(model: DiffusionModel, folder: Path, most: int) -> Result:
    """A real mascot's pictures on white, reconstructed; measured inside their alpha."""
    from onbrand.pixels import fit, flatten

    files = sorted(folder.glob("*.png"))[:most]
    opened = [Image.open(file).convert("RGBA") for file in files]
    side = model.num_px
    flat = [fit(flatten(picture), side) for picture in opened]
    masks = [
        np.asarray(fit(Image.merge("RGB", [p.getchannel("A")] * 3), side, (0, 0, 0)))[..., 0] > 127
        for p in opened
    ]
    values = [
        psnr_db(np.asarray(one) / 255.0, other, mask)
        for one, other, mask in zip(flat, _restored(model, flat), masks, strict=True)
    ]
    return {"file": [file.name for file in files], "psnr": values}


def _attributes(
    pack: Pack,
    model: DiffusionModel,
    folder: Path,
    num: int,
    steps: Sequence[int],
    main_steps: int,
    seed: int,
    emit: Listener,
) -> tuple[dict[str, Result], dict[int, dict[str, Result]]]:
    """(read from real drawings, read from generated pictures per step count); empty without a
    reader. Worlds that the reader knows nothing of are left out; others than mascots are drawn at
    `main_steps` alone."""
    from onbrand.judging import open_eyes

    try:
        reader = open_eyes(pack).read_attributes
    except PackError:
        reader = None
    if reader is None:
        emit(Noted(f"pack {pack.name} has no attribute reader: read-back is not measured"))
        return {}, {}
    true: dict[str, Result] = {}
    by_steps: dict[int, dict[str, Result]] = {count: {} for count in steps}
    done = 0
    for world in WORLDS:
        asked = ask(world, num, seed=seed, size_px=model.num_px)
        real = hits(world, asked, reader([one.picture for one in asked]), seed)
        if not real:
            emit(Noted(f"pack {pack.name}'s reader does not know the world of {world}"))
            continue
        true |= real
        for count in steps if world == "mascots" else (main_steps,):
            name = "attributes" if world == "mascots" else f"attributes-{world}"
            file = folder / f"{name}-{count:02d}.json"
            if not file.is_file():
                pictures = _drawn(model, [one.prompt for one in asked], count, emit)
                write_json_atomic(file, {"seen": reader(pictures)})
            seen = json.loads(file.read_text(encoding="utf-8"))["seen"]
            found = hits(world, asked, seen, seed)
            by_steps[count] |= found
            mean = float(next(iter(found.values()))["value"])
            done += 1
            emit(Advanced("pack", done, {f"{world}, attributes at {count} steps": mean}))
    return true, by_steps


def _drawn(
    model: DiffusionModel, prompts: Sequence[str], num_steps: int, emit: Listener
) -> list[Image.Image]:
    from onbrand.generation import sample

    seeds = range(5000, 5000 + len(prompts))
    return sample(model, prompts, seeds=seeds, num_steps=num_steps, guidance=GUIDANCE, emit=emit)


def _with_bars(found: Mapping[str, Result]) -> dict[str, Result]:
    """The issue's bars: mean at least 0.92, each at least 0.85."""
    return {
        name: metric(m["value"], m["interval"], bar=0.92 if name == "attributes_fraction" else 0.85)
        for name, m in found.items()
    }


def _seconds(model: DiffusionModel, num_steps: int, num: int) -> Result:
    """Seconds for one picture alone, with guidance; the first, which warms up, is not counted."""
    took = []
    for n in range(num + 1):
        began = time.monotonic()
        _drawn(model, [f"a red fox waving happily on a beach by day, {n}"], num_steps, silent)
        took.append(time.monotonic() - began)
    return {"seconds": took[1:]}


def _sizes(pack: Pack) -> dict[str, Result]:
    """MiB of all files of the pack, and of its text-to-image part."""
    files = [file for file in pack.root.rglob("*") if file.is_file()]
    t2i = [f for f in files if f.relative_to(pack.root).parts[0] in T2I_PARTS]
    return {
        name: metric(sum(f.stat().st_size for f in some) / 2**20, bar=bar, better="lower")
        for name, some, bar in (("t2i_mib", t2i, 30.0), ("pack_mib", files, 48.0))
    }
