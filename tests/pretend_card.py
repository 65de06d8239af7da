"""A graphics card that is not there: what is sent to it stays in memory and is remembered.

As on a real one, an operation on tensors of which some were sent and some were not raises, unless
those have no dimension; so does reading a tensor of the card as an array. It cannot show what a
card's kernels do, nor what Python does not call (C++ inside an operation).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["PretendCard"]

CARD = torch.device("cuda:0")
_MOVES = {Tensor.to, Tensor.cuda}
_MIXED = {Tensor.copy_, Tensor.data.__set__, Tensor.to, Tensor.type_as, Tensor.set_,
          torch._has_compatible_shallow_copy_type}  # fmt: skip
_READS = {Tensor.numpy, Tensor.__array__}
_SENT = WeakTensorKeyDictionary()


class PretendCard(TorchFunctionMode):
    """Inside, "cuda" can be sent to."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch._C._nn._parse_to:  # what Module.to was asked for
            return func(*args, **kwargs)
        if func == Tensor.device.__get__:
            return CARD if sent(args[0]) else func(*args)
        if func == Tensor.is_cuda.__get__:
            return sent(args[0])
        if func == Tensor.is_cpu.__get__:
            return not sent(args[0])
        if func is Tensor.cpu or (func in _MOVES and goal(args, kwargs) is not None):
            to = torch.device("cpu") if func is Tensor.cpu else goal(args, kwargs)
            return moved(func, args, kwargs, to)
        given = list(tensors((args, kwargs)))
        if func in _READS and sent(args[0]):
            raise TypeError("can't convert a tensor of the card to numpy: copy it to host memory")
        device = kwargs.get("device")
        if device is not None and torch.device(device).type == "cuda":
            if kwargs.get("generator") is not None:
                raise RuntimeError(f"{func}: a generator of the processor for a tensor of the card")
            kwargs["device"] = "cpu"
            return marked(func(*args, **kwargs), True)
        where = {sent(t) for t in given if t.ndim}
        indexed = func is Tensor.__getitem__ and sent(args[0])  # by indices from anywhere
        if len(where) > 1 and func not in _MIXED and not indexed:
            raise RuntimeError(f"{func}: tensors of the card and of the processor")
        made = func(*args, **kwargs)
        if func == Tensor.data.__set__:
            marked(args[0], sent(args[1]))
        elif func is Tensor.copy_:
            pass  # it stays where it is
        elif any(sent(t) for t in given):
            marked(made, True)
        return made


def sent(tensor: Tensor) -> bool:
    """Whether it is on the card."""
    return tensor in _SENT


def marked(made: Any, on_card: bool) -> Any:
    """The result, its tensors marked."""
    for tensor in tensors(made):
        if on_card:
            _SENT[tensor] = True
        else:
            _SENT.pop(tensor, None)
    return made


def goal(args: Any, kwargs: Any) -> torch.device | None:
    """The device that a call of `to` or `cuda` names, or that of the tensor it is likened to."""
    for value in (*args[1:], *kwargs.values()):
        if isinstance(value, torch.device):
            return value
        if isinstance(value, str):
            return torch.device(value)
        if isinstance(value, Tensor):
            return CARD if sent(value) else torch.device("cpu")
    return None


def moved(func: Any, args: Any, kwargs: Any, to: torch.device) -> Tensor:
    """A tensor of its own where it was somewhere else, as a real move makes."""

    def here(value: Any) -> Any:
        if isinstance(value, torch.device | str):
            return torch.device("cpu")
        return value

    args = [args[0], *(here(value) for value in args[1:])]
    made: Tensor = func(*args, **{name: here(value) for name, value in kwargs.items()})
    if sent(args[0]) != (to.type == "cuda") and made is args[0]:
        made = made.clone()
    marked(made, to.type == "cuda")
    return made


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested containers."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from tensors(one)
    elif isinstance(value, list | tuple | set):
        for one in value:
            yield from tensors(one)
