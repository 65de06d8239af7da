"""The two file formats of a LoRA, and one in-memory form between them.

diffusers: `pytorch_lora_weights.safetensors`, keys `unet.PATH.lora_A.weight` [r, in] and
`.lora_B.weight` [out, r], `transformer.` instead of `unet.` in SD3 and FLUX; the header's
`lora_adapter_metadata` carries rank and alpha.
kohya (sd-scripts, A1111, ComfyUI): keys `lora_unet_PATH_WITH_UNDERSCORES.lora_down.weight`,
`.lora_up.weight` and `.alpha`; the header carries `ss_*` and `modelspec.*` strings. The paths are
diffusers' for SD 1.x and 2.x, the original network's for SDXL (`lora_sdxl`; diffusers' are read as
well) and FLUX (`lora_flux`, for FLUX.1's own size). SD3 gets the diffusers form alone: diffusers
reads no kohya form of it. Text encoders are `text_encoder.text_model.` and `lora_te_text_model_`,
SDXL's two `text_encoder[_2].` and `lora_te1_`, `lora_te2_`.

Torch only for the tensors; neither diffusers nor peft is imported here.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from onbrand.errors import WeightsError
from onbrand.models.families import FAMILIES, FLUX, SD3, SD15, SDXL, Family
from onbrand.models.lora_flux import FLUX_WIDTH, fuse_flux, is_flux_sized, split_flux
from onbrand.models.lora_layer import Layer
from onbrand.models.lora_sdxl import sgm_path
from onbrand.models.tensors import write_tensors

__all__ = [
    "DIFFUSERS_FILE",
    "KOHYA_FILE",
    "BaseFacts",
    "Layer",
    "LoraFile",
    "has_kohya_form",
    "read_lora",
    "write_diffusers",
    "write_kohya",
]

DIFFUSERS_FILE = "pytorch_lora_weights.safetensors"
KOHYA_FILE = "kohya.safetensors"
WIDTHS = {768: SD15, 1024: SD15, 2048: SDXL}  # of the words that a U-Net attends to
NAMED = ("trigger", "licence", "name", "description")
Alpha = Callable[[str, int], float]
"""α of the layer at that path, of that rank."""


@dataclass(frozen=True, slots=True)
class LoraFile:
    """A LoRA read from disk: layers per part ("unet", "text_encoder") and module path, header."""

    path: Path
    layers: Mapping[str, Mapping[str, Layer]]
    header: Mapping[str, str]

    @property
    def base(self) -> str:
        """What the header calls the base it was trained on."""
        return _base_name(self.header)


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """What a LoRA's header says of its base; `num_layers`: in a block of its U-Net."""

    name: str
    fingerprint: str
    family: Family
    prediction_type: str
    num_px: int
    text_width: int
    num_layers: int = 2

    @property
    def header(self) -> dict[str, str]:
        """The entries by which `load_lora` tells bases apart."""
        return {
            "onbrand.base": self.name,
            "onbrand.base_fingerprint": self.fingerprint,
            "onbrand.family": self.family.name,
        }


def write_diffusers(
    path: Path,
    layers: Mapping[str, Mapping[str, Layer]],
    base: BaseFacts,
    facts: Mapping[str, str],
) -> Path:
    """Write the diffusers form atomically; StorageError when the disk refuses."""
    tensors: dict[str, Tensor] = {}
    settings: dict[str, object] = {}
    for part, modules in layers.items():
        if not modules:
            continue
        # older transformers nest the encoder in text_model; newer diffusers strip the prefix
        inner = _inner(part)
        for name, layer in modules.items():
            tensors[f"{part}.{inner}{name}.lora_A.weight"] = layer.down
            tensors[f"{part}.{inner}{name}.lora_B.weight"] = layer.up
        rank, ranks = _usual({n: layer.rank for n, layer in modules.items()})
        alpha, alphas = _usual({n: layer.alpha for n, layer in modules.items()})
        settings |= {
            f"{part}.r": rank,
            f"{part}.lora_alpha": alpha,
            f"{part}.rank_pattern": ranks,
            f"{part}.alpha_pattern": alphas,
            f"{part}.target_modules": sorted(modules),
        }
    header = {
        "format": "pt",
        "lora_adapter_metadata": json.dumps(settings, sort_keys=True),
        **base.header,
        **{f"onbrand.{k}" if k in NAMED else k: v for k, v in facts.items()},
    }
    return write_tensors(path, tensors, header)


