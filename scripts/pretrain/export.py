"""Assembles the pocket pack: src/onbrand/models/pocket, swapped in as a whole.

Takes what is trained so far; where --out is a pack already, an eye that was not trained here stays
as that one has it, and so do the facts of whatever was not; a new --out has what was trained.
Writes safetensors (fp16; the eyes' matrices and kernels as float8), the scheduler, vocabulary.json,
pack.toml and the model card.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from options import ROOT, WORK
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer
from unet import schedule

from onbrand.bench.eyes.look import EYES
from onbrand.models.layout import fingerprint_folders
from onbrand.models.pack_files import read_pack_file
from onbrand.training.engine import read_log

__all__ = ["HARDWARE", "ROLES", "assemble", "main", "next_revision"]

HARDWARE = (
    "Hardware: two x86_64 cores, shared with other work, and since revision 11 ten minutes of an\n"
    "H200 for base, identity, alignment, parsing and attributes (docs/log.md tells each run)."
)
POCKET = ROOT / "src" / "onbrand" / "models" / "pocket"
ROLES = {
    "identity": ("identity", "identity"),
    "alignment": ("alignment", "alignment"),
    "parsing": ("parsing", "parsing"),
    "clicks": ("clicks", "clicks"),
    "expression": ("expression", "expression"),
    "tagger": ("tagger", "tagger"),
    "twin_alignment": ("alignment-twin", "twins/alignment"),
    "twin_pose": ("pose-twin", "twins/pose"),
    "twin_expression": ("expression-twin", "twins/expression"),
    "twin_identity": ("identity-twin", "twins/identity"),
    "attributes": ("attributes", "twins/attributes"),
    "pose": ("pose", "pose"),
    "controlnet": ("controlnet", "controlnet"),
    "identity_adapter": ("identity_adapter", "identity_adapter"),
}  # role: (folder of the run, folder in the pack)
MADE = {"vae": "vae", "unet": "pipeline"}  # what a run leaves, others model/


def mib(folder: Path) -> float:
    """Size of the safetensors under a folder, MiB."""
    return sum(f.stat().st_size for f in folder.rglob("*.safetensors")) / 2**20


def in_eight_bits(folder: Path) -> None:
    """Round matrices and kernels to float8 (e4m3, OCP 8-bit floating point): half the size, and no
    figure of `bench eyes` moved (docs/log.md). transformers' from_pretrained widens them again.

    Raises ValueError for a weight beyond its range.
    """
    for file in folder.glob("*.safetensors"):
        kept = load_file(file)
        for name, tensor in kept.items():
            if tensor.ndim < 2 or not tensor.is_floating_point():
                continue
            if float(tensor.float().abs().max()) > torch.finfo(torch.float8_e4m3fn).max:
                raise ValueError(f"{file}: {name} goes beyond what float8 holds")
            kept[name] = tensor.to(torch.float8_e4m3fn)
        save_file(kept, file, metadata={"format": "pt"})


def facts_of(work: Path) -> dict[str, dict[str, Any]]:
    """Steps and seconds per run, from its log, and what it measured when it ended."""
    facts: dict[str, dict[str, Any]] = {}
    for run in ("vae", "unet", *(folder for folder, _ in ROLES.values())):
        if not (work / run / MADE.get(run, "model")).exists():
            continue  # what is shipped of it is the old pack's
        facts[run] = {}
        if lines := read_log(work / run):  # none where a trained one was only corrected
            facts[run] = {"steps": lines[-1]["step"], "seconds": round(lines[-1]["seconds"])}
        measured = work / run / "scores.json"
        if measured.exists():
            scores = json.loads(measured.read_text())
            facts[run] |= {name: round(value, 3) for name, value in scores.items()}
    return facts


def card(facts: dict[str, dict[str, Any]], sizes: dict[str, float], note: str) -> str:
    """The model card, Markdown."""
    rows = "\n".join(
        f"| {run} | {f['steps']:,} | {f['seconds']:,} | "
        + ", ".join(f"{k} {v}" for k, v in f.items() if k not in ("steps", "seconds"))
        + " |"
        for run, f in facts.items()
    )
    parts = "\n".join(f"| {name} | {size:.2f} |" for name, size in sizes.items())
    return f"""---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
---
# The pocket pack

A small text-to-image base of 128 x 128 px and the eyes that judge it, made by this project, so
that a person without a GPU or a network gets a real run. Standard formats: a diffusers
`StableDiffusionPipeline` (v-prediction, zero terminal SNR, latents of four channels at a quarter
of the side) and transformers models.

## Data
- Pictures drawn by `onbrand.illustrator` (Apache-2.0, this project), with their true captions, some
  with planted faults; never a reserved subject or one that looks like one.
- fluent-emoji: Fluent Emoji by Microsoft, MIT licence, https://github.com/microsoft/fluentui-emoji

## How
`scripts/pretrain/README.md` rebuilds every weight. {HARDWARE}

| run | steps of the last run | seconds | last measured |
|---|---|---|---|
{rows}

