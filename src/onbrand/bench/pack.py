"""What a pack can do before any brand: reconstruct, draw what a prompt names, be steered; how near
it is to the worlds it learned, how fast, how small.

Attributes named in prompts (species, colour, pose, expression, prop, place; a product's or a
garment's kind, colour and print) are read back from the generated pictures by the pack's
AttributeReader, which is first checked on real drawings of the same prompts: that column is the
most that could be read. Finished parts are kept under `work`, by code and weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from onbrand.bench.emoji import EMOJI, held_out_emoji, nouns
from onbrand.bench.eyes.look import loaders
from onbrand.bench.likeness import frechet_ratio
from onbrand.bench.probe import GUIDANCE, READERS, Probe, parts_folder
from onbrand.bench.read_back import ask, hits
from onbrand.bench.reconstruct import drawn_psnr, mascot_psnr
from onbrand.bench.record import Result, mean_metric, metric, result
from onbrand.bench.steer import Figures, follow_edges, follow_joints, heed_negatives
from onbrand.bench.worlds import WORLDS
from onbrand.errors import InputError, PackError
from onbrand.events import Advanced, Finished, Listener, Noted, Started, silent
from onbrand.files import write_json_atomic
from onbrand.judging.eyes import open_features, open_joints
from onbrand.judging.looking import ReadAttributes, to_pixels

if TYPE_CHECKING:
    from onbrand.models.packs import Pack

__all__ = ["run_pack"]

MASCOT = Path("../shared/data/gopher")
STEP_COUNTS = (4, 8, 20)  # 50 read as 20 did in three revisions (docs/log.md)
MAIN_STEPS = 20
NUM_LIKENESS = 5000


def run_pack(
    *,
    base: str = "pocket",
    quick: bool = False,
    work: Path = Path("build/bench/pack"),
    seed: int = 7,
    mascot: Path = MASCOT,
    emoji: Path = EMOJI,
    num_likeness: int | None = None,
    json_path: Path | None = None,
    emit: Listener = silent,
) -> Result:
    """Run (or go on with) the bench and return its JSON object, written to `json_path` too.

    `mascot`: a folder of RGBA pictures of a real mascot; its figure is left out, with a note, when
    the folder is not there; so with `emoji` and the emoji's nouns. `num_likeness`: pictures for the
    Fréchet distance, 0 for none; 5,000 by itself. `quick` takes few pictures and steps. Raises
    InputError for a single picture, PackError, StorageError.
    """
    if num_likeness == 1:
        raise InputError("1 picture has no Fréchet distance: take 2 or more, or 0 to leave it out")
    began = time.monotonic()
    probe = _probe(base, quick, work, seed, mascot, emit)
    pack = probe.pack
    emit(Started("pack", None, "parts"))
    metrics = _reconstruction(probe, mascot, quick)
    reader = _reader(probe)
    read, by_steps = _attributes(probe, reader, (2, 4) if quick else STEP_COUNTS)
    if read:
        metrics |= _with_bars(by_steps[probe.num_steps])
    steered, unsteered, true = _steering(probe, reader)
    named, real_emoji = _emoji(probe, emoji)
    metrics |= {**steered, **named}
    true |= real_emoji
    likeness = num_likeness
    if likeness is None:
        likeness = 12 if quick else NUM_LIKENESS
    if read and likeness:
        metrics |= frechet_ratio(probe, open_features(pack), likeness)
    metrics |= _speed_and_size(probe, quick)
    columns = {"real": {**read, **true}, "unguided": unsteered}
    found = result(
        "pack",
        seed=seed,
        seconds=time.monotonic() - began,
        metrics=metrics,
        baselines={name: column for name, column in columns.items() if column},
        quick=quick,
        pack={"name": pack.name, "fingerprint": pack.fingerprint, "revision": pack.revision},
        steps={str(count): figures for count, figures in by_steps.items()},
        guidance=GUIDANCE,
        num_likeness=likeness if read else 0,
    )
    if json_path is not None:
        write_json_atomic(json_path, found)
    emit(Finished("pack", {name: m["value"] for name, m in metrics.items()}))
    return found


def _probe(base: str, quick: bool, work: Path, seed: int, mascot: Path, emit: Listener) -> Probe:
    """The pack, loaded; its finished parts are those of this code, these weights and settings."""
    from onbrand.models import open_pack
    from onbrand.models.diffusion import load_diffusion

    pack = open_pack(base)
    return Probe(
        pack=pack,
        model=load_diffusion(pack),
        folder=parts_folder(work, pack.fingerprint, seed, quick, mascot),
        num=8 if quick else 200,
        num_steps=4 if quick else MAIN_STEPS,
        seed=seed,
        emit=emit,
    )


def _reconstruction(probe: Probe, mascot: Path, quick: bool) -> dict[str, Result]:
    """PSNR of drawings through the VAE, and of a real mascot where its pictures are."""
    drawn = probe.kept("drawn", lambda: drawn_psnr(probe.model, probe.num, probe.seed))
    found = {
        "psnr_drawn_db": mean_metric(
            drawn["psnr"], groups=drawn["character"], bar=27.0, seed=probe.seed
        )
    }
    if not mascot.is_dir():
        probe.emit(Noted(f"{mascot} is not there: its reconstruction is not measured"))
        return found
    real = probe.kept("mascot", lambda: mascot_psnr(probe.model, mascot, 4 if quick else 99))
    return {**found, "psnr_mascot_db": mean_metric(real["psnr"], bar=24.0, seed=probe.seed)}


def _reader(probe: Probe) -> ReadAttributes | None:
    from onbrand.judging import open_eyes

    try:
        return open_eyes(probe.pack).read_attributes
    except PackError:
        return None


def _attributes(
    probe: Probe, reader: ReadAttributes | None, steps: Sequence[int]
) -> tuple[dict[str, Result], dict[int, dict[str, Result]]]:
    """(read from real drawings, read from generated pictures per step count); empty without a
    reader. Worlds that the reader knows nothing of are left out; others than mascots are drawn at
    the main number of steps alone."""
    if reader is None:
        probe.emit(Noted(f"pack {probe.pack.name} has no attribute reader: nothing is read back"))
        return {}, {}
    true: dict[str, Result] = {}
    by_steps: dict[int, dict[str, Result]] = {count: {} for count in steps}
    done = 0
    for world in WORLDS:
        asked = ask(world, probe.num, seed=probe.seed, size_px=probe.model.num_px)
        prompts = [one.prompt for one in asked]
        real = hits(world, asked, reader([one.picture for one in asked]), probe.seed)
        if not real:
            probe.emit(Noted(f"pack {probe.pack.name}'s reader does not know the world of {world}"))
            continue
        true |= real
        for count in steps if world == "mascots" else (probe.num_steps,):
            made = partial(_read, reader, probe, prompts, count)
            seen = probe.kept(f"attributes-{world}-{count:02d}", made, READERS)["seen"]
            found = hits(world, asked, seen, probe.seed)
            by_steps[count] |= found
            mean = float(next(iter(found.values()))["value"])
            done += 1
            probe.emit(Advanced("pack", done, {f"{world}, attributes at {count} steps": mean}))
    return true, by_steps


def _read(reader: ReadAttributes, probe: Probe, prompts: Sequence[str], num_steps: int) -> Result:
    return {"seen": reader(probe.draw(prompts, num_steps))}


def _steering(probe: Probe, reader: ReadAttributes | None) -> tuple[Figures, Figures, Figures]:
    """(figures, the same unguided, the same of true drawings) of the ControlNet and of negative
    prompts, as far as the pack has what they need."""
    from onbrand.models.control import load_controlnet

    found: tuple[Figures, Figures, Figures] = ({}, {}, {})
    roles, name = probe.pack.roles, probe.pack.name
    if "controlnet" in roles:
        net = load_controlnet(probe.pack)
        _gather(found, follow_edges(probe, net))
        if "twin_pose" in roles:
            _gather(found, follow_joints(probe, net, open_joints(probe.pack)))
        else:
            probe.emit(Noted(f"pack {name} has no pose twin: joints are not measured"))
    else:
        probe.emit(Noted(f"pack {name} has no ControlNet: no drawing is followed"))
    if reader is not None:
        ours, true = heed_negatives(probe, reader)
        _gather(found, (ours, {}, true))
    return found


def _emoji(probe: Probe, folder: Path) -> tuple[Figures, Figures]:
    """Share of the emoji whose noun the alignment twin picks among 20, for nouns and styles that
    pretraining never saw together, as generated and as they are."""
    from onbrand.bench.eyes.sight import captions_told
    from onbrand.models.twins import AlignmentTwin

    asked = held_out_emoji(folder)[: probe.num]
    if not asked or "twin_alignment" not in probe.pack.roles:
        missing = "no alignment twin in the pack" if asked else f"{folder} is not there"
        probe.emit(Noted(f"{missing}: the emoji's nouns are not measured"))
        return {}, {}
    side_px = probe.model.num_px

    def measure() -> Result:
        twin, lines = AlignmentTwin(probe.pack), nouns(asked, folder, probe.seed)
        drawn = probe.draw([one.caption for one in asked], probe.few_steps)
        kinds = {"ours": (drawn, 0.7), "true": ([one.picture(side_px) for one in asked], None)}
        return {
            kind: captions_told(twin, to_pixels(some, side_px).split(25), lines, probe.seed, bar)
            for kind, (some, bar) in kinds.items()
        }

    found = probe.kept("emoji", measure, ["twin_alignment"])
    name = "emoji_nouns_fraction"
    return {name: found["ours"]}, {name: found["true"]}


def _gather(into: Sequence[Figures], columns: Sequence[Figures]) -> None:
    for column, more in zip(into, columns, strict=False):
        column.update(more)


def _with_bars(found: Mapping[str, Result]) -> dict[str, Result]:
    """Mascots at least 0.90 each and 0.92 in the mean, products and fashion 0.85."""

    def bar(name: str) -> float:
        if name.startswith(("products_", "fashion_")):
            return 0.85
        return 0.92 if name == "attributes_fraction" else 0.90

    return {name: m | metric(m["value"], m["interval"], bar=bar(name)) for name, m in found.items()}


def _speed_and_size(probe: Probe, quick: bool) -> dict[str, Result]:
    """Seconds for a picture and to load the slowest role; MiB."""
    timed = probe.kept("seconds", lambda: _seconds(probe, 1 if quick else 5))["seconds"]
    loading = probe.kept("loading", lambda: _loading(probe.pack), list(probe.pack.roles))
    return {
        "seconds_per_picture": mean_metric(timed, bar=4.0, better="lower", seed=probe.seed),
        "seconds_to_load_role": metric(max(loading.values()), bar=1.0, better="lower"),
        **_sizes(probe.pack),
    }


def _seconds(probe: Probe, num: int) -> Result:
    """Seconds for one picture alone, with guidance; the first, which warms up, is not counted."""
    from onbrand.generation import sample

    took = []
    for n in range(num + 1):
        began = time.monotonic()
        prompt = f"a red fox waving happily on a beach by day, {n}"
        sample(probe.model, [prompt], seeds=[n], num_steps=probe.num_steps, guidance=GUIDANCE)
        took.append(time.monotonic() - began)
    return {"seconds": took[1:]}


def _loading(pack: Pack) -> dict[str, float]:
    """Seconds to load each role, the libraries being there: the best of three."""
    from onbrand.models.control import load_controlnet
    from onbrand.models.diffusion import load_diffusion
    from onbrand.models.identity import load_adapter

    known: dict[str, Callable[[Pack], object]] = {"text to image": load_diffusion}
    every = {"controlnet": load_controlnet, **loaders()}
    known |= {role: load for role, load in every.items() if role in pack.roles}
    if "identity_adapter" in pack.roles:
        base = load_diffusion(pack)  # which it is put on
        known["identity_adapter"] = partial(load_adapter, base)
    return {role: min(_timed(load, pack) for _ in range(3)) for role, load in known.items()}


def _timed(load: Callable[[Pack], object], pack: Pack) -> float:
    began = time.monotonic()
    load(pack)
    return time.monotonic() - began


def _sizes(pack: Pack) -> dict[str, Result]:
    """MiB of all weights of the pack, and of its text-to-image part's."""
    files = list(pack.root.rglob("*.safetensors"))
    t2i = [f for f in files if f.relative_to(pack.root).parts[0] in pack.family.weighted]
    return {
        name: metric(sum(f.stat().st_size for f in some) / 2**20, bar=bar, better="lower")
        for name, some, bar in (("t2i_mib", t2i, 30.0), ("pack_mib", files, 48.0))
    }