def has_kohya_form(family: Family, layers: Mapping[str, Mapping[str, Layer]]) -> bool:
    """Whether a kohya file of these layers per part can be written that diffusers reads back."""
    if family is FLUX:
        return is_flux_sized(layers[family.network])
    return bool(family.kohya)


def write_kohya(
    path: Path,
    layers: Mapping[str, Mapping[str, Layer]],
    base: BaseFacts,
    facts: Mapping[str, str],
) -> Path:
    """Write the kohya form of a family that has one, atomically; StorageError when the disk
    refuses."""
    tensors: dict[str, Tensor] = {}
    for part, modules in layers.items():
        theirs = fuse_flux(modules) if base.family is FLUX else modules
        for name, layer in theirs.items():
            key = base.family.kohya[part] + _kohya_path(part, name, base).replace(".", "_")
            tensors[f"{key}.lora_down.weight"] = layer.down
            tensors[f"{key}.lora_up.weight"] = layer.up
            tensors[f"{key}.alpha"] = torch.tensor(layer.alpha)
    every = [layer for modules in layers.values() for layer in modules.values()]
    rank, _ = _usual({str(i): layer.rank for i, layer in enumerate(every)})
    alpha, _ = _usual({str(i): layer.alpha for i, layer in enumerate(every)})
    trigger = facts.get("trigger", "")
    extra = {}
    if any(layer.down.ndim == 4 and layer.down.shape[-1] > 1 for layer in every):
        extra["ss_network_args"] = json.dumps({"conv_dim": str(rank), "conv_alpha": str(alpha)})
    header = {
        "format": "pt",
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(alpha),
        "ss_base_model_version": _family(base)[0],
        "ss_v2": str(base.text_width == 1024),
        "ss_sd_model_name": base.name,
        "ss_output_name": facts.get("name", path.stem),
        "ss_tag_frequency": json.dumps({"1": {trigger: 1}} if trigger else {}),
        "ss_resolution": f"({base.num_px}, {base.num_px})",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": _family(base)[1],
        "modelspec.implementation": "diffusers",
        "modelspec.title": facts.get("name", path.stem),
        "modelspec.description": facts.get("description", ""),
        "modelspec.license": facts.get("licence", "unknown"),
        "modelspec.trigger_phrase": trigger,
        "modelspec.prediction_type": base.prediction_type.removesuffix("_prediction"),
        "modelspec.resolution": f"{base.num_px}x{base.num_px}",
        **extra,
        **base.header,
        **{k: v for k, v in facts.items() if k not in NAMED},
    }
    return write_tensors(path, tensors, header)


def _kohya_path(part: str, path: str, base: BaseFacts) -> str:
    """The layer's path in the network that kohya's trainer of this family has."""
    return sgm_path(path, base.num_layers) if (part, base.family) == ("unet", SDXL) else path


