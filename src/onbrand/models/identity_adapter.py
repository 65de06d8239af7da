"""The attended way of an identity into a picture: h + s·Attn(Q, K_id, V_id) beside the words.

IP-Adapter (Ye et al., arXiv 2308.06721) as diffusers has it: an embedding becomes a few tokens, and
every cross-attention reads them through keys and values of its own; the base is not touched. The
file is IP-Adapter's FaceID form, which plain diffusers loads:

    pipe.load_ip_adapter(FOLDER, subfolder="", weight_name="ip_adapter.safetensors",
                         image_encoder_folder=None)
    pipe(…, ip_adapter_image_embeds=[torch.stack([zeros, identity])[:, None]])

Zeros stand for nobody: that is what training without an identity showed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import Parameter

from onbrand.errors import PackError, WeightsError
from onbrand.files import write_bytes_atomic, write_json_atomic
from onbrand.models.diffusion import DiffusionModel, quiet_libraries
from onbrand.models.packs import Pack

__all__ = [
    "IDENTITY_FILE",
    "attach_identity",
    "detach_identity",
    "fresh_identity",
    "has_identity",
    "identity_parameters",
    "load_identity_adapter",
    "save_identity",
]

IDENTITY_FILE = "ip_adapter.safetensors"
NUM_TOKENS = 8
WIDENING = 2  # of the embedding, inside the projection

State = dict[str, Tensor]
"""Tensors under the names of IP-Adapter's file: image_proj.… and ip_adapter.N.to_k_ip.weight"""


def fresh_identity(
    model: DiffusionModel, embedding_dim: int, *, num_tokens: int = NUM_TOKENS, seed: int = 0
) -> State:
    """An untrained adapter for embeddings [embedding_dim]: a random projection to `num_tokens`
    tokens, keys and values copied from those that read the words (as IP-Adapter begins)."""
    width = int(model.network.config.cross_attention_dim)
    inner = WIDENING * embedding_dim
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first = torch.nn.Linear(embedding_dim, inner)
        last = torch.nn.Linear(inner, width * num_tokens)
    state = {
        "image_proj.proj.0.weight": first.weight,
        "image_proj.proj.0.bias": first.bias,
        "image_proj.proj.2.weight": last.weight,
        "image_proj.proj.2.bias": last.bias,
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    for number, path in _readers(model):
        words = model.network.get_submodule(path)
        for way in ("k", "v"):
            kept = getattr(words, f"to_{way}")
            weight = getattr(kept, "base_layer", kept).weight  # beneath a LoRA, if there is one
            state[f"ip_adapter.{number}.to_{way}_ip.weight"] = weight
    return {name: tensor.detach().float().clone() for name, tensor in state.items()}


def attach_identity(model: DiffusionModel, state: Mapping[str, Tensor]) -> None:
    """Put the adapter on the model (replacing one that is there); its parameters start frozen.

    Raises WeightsError when it was made for a base of another shape.
    """
    parts: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in state.items():
        part, _, rest = name.partition(".")
        if part not in parts:
            raise WeightsError(f"no identity adapter: '{name}' is no tensor of IP-Adapter's form.")
        parts[part][rest] = tensor
    detach_identity(model)
    with quiet_libraries():
        try:
            model.pipeline().load_ip_adapter(
                parts, subfolder="", weight_name="", image_encoder_folder=None,
                low_cpu_mem_usage=False,
            )  # fmt: skip
        except (KeyError, RuntimeError) as error:
            detach_identity(model)
            said = str(error).strip().splitlines()[0]
            raise WeightsError(
                f"this identity adapter does not fit the base '{model.pack.name}': {said}"
            ) from error
    for parameter in identity_parameters(model).values():
        parameter.requires_grad_(False)


def has_identity(model: DiffusionModel) -> bool:
    """Whether an identity adapter is attached."""
    return getattr(model.network, "encoder_hid_proj", None) is not None


def detach_identity(model: DiffusionModel) -> None:
    """Take the adapter off: the model is as it was before. Fine without one."""
    if has_identity(model):
        model.pipeline().unload_ip_adapter()


def identity_parameters(model: DiffusionModel) -> dict[str, Parameter]:
    """The adapter's tensors by IP-Adapter's names; {} without one."""
    if not has_identity(model):
        return {}
    projection = model.network.encoder_hid_proj.image_projection_layers[0]
    found = {
        f"image_proj.{_filed(name)}": parameter for name, parameter in projection.named_parameters()
    }
    for number, path in _readers(model):
        processor = model.network.get_submodule(path).processor
        for way in ("k", "v"):
            weight = getattr(processor, f"to_{way}_ip")[0].weight
            found[f"ip_adapter.{number}.to_{way}_ip.weight"] = weight
    return found


def save_identity(model: DiffusionModel, folder: Path, facts: Mapping[str, str]) -> Path:
    """Write the adapter in fp16 as ip_adapter.safetensors into `folder`, with a config.json of its
    sizes and `facts`. Returns the file.

    Raises WeightsError without an adapter, StorageError when the disk is full.
    """
    named = identity_parameters(model)
    if not named:
        raise WeightsError("there is no identity adapter on the model to save.")
    half = {name: p.detach().half().cpu().contiguous() for name, p in named.items()}
    path = folder / IDENTITY_FILE
    write_bytes_atomic(path, save(half, metadata={"format": "pt", **facts}))
    sizes = {
        "architectures": ["IPAdapterFaceID"],
        "embedding_dim": half["image_proj.proj.0.weight"].shape[1],
        "num_tokens": len(half["image_proj.proj.2.bias"]) // len(half["image_proj.norm.bias"]),
    }
    write_json_atomic(folder / "config.json", {**sizes, **facts})
    return path


def load_identity_adapter(model: DiffusionModel, pack: Pack) -> None:
    """Put the pack's role `identity_adapter` on the model. It fits its own base only.

    Raises PackError when the pack has none, WeightsError when it is damaged or another base's.
    """
    if "identity_adapter" not in pack.roles:
        raise PackError(
            f"pack '{pack.name}' has no identity adapter: a character cannot be followed from "
            "pictures alone on this base. Train a LoRA, or take a base whose pack.toml names one "
            "under [roles] (the built-in pack does)."
        )
    path = pack.role("identity_adapter") / IDENTITY_FILE
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged or missing: {error}") from error
    attach_identity(model, {name: tensor.to(model.dtype) for name, tensor in state.items()})


def _readers(model: DiffusionModel) -> list[tuple[int, str]]:
    """(number in IP-Adapter's file, path) of each cross-attention, in the U-Net's order."""
    paths: list[str] = [
        name.removesuffix(".processor")
        for name in model.network.attn_processors
        if name.endswith("attn2.processor")
    ]
    return [(2 * place + 1, path) for place, path in enumerate(paths)]


def _filed(name: str) -> str:
    """A projection's parameter as IP-Adapter's file calls it."""
    return name.replace("ff.net.0.proj", "proj.0").replace("ff.net.2", "proj.2")
