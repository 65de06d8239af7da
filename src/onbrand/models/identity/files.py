"""Ways on disk: one safetensors file that names its way, its base, and whom it shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from onbrand.errors import InputError, PackError, WeightsError
from onbrand.files import write_json_atomic
from onbrand.models.identity.attended import AttendedWay, fresh_state
from onbrand.models.identity.modulation import ModulationWay
from onbrand.models.identity.tokens import TokensWay
from onbrand.models.identity.way import IdentityWay, check_network
from onbrand.models.packs import Pack
from onbrand.models.tensors import write_tensors

if TYPE_CHECKING:
    from onbrand.models.diffusion import DiffusionModel

__all__ = [
    "IDENTITY_FILE",
    "check_followed",
    "check_way",
    "load_adapter",
    "load_way",
    "open_way",
    "save_way",
]

IDENTITY_FILE = "ip_adapter.safetensors"
WAY_FILE = "identity.safetensors"
WHO = "who"
WAYS: Mapping[str, type[IdentityWay]] = {
    way.name: way for way in (AttendedWay, TokensWay, ModulationWay)
}


def check_way(pack: Pack, name: str) -> type[IdentityWay]:
    """The way of that name. Nothing is loaded. Raises InputError for no such way, PackError for a
    base that no identity can enter."""
    check_network(pack)
    if name not in WAYS:
        raise InputError(f"no way {name!r} for an identity: there are {', '.join(WAYS)}")
    return WAYS[name]


def check_followed(pack: Pack, checkpoint: Path | None, *, apart: bool) -> None:
    """Refuse, before anything is loaded, identities that could not be shown: through the way in a
    checkpoint's folder, else through the pack's adapter; `apart` says that each has its own place.

    Raises PackError for a base that no identity can enter or that has no adapter, InputError where
    the way keeps none apart or was trained with another encoder than the pack's, WeightsError for a
    damaged file and for a pack's adapter of another encoder.
    """
    header = {} if checkpoint is None else _header(checkpoint / WAY_FILE)
    name = header.get("onbrand.way")
    encoder = pack.role_fingerprint("identity")
    if header.get("onbrand.encoder", encoder) != encoder:
        raise InputError(
            f"the identity's way in {checkpoint} was trained with another encoder "
            f"({header['onbrand.encoder']}) than the one of '{pack.name}' ({encoder}): train again"
        )
    way = check_way(pack, name or AttendedWay.name)
    if name is None:
        _need_adapter(pack)
        path = pack.role("identity_adapter") / IDENTITY_FILE
        _need_encoder(path, _header(path), pack)
    if apart:
        way.need_regions()


def open_way(model: DiffusionModel, name: str, *, embedding_dim: int, seed: int = 0) -> IdentityWay:
    """An untrained way of that name on the model. Raises as `check_way` does."""
    check_way(model.pack, name)
    if name == AttendedWay.name:
        return AttendedWay(model, fresh_state(model, embedding_dim, seed=seed))
    kind = TokensWay if name == TokensWay.name else ModulationWay
    return kind(model, embedding_dim, seed=seed)


def load_adapter(model: DiffusionModel, pack: Pack) -> AttendedWay:
    """The pack's role `identity_adapter` on the model. It fits its own base only.

    Raises PackError when the pack has none, WeightsError when it is damaged, or says that it was
    made for another base or another identity encoder than the pack's.
    """
    _need_adapter(pack)
    path = pack.role("identity_adapter") / IDENTITY_FILE
    header = _header(path)
    _need_base(path, header.get("onbrand.base_fingerprint", model.pack.fingerprint), model)
    _need_encoder(path, header, pack)
    return AttendedWay(model, _read(path))


def save_way(model: DiffusionModel, folder: Path, facts: Mapping[str, str]) -> Path:
    """Write the model's way, and whom it shows, as identity.safetensors into `folder`, `facts` in
    its header; the attended one also in fp16 as ip_adapter.safetensors with a config.json, which
    plain diffusers and packs read. Raises WeightsError without a way, StorageError."""
    way = model.way
    if way is None:
        raise WeightsError("there is no identity on the model to save.")
    tensors: dict[str, Tensor] = dict(way.parameters())
    base = {"format": "pt", "onbrand.base_fingerprint": model.pack.fingerprint, **facts}
    if encoder := model.pack.role_fingerprints(["identity"]):
        base["onbrand.encoder"] = encoder["identity"]
    if isinstance(way, AttendedWay):
        write_tensors(folder / IDENTITY_FILE, tensors, base, torch.float16)
        about = {"architectures": ["IPAdapterFaceID"], "embedding_dim": way.embedding_dim}
        write_json_atomic(folder / "config.json", {**about, **facts})
    if way.who_nd is not None:
        tensors[WHO] = way.who_nd
    return write_tensors(folder / WAY_FILE, tensors, {**base, "onbrand.way": way.name})


def load_way(model: DiffusionModel, folder: Path) -> IdentityWay | None:
    """The way that `save_way` wrote into the folder, on the model and showing whom it showed; None
    where there is none. Raises WeightsError when it is damaged or was made for another base."""
    path = folder / WAY_FILE
    if not path.is_file():
        return None
    state, header = _read(path), _header(path)
    _need_base(path, header.get("onbrand.base_fingerprint", ""), model)
    who = state.pop(WHO, None)
    name = header.get("onbrand.way", "")
    if name == AttendedWay.name:
        way: IdentityWay = AttendedWay(model, state)
    else:
        first = next(tensor for tensor in state.values() if tensor.ndim == 2)
        way = open_way(model, name, embedding_dim=first.shape[1])
        way.copy_(state)
    way.trainable(False)
    way.show(who)
    return way


def _need_base(path: Path, theirs: str, model: DiffusionModel) -> None:
    if theirs != model.pack.fingerprint:
        raise WeightsError(
            f"{path} was made on another base ({theirs}) than '{model.pack.name}' "
            f"({model.pack.fingerprint}). Use the base it was trained on."
        )


def _need_encoder(path: Path, header: Mapping[str, str], pack: Pack) -> None:
    """Raise WeightsError where the adapter's header names another encoder than the pack's."""
    theirs = header.get("onbrand.encoder")
    if theirs and theirs != (ours := pack.role_fingerprint("identity")):
        raise WeightsError(
            f"{path} was told by another identity encoder ({theirs}) than the one of "
            f"'{pack.name}' ({ours}). Put the encoder it was trained with beside it, or train it "
            "again with this one."
        )


def _need_adapter(pack: Pack) -> None:
    if "identity_adapter" not in pack.roles:
        raise PackError(
            f"pack '{pack.name}' has no identity adapter: a character cannot be followed from "
            "pictures alone on this base. Train a LoRA, or take a base whose pack.toml names one "
            "under [roles] (the built-in pack does)."
        )


def _header(path: Path) -> dict[str, str]:
    """What the file tells of itself; {} where there is none."""
    if not path.is_file():
        return {}
    try:
        with safe_open(str(path), "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged: {error}") from error


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged or missing: {error}") from error
