"""The attended way: h + s·Attn(Q, K_id, V_id) beside the words, at every cross-attention.

IP-Adapter (Ye et al., arXiv 2308.06721) as diffusers has it: an embedding becomes a few tokens that
are read through keys and values of their own; the base is not touched. Its file is IP-Adapter's
FaceID form, which plain diffusers loads:

    pipe.load_ip_adapter(FOLDER, subfolder="", weight_name="ip_adapter.safetensors",
                         image_encoder_folder=None)
    pipe(…, ip_adapter_image_embeds=[torch.stack([zeros, identity])[:, None]])
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Parameter

from onbrand.errors import WeightsError
from onbrand.models.adapters import lora_parameters
from onbrand.models.families.conditioning import Conditioning
from onbrand.models.identity.way import IdentityWay
from onbrand.models.quiet import quiet_libraries

if TYPE_CHECKING:
    from onbrand.models.diffusion import DiffusionModel

__all__ = ["AttendedWay", "fresh_state"]

NUM_TOKENS = 8
WIDENING = 2  # of the embedding, inside the projection

State = dict[str, Tensor]
"""Tensors by the names of IP-Adapter's file: image_proj.… and ip_adapter.N.to_k_ip.weight"""


def fresh_state(model: DiffusionModel, embedding_dim: int, *, seed: int = 0) -> State:
    """An untrained adapter: a random projection to NUM_TOKENS tokens, keys and values copied from
    those that read the words, as IP-Adapter begins."""
    width = int(model.network.config.cross_attention_dim)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first = torch.nn.Linear(embedding_dim, WIDENING * embedding_dim)
        last = torch.nn.Linear(WIDENING * embedding_dim, width * NUM_TOKENS)
    state: State = {
        "image_proj.proj.0.weight": first.weight,
        "image_proj.proj.0.bias": first.bias,
        "image_proj.proj.2.weight": last.weight,
        "image_proj.proj.2.bias": last.bias,
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    for number, path in _readers(model):
        words = model.network.get_submodule(path)
        for key in ("k", "v"):
            kept = getattr(words, f"to_{key}")
            weight = getattr(kept, "base_layer", kept).weight  # beneath a LoRA, if there is one
            state[f"ip_adapter.{number}.to_{key}_ip.weight"] = weight
    return {name: tensor.detach().float().cpu().clone() for name, tensor in state.items()}


class AttendedWay(IdentityWay):
    """IP-Adapter on the model's U-Net; its parameters start frozen.

    Raises WeightsError when `state` was made for a base of another shape.
    """

    name = "attended"
    masked = True

    def __init__(self, model: DiffusionModel, state: Mapping[str, Tensor]) -> None:
        super().__init__(model, _embedding_dim(state))
        parts: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
        for name, tensor in state.items():
            part, _, rest = name.partition(".")
            if part not in parts:
                raise WeightsError(f"'{name}' is no tensor of IP-Adapter's form.")
            parts[part][rest] = tensor.to(model.device)
        with quiet_libraries():
            try:
                model.pipeline(reads=False).load_ip_adapter(
                    parts, subfolder="", weight_name="", image_encoder_folder=None,
                    low_cpu_mem_usage=False,
                )  # fmt: skip
            except (KeyError, RuntimeError) as error:
                self.detach()
                model.way = None
                said = str(error).strip().splitlines()[0]
                raise WeightsError(
                    f"this identity adapter does not fit the base '{model.pack.name}': {said}"
                ) from error
        # diffusers gave them the network's precision, in which small steps would round to nothing
        for parameter in (*self.parameters().values(), *lora_parameters(model).values()):
            parameter.data = parameter.data.float()
        self.trainable(False)

    def parameters(self) -> dict[str, Parameter]:
        """See `IdentityWay.parameters`."""
        network = self.model.network
        projection = network.encoder_hid_proj.image_projection_layers[0]
        found = {f"image_proj.{_filed(name)}": p for name, p in projection.named_parameters()}
        for number, path in _readers(self.model):
            processor = network.get_submodule(path).processor
            for key in ("k", "v"):
                weight = getattr(processor, f"to_{key}_ip")[0].weight
                found[f"ip_adapter.{number}.to_{key}_ip.weight"] = weight
        return found

    def detach(self) -> None:
        """See `IdentityWay.detach`."""
        self.model.pipeline(reads=False).unload_ip_adapter()

    def reach(self, conditioning: Conditioning) -> tuple[Conditioning, dict[str, Any]]:
        """See `IdentityWay.reach`."""
        self._weigh(1.0)  # a sampling call leaves its own strength there
        who = self.told(conditioning).to(self.model.device, self.model.dtype)
        return conditioning, {"image_embeds": [who]}

    def reach_pipeline(
        self, positive: Conditioning, negative: Conditioning, guided: bool
    ) -> tuple[Conditioning, Conditioning, dict[str, Any]]:
        """See `IdentityWay.reach_pipeline`."""
        shown, nobody = self.pair(positive, negative)
        both = torch.cat([nobody, shown]) if guided else shown
        more: dict[str, Any] = {"ip_adapter_image_embeds": [both.to(self.model.dtype)]}
        scale: float | list[float] = self.strength
        if self.masks_nhw is not None:
            masks = self.masks_nhw[None].to(self.model.device, self.model.dtype)
            more["cross_attention_kwargs"] = {"ip_adapter_masks": [masks]}
            scale = [self.strength] * len(self.masks_nhw)
        self._weigh(scale)
        return positive, negative, more

    def _weigh(self, scale: float | list[float]) -> None:
        """How strongly identities are shown; a number for each where masks keep them apart."""
        for _, path in _readers(self.model):
            self.model.network.get_submodule(path).processor.scale = [scale]


def _readers(model: DiffusionModel) -> list[tuple[int, str]]:
    """(number in IP-Adapter's file, path) of each cross-attention, in the U-Net's order."""
    paths = [
        name.removesuffix(".processor")
        for name in model.network.attn_processors
        if name.endswith("attn2.processor")
    ]
    return [(2 * place + 1, path) for place, path in enumerate(paths)]


def _filed(name: str) -> str:
    """A projection's parameter as IP-Adapter's file calls it."""
    return name.replace("ff.net.0.proj", "proj.0").replace("ff.net.2", "proj.2")


def _embedding_dim(state: Mapping[str, Tensor]) -> int:
    if "image_proj.proj.0.weight" not in state:
        raise WeightsError("no identity adapter in IP-Adapter's FaceID form: no projection in it.")
    return int(state["image_proj.proj.0.weight"].shape[1])
