"""The load test: exported files in plain diffusers give what the model in memory gives, or else
what our own reader makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from onbrand.errors import WeightsError
from onbrand.models.adapters import detach_lora, load_lora
from onbrand.models.diffusion import DiffusionModel
from onbrand.models.identity import IDENTITY_FILE, detach_identity, load_way
from onbrand.models.lora_files import DIFFUSERS_FILE, KOHYA_FILE
from onbrand.models.quiet import quiet_libraries

__all__ = ["check_export", "exported"]

LARGEST_DIFFERENCE = 1e-4
PROBE = "a red fox waving"
PROBE_SIDE = 16
"""Latents: a wrong layer shows in each of them, and a large base's own many take long."""


def exported(folder: Path) -> list[Path]:
    """The files there that others may load."""
    names = (DIFFUSERS_FILE, KOHYA_FILE, IDENTITY_FILE)
    return [folder / name for name in names if (folder / name).is_file()]


@torch.no_grad()
def check_export(
    folder: Path, plain: DiffusionModel, *, model: DiffusionModel | None = None
) -> dict[str, float]:
    """Load the files of `folder` in plain diffusers and compare with the model in memory.

    Compares embeddings and network outputs for a prompt on seeded noise; returns the largest
    absolute difference per file name. `plain` is the bare base, on the processor and in float32,
    and is bare again afterwards. For a model that is elsewhere, or not in float32, stands that base
    with the diffusers file on it, as `load_lora` reads it; for the identity adapter, where there is
    one, the way that was trained, rounded as the file is. Raises WeightsError when a difference
    reaches 1e-4 or a file does not load.
    """
    if model is None or model.dtype != torch.float32 or model.device.type != "cpu":
        load_lora(plain, folder / DIFFUSERS_FILE)
        ours = _probe(plain)
        detach_lora(plain)
    else:
        ours = _probe(model)
    differences: dict[str, float] = {}
    for name in (DIFFUSERS_FILE, KOHYA_FILE):
        if name == KOHYA_FILE and not (folder / name).is_file():
            continue  # families without that form
        _by_diffusers(plain, folder / name)
        differences[name] = _apart(ours, _probe(plain))
        detach_lora(plain)
    if (folder / IDENTITY_FILE).is_file():
        differences[IDENTITY_FILE] = _check_identity(folder, plain)
    worst = max(differences, key=differences.__getitem__)
    if not differences[worst] < LARGEST_DIFFERENCE:
        raise WeightsError(
            f"{folder / worst} does not give what was trained: outputs differ by "
            f"{differences[worst]:.2g}, at most {LARGEST_DIFFERENCE:g} is allowed."
        )
    return differences


def _check_identity(folder: Path, plain: DiffusionModel) -> float:
    """The largest difference of IP-Adapter's file in plain diffusers, shown whom it was trained to
    show, from our way with that file's precision."""
    way = load_way(plain, folder)
    if way is None or way.who_nd is None:
        raise WeightsError(f"{folder / IDENTITY_FILE} lies without the way that it was made of.")
    who = way.who_nd.float()[None]
    for parameter in way.parameters().values():
        parameter.copy_(parameter.half().float())
    ours = _probe(plain, who)
    detach_identity(plain)
    _by_diffusers(plain, folder / IDENTITY_FILE)
    theirs = _probe(plain, told_by_hand=who)
    plain.pipeline(reads=False).unload_ip_adapter()
    return _apart(ours, theirs)


def _by_diffusers(plain: DiffusionModel, file: Path) -> None:
    """Put the file on the base as somebody without onbrand would."""
    pipe = plain.pipeline()
    with quiet_libraries():
        try:
            if file.name == IDENTITY_FILE:
                pipe.load_ip_adapter(
                    str(file.parent), subfolder="", weight_name=file.name,
                    image_encoder_folder=None, low_cpu_mem_usage=False,
                )  # fmt: skip
            else:
                pipe.load_lora_weights(str(file.parent), weight_name=file.name)
        except Exception as error:  # diffusers and peft raise many classes for a bad file
            raise WeightsError(f"diffusers cannot load {file}: {error}") from error
    for module in plain.modules():
        module.eval()


def _probe(
    model: DiffusionModel, who_bnd: Tensor | None = None, told_by_hand: Tensor | None = None
) -> list[Tensor]:
    """Embeddings of a prompt and the network's output on seeded noise at a middle timestep; of an
    identity that our way shows, or that the network is handed as a plain pipeline does it."""
    side = min(PROBE_SIDE, model.num_px // model.vae_factor)
    shape = (1, model.num_latent_channels, side, side)
    x_t = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(0))
    told = replace(model.encode_prompts([PROBE]), identity=who_bnd)

    def hand(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        more = named.get("added_cond_kwargs") or {}
        return given, {**named, "added_cond_kwargs": {**more, "image_embeds": [told_by_hand]}}

    hooks = []
    if told_by_hand is not None:
        hooks.append(model.network.register_forward_pre_hook(hand, with_kwargs=True))
    output = model.predict(x_t, torch.tensor([model.num_timesteps // 2]), told)
    for hook in hooks:
        hook.remove()
    seen = [told.tokens, output] if told.pooled is None else [told.tokens, told.pooled, output]
    return [tensor.float() for tensor in seen]


def _apart(ours: list[Tensor], theirs: list[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))
