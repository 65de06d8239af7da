"""What a folder must hold to be a base: the checks that need no torch and open no pickle."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import NoReturn

from onbrand.errors import PackError, WeightsError
from onbrand.models.families import FAMILIES, Family, part_names

__all__ = [
    "VARIANTS",
    "card_licence",
    "check_pipeline",
    "fingerprint_folders",
    "need_safetensors",
    "part_classes",
    "picture_size",
    "read_json",
    "refuse_file",
    "said",
    "weights_variant",
]

PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"}
OTHER_NOISE = {"FlowMatch": "flow matching", "EDM": "EDM noise"}
VARIANTS = ("fp32", "bf16", "fp16", "non_ema", "ema")
"""diffusers' names for further files of the same weights, the more exact first"""
VARIANT = re.compile(rf"[.](?:{'|'.join(VARIANTS)})(?=[.-])")
WHOLE_FILE = 64 << 20
CHUNK = 64 << 10


def check_pipeline(root: Path) -> Family:
    """The family of the text-to-image pipeline in `root`, in safetensors; raises for anything else.

    PackError lists what is there instead; WeightsError says how to convert a pickle.
    """
    index = root / "model_index.json"
    if not index.is_file():
        found = sorted(p.name + ("/" if p.is_dir() else "") for p in root.iterdir())
        pickles = [name for name in found if Path(name).suffix in PICKLES]
        if pickles:
            refuse_file(root / pickles[0])
        raise PackError(
            f"{root} is no diffusers pipeline: it has no model_index.json, only: {_short(found)}. "
            "Pass the folder that a diffusers pipeline's save_pretrained wrote."
        )
    parts = read_json(index)
    pipeline = str(parts.get("_class_name", "pipeline without a class"))
    family = FAMILIES.get(pipeline)
    if family is None:
        known = ", ".join(f"{f.title} ({name})" for name, f in FAMILIES.items())
        raise PackError(
            f"{root} is a {pipeline}, of no family that this version trains: {known}. Pass the "
            "text-to-image pipeline of one of these."
        )
    for part in family.parts:
        _check_part(root, parts, part, family)
    extra = [p for p in part_names() if p not in family.parts and _class_of(parts.get(p))]
    if extra:
        raise PackError(
            f"{root} is a {pipeline} with {', '.join(extra)}, which {family.title} has not: "
            "model_index.json does not tell one family."
        )
    present = part_classes(root, family)
    for part in family.weighted:
        if part in present:
            need_safetensors(root / part)
    _check_channels(root, family)
    return family


def part_classes(root: Path, family: Family) -> dict[str, str]:
    """The parts that the folder's model_index.json lists, and the class of each."""
    index = read_json(root / "model_index.json")
    listed = {part: _class_of(index.get(part)) for part in family.parts}
    return {part: kind for part, kind in listed.items() if kind}


def _check_part(root: Path, index: dict[str, object], part: str, family: Family) -> None:
    """Raise unless the part is one that the family takes and lies there."""
    kind, classes = _class_of(index.get(part)), family.parts[part]
    if kind is None and part in family.optional:
        return
    other = next((noise for mark, noise in OTHER_NOISE.items() if str(kind).startswith(mark)), None)
    if part == "scheduler" and not classes and other:
        raise PackError(
            f"{root} is a {family.pipeline} for {other} ({kind}), not for the noise of "
            f"{family.title}: it would be trained on the wrong formulas."
        )
    if kind is None or (classes and kind not in classes):
        wanted = f" ({part}: {' or '.join(sorted(classes))})" if classes else ""
        raise PackError(
            f"{root} is a {family.pipeline} whose '{part}' is {kind or 'missing'}; {family.title} "
            f"wants another one{wanted}."
        )
    if not (root / part).is_dir():
        raise PackError(f"{root} names a '{part}' in model_index.json but has no such folder.")


def _check_channels(root: Path, family: Family) -> None:
    """Raise unless the network takes the autoencoder's latents and nothing beside them."""
    taken = read_json(root / family.network / "config.json").get("in_channels")
    made = read_json(root / "vae" / "config.json").get("latent_channels", 4)
    wanted = made * family.num_packed if isinstance(made, int) else made
    if taken is not None and taken != wanted:
        raise PackError(
            f"{root}/{family.network} takes {taken} channels: that is an inpainting or depth "
            f"model, or another one's autoencoder lies beside it. Pass the text-to-image model of "
            f"the family ({wanted} channels)."
        )


