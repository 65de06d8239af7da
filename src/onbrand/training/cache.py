"""What training computes once: tensors on disk keyed by the content that they were made from.

A key holds the picture's content hash, the size, the fingerprint of what encodes it and the
settings of its augmentation. Nothing is ever looked up by a file's name or date, so an edited
picture or another base can never meet stale latents (kohya_ss issue 1629).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional

from onbrand.artifacts.dataset import Asset, Dataset
from onbrand.brief import Brief
from onbrand.errors import DatasetError
from onbrand.events import Advanced, Finished, Listener, Started, silent
from onbrand.files import write_bytes_atomic
from onbrand.models.device import pictures_at_once
from onbrand.models.readers import set_readers_aside
from onbrand.recipe import Augment
from onbrand.training import augment as augmentation

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from onbrand.models.diffusion import Conditioning, DiffusionModel
    from onbrand.training.focus import Heads

__all__ = [
    "ENCODING",
    "Examples",
    "Store",
    "Texts",
    "brand_examples",
    "encoder_fingerprint",
    "in_order",
    "module_fingerprint",
    "to_pixels",
]


ENCODING = "encoding pictures"


class Store:
    """A folder of safetensors files, one per key; damaged or missing ones are made again."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def path(self, kind: str, facts: Mapping[str, object], ending: str = ".safetensors") -> Path:
        """Where the thing of this kind, made from these facts, lies (or would lie)."""
        text = json.dumps(facts, sort_keys=True, ensure_ascii=False)
        return self.folder / kind / (hashlib.sha256(text.encode()).hexdigest()[:24] + ending)

    def tensors(
        self, kind: str, facts: Mapping[str, object], make: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """The tensors of `kind` for these facts (JSON values), from disk or from `make`.

        Raises StorageError when what was made cannot be written.
        """
        path = self.path(kind, facts)
        if path.exists():
            try:
                return dict(load_file(path))
            except SafetensorError:
                path.unlink()
        made = {name: tensor.detach().contiguous() for name, tensor in make().items()}
        write_bytes_atomic(path, save(made))
        return made


def module_fingerprint(*modules: torch.nn.Module) -> str:
    """Hash of all weights of the modules, 16 hex digits; independent of where they came from."""
    digest = hashlib.blake2b(digest_size=8)
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()


def encoder_fingerprint(model: DiffusionModel) -> str:
    """Of what makes a picture latents: the autoencoder's weights, and their shift and factor."""
    return f"{module_fingerprint(model.vae)} {model.latent_scale}"


def to_pixels(pictures: Sequence[Image.Image | NDArray[np.uint8]]) -> Tensor:
    """Pictures of one size, RGB, as [b, 3, h, w] float32 in [-1, 1]."""
    stacked = np.stack([np.array(p, dtype=np.uint8) for p in pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1


def encode(model: DiffusionModel, pictures: Sequence[Image.Image | NDArray[np.uint8]]) -> Tensor:
    """Scaled latents [b, c, h, w] of the pictures, in fixed batches; kept on the processor."""
    num = pictures_at_once(_side_px(pictures[0]))
    with torch.no_grad():
        parts = [
            model.encode_pixels(to_pixels(pictures[i : i + num]))
            for i in range(0, len(pictures), num)
        ]
    return torch.cat(parts).float().cpu()


def _side_px(picture: Image.Image | NDArray[np.uint8]) -> int:
    return int(np.asarray(picture).shape[0])


class Texts:
    """What the network is told of prompts. Each is encoded once and alone while the text encoders
    are frozen."""

    def __init__(self, model: DiffusionModel, *, frozen: bool) -> None:
        self._model = model
        self._frozen = frozen
        self._known: dict[str, Conditioning] = {}

    def embed(self, prompts: Sequence[str]) -> Conditioning:
        """A row per prompt, float32; with a gradient when the text encoders are being trained."""
        from onbrand.models.diffusion import Conditioning

        if not self._frozen:
            return self._model.encode_prompts(list(prompts))
        self.read(prompts)
        return Conditioning.stack([self._known[prompt] for prompt in prompts])

    def read(self, prompts: Iterable[str]) -> None:
        """Encode those that are to come, after which frozen text encoders leave a card."""
        unread = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._known]
        if not self._frozen or not unread:
            return
        with torch.no_grad():
            for prompt in unread:
                told = self._model.encode_prompts([prompt])
                self._known[prompt] = told.to(dtype=torch.float32)
        set_readers_aside(self._model)


@dataclass(frozen=True, slots=True)
class Examples:
    """Encoded pictures with their prompts: `latents[picture]` is [variants, c, h, w] float32,
    `prompts[picture][variant]` a string, `names[picture]` what an error calls it;
    `heads[picture]` [variants, 1, h, w] in [0, 1] is where the head is, if somebody looked."""

    names: tuple[str, ...]
    latents: tuple[Tensor, ...]
    prompts: tuple[tuple[str, ...], ...]
    heads: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        return len(self.names)


def brand_examples(
    dataset: Dataset,
    brief: Brief,
    model: DiffusionModel,
    store: Store,
    *,
    augment: Augment,
    num_variants: int,
    size_px: int,
    seed: int,
    only: Sequence[str] = (),
    prompt: str | None = None,
    heads: Heads | None = None,
    emit: Listener = silent,
) -> Examples:
    """The training pictures (with a tag of `only`) in `num_variants` variants each, encoded by the
    base's VAE.

    `prompt` replaces every caption (the baseline has one for all pictures); without it a picture's
    prompt is the brief's, with its caption and, for cut-outs, the background it was laid on.
    `heads` looks for them. What is not in the store yet takes a while, which `emit` hears of.
    """
    encoder = encoder_fingerprint(model)
    known = augmentation.known_backdrops(model.unseen_words)
    latents: list[Tensor] = []
    masks: list[Tensor] = []
    prompts: list[tuple[str, ...]] = []
    assets = in_order(dataset, only)
    told_of = _Encoding(len(assets), emit)
    for asset in assets:
        backdrops = None if not asset.has_alpha else (known if prompt is None else known[:1])
        moves = augmentation.moves(asset.key, augment, num_variants, seed=seed, backdrops=backdrops)
        facts = {
            "picture": asset.key,
            "size_px": size_px,
            "encoder": encoder,
            "moves": [repr(move) for move in moves],
            "version": augmentation.VERSION,
        }
        told_of.begin(store.path("latents", facts).exists())
        variants = partial(_variants, dataset, asset, moves, size_px)
        make = partial(_encoded, model, variants)
        latents.append(store.tensors("latents", facts, make)["latents"])
        if heads is not None:
            height, width = latents[-1].shape[-2:]
            size = (height, width)
            seen = {**facts, "parser": heads.fingerprint, "latent_size": list(size)}
            make = partial(_heads, heads, variants, size)
            masks.append(store.tensors("heads", seen, make)["heads"])
        told_of.advance()
        told = [augmentation.caption_on(asset.caption, move.backdrop) for move in moves]
        prompts.append(tuple(prompt if prompt is not None else brief.prompt(text) for text in told))
    told_of.finish()
    names = tuple(a.source for a in assets)
    return Examples(names, tuple(latents), tuple(prompts), tuple(masks))


class _Encoding:
    """Tells of the work from the first picture on that is not kept from before; else of nothing."""

    def __init__(self, num: int, emit: Listener) -> None:
        self._num, self._emit, self._done = num, emit, 0
        self._began: float | None = None
        self._num_kept = 0

    def begin(self, is_kept: bool) -> None:
        """A picture is next."""
        if self._began is None and not is_kept:
            self._began, self._num_kept = time.monotonic(), self._done
            self._emit(Started(ENCODING, self._num, "pictures"))

    def advance(self) -> None:
        """It is done."""
        self._done += 1
        if self._began is not None:
            self._emit(Advanced(ENCODING, self._done))

    def finish(self) -> None:
        """All are. `pictures` counts those that took `seconds`."""
        if self._began is not None:
            made, took = self._done - self._num_kept, time.monotonic() - self._began
            self._emit(Finished(ENCODING, {"pictures": made, "seconds": round(took, 2)}))


def in_order(dataset: Dataset, only: Sequence[str] = ()) -> list[Asset]:
    """The training pictures by content: renaming a file changes no run.

    `only` keeps those with one of these tags; "pose" stands for any pose. Raises DatasetError
    when none is left.
    """
    kept = [
        asset
        for asset in sorted(dataset.train, key=lambda asset: (asset.key, asset.caption))
        if not only or any(tag in only or tag.partition(":")[0] in only for tag in asset.tags)
    ]
    if only and not kept:
        there = sorted({tag for asset in dataset.train for tag in asset.tags})
        raise DatasetError(
            f"no training picture of {dataset.root} has a tag of {', '.join(only)}; their captions "
            f"tell {', '.join(there) or 'nothing'}. Change `only`, or tell it in the captions."
        )
    return kept


def _variants(
    dataset: Dataset, asset: Asset, moves: Sequence[augmentation.Move], size_px: int
) -> list[NDArray[np.uint8]]:
    image, alpha = dataset.open(asset), dataset.alpha(asset)
    return [augmentation.draw(image, alpha, move, size_px) for move in moves]


def _encoded(
    model: DiffusionModel, variants: Callable[[], list[NDArray[np.uint8]]]
) -> dict[str, Tensor]:
    return {"latents": encode(model, variants())}


def _heads(
    heads: Heads, variants: Callable[[], list[NDArray[np.uint8]]], size: tuple[int, int]
) -> dict[str, Tensor]:
    """How sure it is that a head is there, averaged over the pixels of each latent place."""
    shown = to_pixels(variants())
    parts = [heads(part) for part in shown.split(pictures_at_once(shown.shape[-1]))]
    return {"heads": functional.adaptive_avg_pool2d(torch.cat(parts), size)}
