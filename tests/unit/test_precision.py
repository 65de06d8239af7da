"""Mixed precision on a processor: quicker than autocast alone, and the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from tiny_families import FAMILY_NAMES, drawn
from torch import Tensor, nn

from onbrand.models import Pack
from onbrand.models.adapters import attach_lora, lora_parameters
from onbrand.models.diffusion import load_diffusion
from onbrand.recipe import LoraSettings
from onbrand.training.precision import ExactAttention, LowWeights


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_frozen_weights_are_rounded_once(family_pack: Callable[[str], Pack], name: str) -> None:
    """Output and gradients are to the bit what autocast alone makes of every family with a LoRA;
    inside hardly a weight is left for it to round, after all are the very parameters they were."""
    model = load_diffusion(family_pack(name), dtype="float32")
    attach_lora(model, LoraSettings(rank=2, targets="all"), seed=1)
    trained = lora_parameters(model).values()
    for parameter in trained:
        parameter.data.add_(0.1)
    with torch.no_grad():
        told = model.encode_prompts(["a red fox", "a cat"])
    times = torch.tensor([30, 870])
    low = LowWeights(model.network, torch.bfloat16)
    before = dict(model.network.named_parameters())

    def step(*, once: bool) -> tuple[Tensor, list[Tensor]]:
        for parameter in trained:
            parameter.grad = None
        with torch.autocast("cpu", torch.bfloat16), low() if once else nullcontext():
            output = model.predict(drawn(model, 0), times, told)
        output.float().square().mean().backward()
        return output.detach(), [p.grad for p in trained if p.grad is not None]

    output, gradients = step(once=True)
    alone, theirs = step(once=False)
    assert torch.equal(output, alone)
    assert len(gradients) == len(theirs) > 0
    assert all(torch.equal(a, b) for a, b in zip(gradients, theirs, strict=True))
    after = dict(model.network.named_parameters())
    assert list(after) == list(before)
    assert all(after[key] is before[key] for key in before)
    with low():
        rounded = sum(p.numel() for p in model.network.parameters() if p.dtype == torch.bfloat16)
    assert rounded > 0.9 * sum(p.numel() for p in before.values() if not p.requires_grad)
    assert model.dtype == torch.float32


def test_attention_is_exact_within_mixed_precision() -> None:
    """Under bfloat16 autocast attention comes out as in float32, to the bit, gradients included;
    other layers stay in bfloat16; without it the rounding shows."""
    make = torch.Generator().manual_seed(3)
    layer = nn.Linear(24, 24)
    x = torch.randn(2, 2, 40, 24, generator=make)

    def attend(exact: bool) -> tuple[Tensor, Tensor, torch.dtype]:
        query = x.clone().requires_grad_()
        context = ExactAttention() if exact else nullcontext()
        with torch.autocast("cpu", torch.bfloat16), context:
            hidden = layer(x).detach()
            out = nn.functional.scaled_dot_product_attention(query, query, value=x, attn_mask=None)
        out.float().square().mean().backward()
        return out.detach(), query.grad, hidden.dtype

    query = x.clone().requires_grad_()
    whole = nn.functional.scaled_dot_product_attention(query, query, x)
    whole.square().mean().backward()
    out, grad, dtype = attend(exact=True)
    assert dtype == torch.bfloat16
    assert torch.equal(out, whole.detach())
    assert torch.equal(grad, query.grad)
    assert not torch.equal(attend(exact=False)[0].float(), whole.detach())
