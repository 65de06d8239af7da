"""What a folder must hold to be a base: the checks that need no torch and open no pickle."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from onbrand.errors import PackError, WeightsError

__all__ = [
    "PARTS",
    "WEIGHTED",
    "card_licence",
    "check_pipeline",
    "fingerprint_folders",
    "need_safetensors",
    "picture_size",
    "read_json",
    "refuse_file",
    "said",
]

PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"}
PARTS: Mapping[str, set[str]] = {
    "unet": {"UNet2DConditionModel"},
    "vae": {"AutoencoderKL"},
    "text_encoder": {"CLIPTextModel"},
    "tokenizer": {"CLIPTokenizer", "CLIPTokenizerFast"},
    "scheduler": set(),  # any: the sampler is chosen in `diffusion`
}
WEIGHTED = ("unet", "vae", "text_encoder")
OTHER_PARTS = ("text_encoder_2", "text_encoder_3", "transformer")
FAMILY = "this version trains Stable Diffusion 1.x and 2.x pipelines only"
WHOLE_FILE = 64 << 20
CHUNK = 64 << 10


def check_pipeline(root: Path) -> None:
    """Raise unless `root` holds a Stable Diffusion text-to-image pipeline in safetensors.

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
            "Pass the folder that StableDiffusionPipeline.save_pretrained wrote."
        )
    parts = read_json(index)
    family = parts.get("_class_name", "pipeline")
    for part, classes in PARTS.items():
        kind = _class_of(parts.get(part))
        wanted = f" ({part}: {' or '.join(sorted(classes))})" if classes else ""
        if kind is None or (classes and kind not in classes):
            raise PackError(
                f"{root} is a {family} whose '{part}' is {kind or 'missing'}; {FAMILY}{wanted}."
            )
        if not (root / part).is_dir():
            raise PackError(f"{root} names a '{part}' in model_index.json but has no such folder.")
    if str(_class_of(parts["scheduler"])).startswith("FlowMatch"):
        raise PackError(f"{root} is a {family} for flow matching; {FAMILY}.")
    extra = [part for part in OTHER_PARTS if _class_of(parts.get(part))]
    if extra:
        raise PackError(f"{root} is a {family} with {', '.join(extra)}; {FAMILY}.")
    for part in WEIGHTED:
        need_safetensors(root / part)
    channels = read_json(root / "unet" / "config.json").get("in_channels", 4)
    if channels != 4:
        raise PackError(
            f"{root}/unet takes {channels} channels: that is an inpainting or depth model. "
            "Pass the text-to-image model of the family (4 channels)."
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


def refuse_file(path: Path) -> NoReturn:
    """Raise for a pickle (WeightsError), or for a file where a folder is wanted (PackError)."""
    if path.suffix in PICKLES:
        raise WeightsError(
            f"{path} is a pickle, which can run code when it is opened; it is refused. If you "
            "trust its source, convert it once in a throw-away environment with diffusers: "
            "StableDiffusionPipeline.from_pretrained(FOLDER) or .from_single_file(FILE), then "
            ".save_pretrained(OUT, safe_serialization=True), and pass OUT."
        )
    raise PackError(
        f"{path} is a single file; a pack is a folder in diffusers' layout. Convert it once: "
        "StableDiffusionPipeline.from_single_file(FILE).save_pretrained(OUT), and pass OUT."
    )


def picture_size(root: Path) -> int:
    """Side in pixels: the U-Net's sample_size times the autoencoder's factor."""
    side = read_json(root / "unet" / "config.json").get("sample_size")
    levels = read_json(root / "vae" / "config.json").get("block_out_channels")
    if isinstance(side, list) and side:
        side = side[0]
    if not isinstance(side, int) or not isinstance(levels, list):
        raise PackError(
            f"{root} does not say its picture size: unet/config.json needs sample_size and "
            "vae/config.json block_out_channels."
        )
    return side * (1 << (len(levels) - 1))


def fingerprint_folders(folders: list[Path]) -> str:
    """16 hex digits over the configurations and weights in the folders, names and sizes included.

    Files of up to 64 MiB are read whole, larger ones in 64 spread chunks: a fine-tune of the same
    shape changes every tensor, so this tells models apart without reading gigabytes.
    """
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.glob("*")):
            if path.suffix in {".json", ".safetensors"}:
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
