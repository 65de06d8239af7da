"""What the three ways share: whom to show, and where in the network's arguments that goes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Parameter

from onbrand.errors import InputError, PackError
from onbrand.models.families.conditioning import Conditioning

if TYPE_CHECKING:
    from onbrand.models.diffusion import DiffusionModel
    from onbrand.models.packs import Pack

__all__ = ["IdentityWay", "check_network", "detach_identity"]


class IdentityWay(ABC):
    """One way on one model. Identities are unit vectors [d] of the role `identity`; zeros stand for
    nobody, which is what a prompt without an identity and every negative prompt are told.
    """

    name: ClassVar[str]
    masked: ClassVar[bool] = False
    """Whether it can keep each of several identities to its own region or window."""

    def __init__(self, model: DiffusionModel, embedding_dim: int) -> None:
        check_network(model.pack)
        detach_identity(model)
        self.model = model
        self.embedding_dim = embedding_dim
        self.who_nd: Tensor | None = None
        self.masks_nhw: Tensor | None = None
        self.strength = 1.0
        model.way = self

    # -- whom ----------------------------------------------------------------------------------

    def show(
        self, who_nd: Tensor | None, *, masks_nhw: Tensor | None = None, strength: float = 1.0
    ) -> None:
        """From now on sampling shows these identities [n, d] (None: nobody), each in its region
        (masks in [0, 1] of the picture's size) where masks are given, so strongly. Several without
        masks stand side by side (identity/windows.py).

        Raises InputError for another encoder's vectors, another number of masks, and masks or
        several identities where this way keeps none apart.
        """
        if who_nd is not None and who_nd.shape[-1] != self.embedding_dim:
            raise InputError(
                f"the identity has {who_nd.shape[-1]} numbers, this adapter reads "
                f"{self.embedding_dim}: it was made by another encoder. Make it anew with the pack "
                f"'{self.model.pack.name}'."
            )
        num = 0 if who_nd is None else len(who_nd)
        if masks_nhw is not None or num > 1:
            self.need_regions()
        if num > 1 and masks_nhw is not None and len(masks_nhw) != num:
            raise InputError(
                f"{num} identities need a region each, there are {len(masks_nhw)}: they mix."
            )
        self.who_nd, self.masks_nhw, self.strength = who_nd, masks_nhw, strength

    @classmethod
    def need_regions(cls) -> None:
        """Raise InputError where this way keeps no identities apart."""
        if not cls.masked:
            raise InputError(
                f"the way '{cls.name}' knows no regions: it shows one identity, everywhere. "
                "'attended' keeps several apart."
            )

    @property
    def num_windows(self) -> int:
        """How many identities stand side by side, each in a window of its own."""
        apart = self.who_nd is not None and self.masks_nhw is None
        return len(self.who_nd) if apart and self.who_nd is not None else 1

    def told(self, conditioning: Conditioning) -> Tensor:
        """The identities [b, n, d] of these rows: their own, else nobody."""
        if conditioning.identity is not None:
            return conditioning.identity
        return conditioning.tokens.new_zeros(len(conditioning), 1, self.embedding_dim)

    def pair(self, positive: Conditioning, negative: Conditioning) -> tuple[Tensor, Tensor]:
        """Identities [b, n, d] of a pipeline's prompts, whom it shows, and of its negative ones."""
        shown = self.told(positive)
        if positive.identity is None and self.who_nd is not None:
            who = self.who_nd.to(positive.tokens)
            shown = who.expand(len(positive), *who.shape)
        return shown, torch.zeros_like(shown)

    # -- where it goes ---------------------------------------------------------------------------

    @abstractmethod
    def parameters(self) -> dict[str, Parameter]:
        """Its tensors under the names of its file."""

    @abstractmethod
    def detach(self) -> None:
        """Take it off the network."""

    def reach(self, conditioning: Conditioning) -> tuple[Conditioning, dict[str, Any]]:
        """(what the network is told, more of its `added_cond_kwargs`) for a training step."""
        return conditioning, {}

    def reach_pipeline(
        self, positive: Conditioning, negative: Conditioning, guided: bool
    ) -> tuple[Conditioning, Conditioning, dict[str, Any]]:
        """(prompts, negative prompts, more of the pipeline's arguments) for a sampling call;
        `guided` says whether it runs both through the network at once."""
        return positive, negative, {}

    def trainable(self, on: bool) -> None:
        """Let its parameters learn, or freeze them."""
        for parameter in self.parameters().values():
            parameter.requires_grad_(on)

    @torch.no_grad()
    def copy_(self, state: Mapping[str, Tensor]) -> None:
        """Take these tensors as parameters. Raises KeyError when one is missing."""
        for name, parameter in self.parameters().items():
            parameter.copy_(state[name])


def check_network(pack: Pack) -> None:
    """Raise PackError for a base into whose network no identity can enter. Nothing is loaded."""
    if pack.family.network != "unet":
        raise PackError(
            f"pack '{pack.name}' is {pack.family.title}: an identity enters U-Nets only "
            "(Stable Diffusion 1.x, 2.x and XL) in this version. Train a LoRA without one."
        )


def with_tokens(conditioning: Conditioning, more_bsd: Tensor) -> Conditioning:
    """The prompts with more tokens [b, s, dim] after theirs."""
    tokens = torch.cat([conditioning.tokens, more_bsd.to(conditioning.tokens)], dim=1)
    return replace(conditioning, tokens=tokens)


def detach_identity(model: DiffusionModel) -> None:
    """Take the way off the model, which is then as it was before. Fine without one."""
    if model.way is not None:
        model.way.detach()
        model.way = None