def need_safetensors(folder: Path) -> None:
    """Raise unless the folder holds safetensors; say how to convert when it holds a pickle."""
    files = sorted(folder.glob("*")) if folder.is_dir() else []
    if any(p.suffix == ".safetensors" for p in files):
        return
    pickles = [p for p in files if p.suffix in PICKLES]
    if pickles:
        refuse_file(pickles[0])
    listing = _short([p.name for p in files])
    raise PackError(f"{folder} holds no weights: no .safetensors file there, only: {listing}.")


def weights_variant(folder: Path) -> str | None:
    """The `variant` that from_pretrained needs: None where the weights lie under their plain name,
    as nearly always, else the first of VARIANTS that is there."""
    names = [path.name for path in folder.glob("*.safetensors*")]
    if any(not VARIANT.search(name) for name in names):
        return None
    there = {variant for variant in VARIANTS for name in names if f".{variant}" in name}
    return next((variant for variant in VARIANTS if variant in there), None)


def refuse_file(path: Path) -> NoReturn:
    """Raise for a pickle (WeightsError), or for a file where a folder is wanted (PackError)."""
    if path.suffix in PICKLES:
        raise WeightsError(
            f"{path} is a pickle, which can run code when it is opened; it is refused. If you "
            "trust its source, convert it once in a throw-away environment with its pipeline in "
            "diffusers: StableDiffusionPipeline.from_pretrained(FOLDER) or "
            ".from_single_file(FILE), then "
            ".save_pretrained(OUT, safe_serialization=True), and pass OUT."
        )
    raise PackError(
        f"{path} is a single file; a pack is a folder in diffusers' layout. Convert it once: "
        "StableDiffusionPipeline.from_single_file(FILE).save_pretrained(OUT), and pass OUT."
    )


def picture_size(root: Path, family: Family) -> int:
    """Side in pixels: the network's sample_size times the autoencoder's factor, or the
    autoencoder's own sample_size where the network has none (FLUX)."""
    vae = read_json(root / "vae" / "config.json")
    side = read_json(root / family.network / "config.json").get("sample_size")
    levels = vae.get("block_out_channels")
    if isinstance(side, list) and side:
        side = side[0]
    if isinstance(side, int) and isinstance(levels, list):
        return side * (1 << (len(levels) - 1))
    whole = vae.get("sample_size")
    if side is None and family.num_packed > 1 and isinstance(whole, int):
        return whole
    raise PackError(
        f"{root} does not say its picture size: {family.network}/config.json needs sample_size "
        "and vae/config.json block_out_channels (for FLUX, vae/config.json sample_size)."
    )


def fingerprint_folders(folders: list[Path]) -> str:
    """16 hex digits over the configurations and weights in the folders, names and sizes included;
    ONNX files count where there are no others.
    A variant (fp16, …) beside the plain weights, which nothing reads, does not count.

    Files of up to 64 MiB are read whole, larger ones in 64 spread chunks: a fine-tune of the same
    shape changes every tensor, so this tells models apart without reading gigabytes.
    """
    digest = hashlib.sha256()
    for folder in folders:
        variant = weights_variant(folder)
        kinds = {".json", ".safetensors" if any(folder.glob("*.safetensors")) else ".onnx"}
        for path in sorted(folder.glob("*")):
            found = VARIANT.search(path.name)
            read = found is None or found.group()[1:] == variant
            if path.suffix in kinds and read:
                size = path.stat().st_size
                digest.update(f"{folder.name}/{path.name}:{size}\n".encode())
                with path.open("rb") as file:
                    if size <= WHOLE_FILE:
                        digest.update(file.read())
                        continue
                    for i in range(64):
                        file.seek((size - CHUNK) * i // 63)
                        digest.update(file.read(CHUNK))
    return digest.hexdigest()[:16]


def card_licence(root: Path) -> str:
    """The licence that the model card's front matter states, or "unknown"."""
    card = root / "README.md"
    text = card.read_text("utf-8", "replace") if card.is_file() else ""
    found = re.search(r"^licen[sc]e:\s*['\"]?([^\s'\"]+)", text, re.MULTILINE)
    return found.group(1) if found else "unknown"


def read_json(path: Path) -> dict[str, object]:
    """A JSON object; PackError when it is missing or damaged."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise PackError(f"{path} is missing.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise PackError(f"{path} is damaged: {error}.") from error
    if not isinstance(value, dict):
        raise PackError(f"{path} is damaged: a JSON object was expected.")
    return value


def said(error: Exception) -> str:
    """The first line of a library's complaint, or its class where it says nothing."""
    return (str(error).strip().splitlines() or [repr(error)])[0]


def _class_of(entry: object) -> str | None:
    """The class that model_index.json names for a part: ["library", "Class"]."""
    if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], str):
        return entry[1]
    return None


def _short(names: list[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "") or "nothing"