PSNR in dB (gopher: inside its alpha; it was never trained on). `pa`, `retrieval`, `one_word` and
accuracies are shares on held-out characters; emoji are held out in one style and trained on in
others. Scores of generated pictures are in docs/benchmarks.

## Size, MiB
fp16; the eyes' matrices and kernels are float8 (e4m3), which from_pretrained(dtype=…) widens.

| part | MiB |
|---|---|
{parts}

## Limits
{note}
It knows the illustrator's three worlds (mascots, products, people and mannequins in garments) and a
little of the emoji's. Words that it never saw (vocabulary.json) have no effect. The twins are for
evaluation only: what they grade must not be selected with them.
"""


def assemble(
    work: Path, fresh: Path, note: str = "", revision: str = "1", old: Path | None = None
) -> dict[str, float]:
    """Write the whole pack into `fresh`; returns MiB per part. `old` lends missing eyes."""
    vae = AutoencoderKL.from_pretrained(work / "vae" / "vae", torch_dtype=torch.float16)
    base = work / "unet" / "pipeline"
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel.from_pretrained(base / "text_encoder", dtype=torch.float16),
        tokenizer=CLIPTokenizer.from_pretrained(work / "tokenizer" / "tokenizer"),
        unet=UNet2DConditionModel.from_pretrained(base / "unet", torch_dtype=torch.float16),
        scheduler=schedule(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipe.save_pretrained(fresh, safe_serialization=True)
    shutil.copy(work / "tokenizer" / "vocabulary.json", fresh / "vocabulary.json")
    if old and (old / "refused.json").exists():
        shutil.copy(old / "refused.json", fresh / "refused.json")
    kept = json.loads((old / "facts.json").read_text()) if old else {}
    new = facts_of(work)
    facts = kept | {run: {**kept.get(run, {}), **told} for run, told in new.items()}
    there = {}
    for role, (run, to) in ROLES.items():
        source = work / run / "model"
        if old and not source.exists():
            source = old / to
        if source.exists():
            shutil.copytree(source, fresh / to)
            if role in EYES:
                in_eight_bits(fresh / to)
            there[role] = to
    if old and _is_told_by_another(work, fresh, old):
        print("identity is new, identity_adapter the old pack's: train it anew, ARGS=--afresh")
    roles = "".join(f'{role} = "{to}"\n' for role, to in there.items())
    (fresh / "pack.toml").write_text(
        f'name = "pocket"\nlicence = "Apache-2.0"\nrevision = "{revision}"\n'
        'credits = "Fluent Emoji, MIT, https://github.com/microsoft/fluentui-emoji"\n\n'
        "[roles]\n" + roles
    )
    folders = ["unet", "vae", "text_encoder", *there.values()]
    sizes = {name: mib(fresh / name) for name in folders}
    sizes["all"] = mib(fresh)
    (fresh / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    (fresh / "README.md").write_text(card(facts, sizes, note))
    return sizes


def _is_told_by_another(work: Path, fresh: Path, old: Path) -> bool:
    """Whether the old pack's identity adapter now stands beside another encoder than it knows."""
    if (work / "identity_adapter" / "model").exists() or not (fresh / "identity_adapter").exists():
        return False
    return fingerprint_folders([fresh / "identity"]) != fingerprint_folders([old / "identity"])


def next_revision(old: Path | None) -> str:
    """The old pack's revision and one; "1" where there is none. Raises ValueError where it is no
    number."""
    return str(int(read_pack_file(old).revision or 0) + 1) if old else "1"


def main(arguments: list[str] | None = None) -> None:
    """Assemble beside the old pack, check that it loads and draws, and swap."""
    p = argparse.ArgumentParser(prog="pretrain export", description=__doc__)
    p.add_argument("--work", type=Path, default=WORK)
    p.add_argument("--out", type=Path, default=POCKET)
    p.add_argument("--revision", help="what pack.toml calls it; else the old pack's and one")
    p.add_argument("--note", default="", help="what this revision falls short of, for the card")
    options = p.parse_args(arguments)
    lender = options.out if (options.out / "facts.json").exists() else None
    try:
        revision = options.revision or next_revision(lender)
    except ValueError:
        p.error(f"the revision of {options.out} is no number: say the next one by --revision")
    print(f"revision {revision}" + (f", after {lender}" if lender else ""), flush=True)
    fresh = options.out.with_name(options.out.name + ".new")
    old = options.out.with_name(options.out.name + ".old")
    for folder in (fresh, old):
        shutil.rmtree(folder, ignore_errors=True)
    fresh.mkdir(parents=True)
    sizes = assemble(options.work, fresh, options.note, revision, lender)
    pipe = StableDiffusionPipeline.from_pretrained(
        fresh, safety_checker=None, torch_dtype=torch.float32
    )
    pipe.set_progress_bar_config(disable=True)
    picture = pipe("a red fox", num_inference_steps=2, guidance_scale=4.0).images[0]
    if options.out.exists():
        options.out.rename(old)
    fresh.rename(options.out)
    shutil.rmtree(old, ignore_errors=True)
    print(f"{options.out}: {picture.size}, " + ", ".join(f"{k} {v:.2f}" for k, v in sizes.items()))


if __name__ == "__main__":
    main()