def read_lora(path: Path, module_paths: Mapping[str, Iterable[str]], base: BaseFacts) -> LoraFile:
    """Read either form. `module_paths` lists the base's modules per part, to undo underscores.

    `path` is a file, or a folder with one of the two files that `save_lora` writes.
    Raises WeightsError for a pickle, a damaged file, another family's LoRA, and keys that are no
    LoRA of the base's family.
    """
    file = _find(path)
    try:
        tensors = load_file(file)
        with safe_open(str(file), "pt") as opened:
            header = dict(opened.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{file} is damaged or no safetensors file: {error}") from error
    theirs = _family_of(tensors, header)
    if theirs is not None and theirs is not base.family:
        raise WeightsError(
            f"{file} was trained on '{_base_name(header)}', a {theirs.title} base, but the base "
            f"here is '{base.name}', {base.family.title}. Use a base of its own family."
        )
    kohya = any(key.startswith(tuple(base.family.kohya.values())) for key in tensors)
    layers, used = (
        _from_kohya(tensors, module_paths, base)
        if kohya
        else _from_diffusers(tensors, _alphas_in(file, header, base.family.adapted))
    )
    given = [key for key in tensors if not key.endswith(".alpha")]
    stray = [key for key in given if key not in used]
    if stray or not given:
        raise WeightsError(
            f"{file} is no LoRA for this family of models ({base.family.title}): "
            f"{len(given) - len(stray)} of its {len(given)} tensors fit, the first that does not "
            f"is '{stray[0] if stray else 'no key at all'}'."
        )
    return LoraFile(file, layers, header)


def _base_name(header: Mapping[str, str]) -> str:
    return header.get("onbrand.base") or header.get("ss_sd_model_name") or "another model"


def _family_of(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> Family | None:
    """The family that a LoRA was trained for, by its header, else by what its keys betray."""
    version = header.get("ss_base_model_version", "")
    for family in FAMILIES.values():
        if header.get("onbrand.family") == family.name or version.startswith(family.version):
            return family
    starts = ("transformer.single_transformer_blocks.", "lora_unet_double_blocks_")
    if any(key.startswith(starts) for key in tensors):
        return FLUX
    joint = [t for key, t in tensors.items() if key.startswith("transformer.transformer_blocks.")]
    if joint:
        return FLUX if any(FLUX_WIDTH in tensor.shape for tensor in joint) else SD3
    if any(key.startswith(("text_encoder_2.", "lora_te2_")) for key in tensors):
        return SDXL
    widths = (
        int(tensor.shape[-1])
        for key, tensor in tensors.items()
        if key.endswith((".attn2.to_k.lora_A.weight", "_attn2_to_k.lora_down.weight"))
    )
    return next((WIDTHS[width] for width in widths if width in WIDTHS), None)


def _inner(part: str) -> str:
    """Text encoders are nested once more in both forms on disk."""
    return "text_model." if part.startswith("text_encoder") else ""


def _from_diffusers(
    tensors: Mapping[str, Tensor], alphas: Mapping[str, Alpha]
) -> tuple[dict[str, dict[str, Layer]], set[str]]:
    """Layers per part, and the keys that they were read from."""
    layers: dict[str, dict[str, Layer]] = {part: {} for part in alphas}
    used: set[str] = set()
    ending = ".lora_A.weight"
    for key, down in tensors.items():
        part, _, rest = key.partition(".")
        other = key.removesuffix(ending) + ".lora_B.weight"
        if part not in layers or not key.endswith(ending) or other not in tensors:
            continue
        used |= {key, other}
        name = rest.removesuffix(ending)
        own = tensors.get(f"{key.removesuffix(ending)}.alpha")  # some FLUX files have them
        alpha = alphas[part](name, down.shape[0]) if own is None else float(own)
        layers[part][name.removeprefix("text_model.")] = Layer(down, tensors[other], alpha)
    return layers, used


def _alphas_in(file: Path, header: Mapping[str, str], parts: Iterable[str]) -> dict[str, Alpha]:
    """α of a part's layers by what `lora_adapter_metadata` says: peft's settings, "PART." before
    the name of each. Raises WeightsError where they cannot be read: the strength would be a guess.
    """
    try:
        settings = json.loads(header.get("lora_adapter_metadata", "{}"))
        return {part: _alpha_by(settings, part) for part in parts}
    except (AttributeError, OverflowError, TypeError, ValueError, re.error) as error:
        raise WeightsError(
            f"{file} does not say how strong it is: lora_adapter_metadata in its header is damaged "
            f"({error}). Save it anew with diffusers' save_lora_weights."
        ) from error


def _alpha_by(settings: Mapping[str, Any], part: str) -> Alpha:
    usual = _finite(settings[f"{part}.lora_alpha"]) if f"{part}.lora_alpha" in settings else None
    others = [
        (re.compile(rf"(.*\.)?({pattern})$"), _finite(alpha))  # as peft's get_pattern_key
        for pattern, alpha in (settings.get(f"{part}.alpha_pattern") or {}).items()
    ]
    by_root = bool(settings.get(f"{part}.use_rslora"))  # α / √r for α / r: arXiv 2312.03732

    def alpha(path: str, rank: int) -> float:
        default = float(rank) if usual is None else usual
        found = next((other for places, other in others if places.match(path)), default)
        return found * math.sqrt(rank) if by_root else found

    return alpha


def _finite(number: Any) -> float:
    if not math.isfinite(number):
        raise ValueError(f"alpha {number}")
    return float(number)


def _from_kohya(
    tensors: Mapping[str, Tensor], module_paths: Mapping[str, Iterable[str]], base: BaseFacts
) -> tuple[dict[str, dict[str, Layer]], set[str]]:
    """Layers per part, and the keys that they were read from."""
    layers: dict[str, dict[str, Layer]] = {}
    used: set[str] = set()
    for part, prefix in base.family.kohya.items():
        stems = (key.partition(".")[0] for key in tensors if key.startswith(prefix))
        found: dict[str, Layer] = {}
        for stem in dict.fromkeys(stems):
            keys = f"{stem}.lora_down.weight", f"{stem}.lora_up.weight"
            if keys[0] in tensors and keys[1] in tensors:
                down, up = (tensors[key] for key in keys)
                alpha = tensors.get(f"{stem}.alpha")
                found[stem] = Layer(down, up, float(down.shape[0] if alpha is None else alpha))
        known = _paths(found, part, module_paths.get(part, ()), base)
        layers[part] = {path: layer for paths in known.values() for path, layer in paths.items()}
        used |= {f"{stem}.lora_{end}.weight" for stem in known for end in ("down", "up")}
    return layers, used


def _paths(
    found: Mapping[str, Layer], part: str, modules: Iterable[str], base: BaseFacts
) -> dict[str, dict[str, Layer]]:
    """kohya's stem -> the layers that it stands for, by path; stems of no module are left out."""
    prefix = base.family.kohya[part]
    if base.family is FLUX:
        split = {stem: split_flux(stem.removeprefix(prefix), x) for stem, x in found.items()}
        return {stem: layers for stem, layers in split.items() if layers}
    names = {
        prefix + path.replace(".", "_"): name
        for name in modules
        for path in (name, _kohya_path(part, name, base))
    }
    return {stem: {names[stem]: layer} for stem, layer in found.items() if stem in names}


def _find(path: Path) -> Path:
    if path.is_dir():
        for name in (DIFFUSERS_FILE, KOHYA_FILE):
            if (path / name).is_file():
                return path / name
        found = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
        raise WeightsError(
            f"{path} holds no LoRA: neither {DIFFUSERS_FILE} nor {KOHYA_FILE}, only: {found}."
        )
    if not path.is_file():
        raise WeightsError(f"no LoRA at {path}: no such file or folder.")
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"{path} is no .safetensors file; pickles are refused, because opening one can run "
            "code. Convert it with the tool that wrote it."
        )
    return path


def _family(base: BaseFacts) -> tuple[str, str]:
    """kohya's and modelspec's names of the base's architecture; SD 1.x and 2.x by text width."""
    if base.family is not SD15:
        return base.family.version, base.family.architecture
    if base.text_width == 768:
        return "sd_v1", "stable-diffusion-v1/lora"
    if base.text_width == 1024:
        v = base.prediction_type == "v_prediction"
        return (
            ("sd_v2_v", "stable-diffusion-v2-768-v/lora")
            if v
            else ("sd_v2", "stable-diffusion-v2-512/lora")
        )
    return base.name, f"{base.name}/lora"


def _usual(values: Mapping[str, int] | Mapping[str, float]) -> tuple[float, dict[str, float]]:
    """The most frequent value, and the names that have another."""
    usual = Counter(values.values()).most_common(1)[0][0]
    whole = int(usual) if float(usual).is_integer() else usual
    return whole, {name: value for name, value in values.items() if value != usual}
