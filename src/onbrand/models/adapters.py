"""LoRA on a diffusion model: attach, train, switch off, save and load.

A model carries one adapter at a time. Its tensors are float32 leaves whatever the base's
precision; `lora_parameters` names them `unet.PATH.lora_A.weight` (`transformer.PATH…` in the flow
families), which is also how the diffusers form on disk calls them. Which layers carry it, and
which text encoders may, is the family's. LoRA: Hu et al. 2021, arXiv 2106.09685.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.nn import Parameter

from onbrand.errors import RecipeError, WeightsError
from onbrand.models.diffusion import DiffusionModel
from onbrand.models.lora_files import (
    DIFFUSERS_FILE,
    KOHYA_FILE,
    BaseFacts,
    Layer,
    LoraFile,
    has_kohya_form,
    read_lora,
    write_diffusers,
    write_kohya,
)
from onbrand.models.packs import Pack

if TYPE_CHECKING:
    from onbrand.recipe import LoraSettings

__all__ = [
    "attach_lora",
    "check_lora",
    "detach_lora",
    "has_lora",
    "load_lora",
    "lora_changes",
    "lora_parameters",
    "merged_lora",
    "save_lora",
    "set_dropout",
    "without_lora",
]

ADAPTER = "default"
TEXT_TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj"]


def check_lora(pack: Pack, lora: LoraSettings) -> None:
    """Raise RecipeError for `lora.text_encoder` where the family's text encoders stay frozen."""
    if lora.text_encoder and not pack.family.lora_encoders:
        raise RecipeError(
            f"lora.text_encoder is true, but the base '{pack.name}' is {pack.family.title}, whose "
            "text encoders stay frozen here. Set it to false, or take an SD 1.x/2.x or SDXL base."
        )


