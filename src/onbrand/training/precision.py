"""In which arithmetic the heavy layers of a training step run; weights and sums stay float32."""

from __future__ import annotations

import torch

from onbrand.recipe import Precision

__all__ = ["mixed"]


def mixed(device: torch.device | str, precision: Precision = "auto") -> torch.autocast:
    """Mixed precision for forward and loss (Micikevicius et al., arXiv 1710.03740).

    "auto" is bfloat16 where the hardware multiplies it (CUDA from Ampere on, CPUs with AVX512-BF16
    or AMX) and float32 elsewhere. bfloat16 has float32's range; "float16" has not, so the engine
    scales the loss for it.
    """
    kind = torch.device(device).type
    on = precision in ("bfloat16", "float16")
    on = on or (precision == "auto" and _multiplies_bfloat16(kind))
    low = torch.float16 if precision == "float16" else torch.bfloat16
    return torch.autocast(kind, low, enabled=on)


def _multiplies_bfloat16(kind: str) -> bool:
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind != "cpu":
        return False
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16"))