def attach_lora(model: DiffusionModel, lora: LoraSettings, *, seed: int = 0) -> list[Parameter]:
    """Put a fresh adapter on the model (replacing one that is there) and return what to train.

    The down matrices are Gaussian from `seed`, the up matrices zero, so nothing changes yet.
    `lora.targets` names what is adapted in the network: attention, attention+ff or all.
    Raises RecipeError as `check_lora` does.
    """
    from peft import LoraConfig

    check_lora(model.pack, lora)
    family = model.family
    detach_lora(model)
    endings = tuple(f".{name}" for name in family.lora_targets[lora.targets])
    paths = [name for name, _ in model.network.named_modules() if name.endswith(endings)]
    parts = {family.network: paths}
    parts |= dict.fromkeys(family.lora_encoders if lora.text_encoder else (), TEXT_TARGETS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part, names in parts.items():
            config = LoraConfig(
                r=lora.rank,
                lora_alpha=lora.alpha,
                lora_dropout=lora.dropout,
                target_modules=list(names),
                init_lora_weights="gaussian",
            )
            model.parts[part].add_adapter(config, ADAPTER)
    return list(_whole(model).values())


def lora_parameters(model: DiffusionModel) -> dict[str, Parameter]:
    """The adapter's tensors under stable names, the network's first; {} without an adapter."""
    mark = f".{ADAPTER}.weight"
    found: dict[str, Parameter] = {}
    for part in model.family.adapted:
        for name, parameter in cast(torch.nn.Module, model.parts[part]).named_parameters():
            if ".lora_" in name and name.endswith(mark):
                found[f"{part}.{name.removesuffix(mark)}.weight"] = parameter
    return found


def _whole(model: DiffusionModel) -> dict[str, Parameter]:
    """`lora_parameters`, made float32: peft gives them the base's precision, in which AdamW's small
    steps would round to nothing."""
    found = lora_parameters(model)
    for parameter in found.values():
        parameter.data = parameter.data.float()
    return found


def lora_changes(model: DiffusionModel) -> list[tuple[Tensor, Tensor, float, float]]:
    """(A, B, alpha / r, ‖W‖²_F) of each adapted layer, as `training.losses.weight_change` takes
    them; A and B are the very parameters."""
    return [
        (
            layer.lora_A[ADAPTER].weight,
            layer.lora_B[ADAPTER].weight,
            float(layer.scaling[ADAPTER]),
            float(layer.get_base_layer().weight.float().square().sum()),
        )
        for layer in _tuners(model)
    ]


def has_lora(model: DiffusionModel) -> bool:
    """Whether an adapter is attached."""
    return any(True for _ in _tuners(model))


def detach_lora(model: DiffusionModel) -> None:
    """Remove the adapter and its wrappers: the model is the base again. Fine without one."""
    if has_lora(model):
        model.pipeline().unload_lora_weights()


@contextlib.contextmanager
def without_lora(model: DiffusionModel) -> Iterator[None]:
    """Inside, the model predicts as its base does; after, the adapter is back as it was."""
    tuners = list(_tuners(model))
    kept = [(p, p.requires_grad) for p in lora_parameters(model).values()]
    for layer in tuners:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in tuners:
            layer.enable_adapters(True)
        for parameter, trained in kept:
            parameter.requires_grad_(trained)


@contextlib.contextmanager
def merged_lora(model: DiffusionModel) -> Iterator[None]:
    """Inside, the adapter is added into the base's weights, which predicts the same and faster;
    after, those weights are the very tensors they were, so training goes on to the bit.

    Not on a card: there both sets of weights would take twice the memory; nor in half precision,
    which would round the sum."""
    merges = model.device.type == "cpu" and model.dtype == torch.float32
    tuners = [layer for layer in _tuners(model) if merges and not layer.disable_adapters]
    kept = [layer.get_base_layer().weight.data for layer in tuners]
    try:
        with torch.no_grad():
            for layer, weight in zip(tuners, kept, strict=True):
                layer.get_base_layer().weight.data = weight + layer.get_delta_weight(ADAPTER)
                layer.merged_adapters.append(ADAPTER)
        yield
    finally:
        for layer, weight in zip(tuners, kept, strict=True):
            layer.get_base_layer().weight.data = weight
            layer.merged_adapters.clear()


def set_dropout(model: DiffusionModel, on: bool) -> None:
    """Let the adapter drop out, as in training, or not; the layers it sits on stay as they are."""
    for layer in _tuners(model):
        layer.lora_dropout.train(on)


def _tuners(model: DiffusionModel) -> Iterator[Any]:
    """The layers that carry the adapter."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for part in model.family.adapted:
        for layer in model.parts[part].modules():
            if isinstance(layer, BaseTunerLayer):
                yield layer


# -- files -----------------------------------------------------------------------------------


def save_lora(model: DiffusionModel, folder: Path, metadata: Mapping[str, str]) -> Path:
    """Write the adapter as pytorch_lora_weights.safetensors in `folder`, and as kohya.safetensors
    where the family has such a form (see `lora_files`).

    `metadata` may hold "trigger", "licence", "name" and "description"; other keys go into the
    headers as they are. Raises WeightsError without an adapter, StorageError when the disk is full.
    """
    layers = _layers(model)
    if not layers[model.family.network]:
        raise WeightsError("there is no LoRA on the model to save; attach_lora or load_lora first.")
    base = _base_facts(model)
    if has_kohya_form(model.family, layers):
        write_kohya(folder / KOHYA_FILE, layers, base, metadata)
    write_diffusers(folder / DIFFUSERS_FILE, layers, base, metadata)
    return folder


def load_lora(model: DiffusionModel, path: Path, *, trainable: bool = False) -> None:
    """Put the LoRA of a file or folder (either form) on the model, replacing one that is there.

    Raises WeightsError when it is damaged, a pickle, or made for another base or family.
    """
    paths = {part: list(_modules(model, part)) for part in model.family.adapted}
    lora = read_lora(Path(path), paths, _base_facts(model))
    _need_same_base(model, lora)
    detach_lora(model)
    with torch.random.fork_rng(devices=[]):
        for part, layers in lora.layers.items():
            if layers:
                _inject(model, part, layers)
    for parameter in lora_parameters(model).values():
        parameter.requires_grad_(trainable)


def _layers(model: DiffusionModel) -> dict[str, dict[str, Layer]]:
    layers: dict[str, dict[str, Layer]] = {part: {} for part in model.family.adapted}
    parameters = lora_parameters(model)
    for part, modules in layers.items():
        for name, module in _modules(model, part).items():
            down = parameters.get(f"{part}.{_real(model, part, name)}.lora_A.weight")
            if down is not None:
                up = parameters[f"{part}.{_real(model, part, name)}.lora_B.weight"]
                modules[name] = Layer(down.detach(), up.detach(), float(module.lora_alpha[ADAPTER]))
    return layers


def _modules(model: DiffusionModel, part: str) -> dict[str, Any]:
    """Linear and convolution modules (adapted or not) by path, without a text_model prefix."""
    found: dict[str, Any] = {}
    for name, module in cast(torch.nn.Module, model.parts[part]).named_modules():
        plain = ".lora_" not in name and ".base_layer" not in name
        if plain and (hasattr(module, "lora_A") or getattr(module, "weight", None) is not None):
            found[name.removeprefix("text_model.")] = module
    return found


def _real(model: DiffusionModel, part: str, name: str) -> str:
    """The module's path in this version of its library."""
    nested = part.startswith("text_encoder") and hasattr(model.parts[part], "text_model")
    return f"text_model.{name}" if nested else name


def _inject(model: DiffusionModel, part: str, layers: Mapping[str, Layer]) -> None:
    from peft import LoraConfig

    first = next(iter(layers.values()))
    real = {name: _real(model, part, name) for name in layers}
    config = LoraConfig(
        r=first.rank,
        lora_alpha=first.alpha,
        rank_pattern={f"^{real[n]}": x.rank for n, x in layers.items() if x.rank != first.rank},
        alpha_pattern={f"^{real[n]}": x.alpha for n, x in layers.items() if x.alpha != first.alpha},
        target_modules=sorted(real.values()),
    )
    model.parts[part].add_adapter(config, ADAPTER)
    parameters = _whole(model)
    with torch.no_grad():
        for name, layer in layers.items():
            parameters[f"{part}.{real[name]}.lora_A.weight"].copy_(layer.down)
            parameters[f"{part}.{real[name]}.lora_B.weight"].copy_(layer.up)


def _need_same_base(model: DiffusionModel, lora: LoraFile) -> None:
    theirs = lora.header.get("onbrand.base_fingerprint")
    name = lora.base
    if theirs is not None and theirs != model.pack.fingerprint:
        raise WeightsError(
            f"{lora.path} was trained on '{name}' ({theirs}), but the base here is "
            f"'{model.pack.name}' ({model.pack.fingerprint}). Use the base it was trained on."
        )
    for part, layers in lora.layers.items():
        modules = _modules(model, part)
        for path, layer in layers.items():
            module = modules.get(path)
            shape = tuple(module.weight.shape[:2]) if module is not None else None
            if shape != (layer.up.shape[0], layer.down.shape[1]):
                raise WeightsError(
                    f"{lora.path} was trained on '{name}', but the base here is "
                    f"'{model.pack.name}': {part}.{path} is {shape or 'missing'} here and "
                    f"{(layer.up.shape[0], layer.down.shape[1])} there."
                )


def _base_facts(model: DiffusionModel) -> BaseFacts:
    layers = getattr(model.network.config, "layers_per_block", None) or 0
    return BaseFacts(
        name=model.pack.name,
        fingerprint=model.pack.fingerprint,
        family=model.family,
        prediction_type=model.prediction_type,
        num_px=model.num_px,
        text_width=int(getattr(model.network.config, "cross_attention_dim", 0) or 0),
        num_layers=int(layers if isinstance(layers, int) else layers[0]),
    )
