"""What training minimises: pure functions of tensors, no model and no state.

    L = mean_i w(t_i)·‖out_i − target_i‖²                    reconstruction, min-SNR weighted
      + λ_prior · the same over class pictures               prior preservation
      + λ · Σ_i 1[t_i ≤ t_max]·ℓ_i / (Σ_i 1[t_i ≤ t_max] + ε)  what is seen in the decoded x0
      + λ · mean_l ‖ΔW_l‖²_F / ‖W_l‖²_F                      how far the weights may go
      + λ · softplus(−f(x̂0))                                 adversarial, late

The gate exists because the estimate of the clean picture is a blur at high noise: only samples
with t ≤ t_max are decoded at all (ControlNet++, arXiv 2404.07987: 200 of 1000; Ctrl-U: 400).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "attribute_distance",
    "critic_loss",
    "expression_distance",
    "feature_distance",
    "fooling_loss",
    "gated_mean",
    "heat_distance",
    "identity_distance",
    "min_snr_weight",
    "reconstruction",
    "snr_gamma",
    "weight_change",
]


def snr_gamma(asked: float | Literal["auto"] | None, prediction: str) -> float | None:
    """γ of `min_snr_weight` for what the recipe asks: "auto" is 5, the paper's, but None for a
    flow, where it would leave a hundredth of the weight at σ = 0.9; diffusers' examples for Stable
    Diffusion 3 and FLUX weigh all noise alike."""
    if asked == "auto":
        return None if prediction == "flow_prediction" else 5.0
    return asked


def min_snr_weight(snr_b: Tensor, gamma: float | None, prediction: str) -> Tensor:
    """Weight [b] of each sample's squared error: min(SNR, γ) seen from the clean picture.

    min(SNR, γ)/SNR for noise prediction, min(SNR, γ)/(SNR+1) for v (Hang et al., arXiv 2303.09556),
    min(SNR, γ)·σ² for a flow, whose SNR is ((1−σ)/σ)², so that σ = 1/(1+√SNR). `gamma` None weighs
    all alike. SNR 0 (pure noise) gives 0 for v and flow and 1 for noise, the limits of the
    formulas. Raises ValueError for another kind of prediction.
    """
    if gamma is None:
        return torch.ones_like(snr_b)
    least = snr_b.clamp(max=gamma)
    if prediction == "v_prediction":
        return least / (snr_b + 1)
    if prediction == "flow_prediction":
        return least / (1 + snr_b.sqrt()).square()
    if prediction == "epsilon":
        return torch.where(snr_b > 0, least / snr_b.clamp(min=1e-12), torch.ones_like(snr_b))
    raise ValueError(f"no min-SNR weight for a model that predicts {prediction!r}")


def reconstruction(
    output_bchw: Tensor,
    target_bchw: Tensor,
    weight_b: Tensor,
    error: str = "l2",
    focus_b1hw: Tensor | None = None,
) -> Tensor:
    """Weighted mean squared ("l2") or absolute ("l1") error of each sample, [b], in float32.

    `focus_b1hw` says how much each place counts; only its proportions do, so that a sample weighs
    the same with and without.

    Squares punish the few large errors, which are flat areas of a wrong colour; absolute values
    are less afraid of edges (Zhao et al., arXiv 1511.08861).
    """
    gap_bchw = output_bchw.float() - target_bchw.float()
    error_bchw = gap_bchw.abs() if error == "l1" else gap_bchw.square()
    if focus_b1hw is not None:
        error_bchw = error_bchw * (focus_b1hw / focus_b1hw.mean((2, 3), keepdim=True))
    return error_bchw.flatten(1).mean(1) * weight_b


def feature_distance(features: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Perceptual distance [b] between two lists of feature maps [b, c, h, w] or vectors [b, c].

    At each place the channels are scaled to unit length, then the squared differences are summed
    over channels and averaged over places and layers, as LPIPS does without its learned weights
    (Zhang et al., arXiv 1801.03924, eq. 1). 0 for equal maps, at most 4.
    """
    if len(features) != len(targets) or not features:
        raise ValueError(f"{len(features)} feature maps against {len(targets)}")
    layers = []
    for ours, theirs in zip(features, targets, strict=True):
        gap = _unit(ours.float()) - _unit(theirs.float())
        layers.append(
            gap.square().sum(1).flatten(1).mean(1) if gap.ndim > 2 else gap.square().sum(1)
        )
    return torch.stack(layers).mean(0)


def _unit(features: Tensor) -> Tensor:
    return functional.normalize(features, dim=1, eps=1e-6)


def identity_distance(embeddings_bd: Tensor, reference: Tensor) -> Tensor:
    """1 − cosine [b] of each embedding to the brand's reference [d], or to its own [b, d]; all
    L2-normed by their makers."""
    wanted = reference.float().expand_as(embeddings_bd)
    return 1 - functional.cosine_similarity(embeddings_bd.float(), wanted, dim=1)


def gated_mean(values_g: Tensor) -> Tensor:
    """Σℓ / (number of gated samples + 1e-10): 0, with gradient 0, when none passed the gate."""
    return values_g.sum() / (values_g.shape[0] + 1e-10)


def heat_distance(heat_bjhw: Tensor, target_bjhw: Tensor) -> Tensor:
    """Pose: squared difference [b] of joints' heat maps, each joint weighed by how sure the target
    is that it is there, Σ_j c_j·‖h_j − t_j‖² / (Σ_j c_j + 1e-6), c_j = Σ t_j.

    Maps hold the probability of each cell, [b, j, h, w]. They are blurred first (3 × 3, twice), or
    two peaks a cell apart would look as far from each other as two at opposite ends (the reason why
    heat maps are Gaussians at all: Tompson et al., arXiv 1406.2984). 0 for equal maps, at most 2.
    """
    gap = _blurred(heat_bjhw.float()) - _blurred(target_bjhw.float())
    sure_bj = target_bjhw.float().sum((2, 3))
    return (gap.square().sum((2, 3)) * sure_bj).sum(1) / (sure_bj.sum(1) + 1e-6)


def _blurred(maps_bjhw: Tensor) -> Tensor:
    for _ in range(2):
        maps_bjhw = functional.avg_pool2d(maps_bjhw, 3, stride=1, padding=1)
    return maps_bjhw


def expression_distance(logits_bk: Tensor, share_bk: Tensor, there_b: Tensor) -> Tensor:
    """Cross-entropy [b], in nats, of what a face shows against what it should, Σ_k −p_k·log q_k,
    less the entropy of p, so that 0 is in reach; 0, with gradient 0, where there is no face."""
    share_bk = share_bk.float()
    cross = -(share_bk * functional.log_softmax(logits_bk.float(), dim=1)).sum(1)
    least = -(share_bk * share_bk.clamp_min(1e-12).log()).sum(1)
    return (cross - least) * there_b.float()


def attribute_distance(groups: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Cross-entropy [b], in nats, mean over the attributes that are named; 0 where none is.

    A group is an attribute's (logits [b, values], named [b, values]): 1 for the value that is
    named, a row of zeros where the attribute is not.
    """
    off = [
        -(named * functional.log_softmax(logits.float(), dim=1)).sum(1) for logits, named in groups
    ]
    num = torch.stack([named.sum(1) for _, named in groups]).sum(0)
    return torch.stack(off).sum(0) / num.clamp_min(1)


def weight_change(changes: Sequence[tuple[Tensor, Tensor, float, float]]) -> Tensor:
    """Mean over adapted layers of ‖s·B·A‖²_F / ‖W‖²_F: how far they have gone from the base.

    Each is (A [r, in, …], B [out, r, …], s = alpha / r, ‖W‖²_F). ‖B·A‖²_F = tr(BᵀB·AAᵀ) needs no
    product of full size. A convolution's A has its kernel, B is 1 × 1, so the same holds.
    """
    shares = []
    for down, up, scale, size in changes:
        a, b = down.flatten(1), up.flatten(1)
        shares.append(scale**2 * ((b.T @ b) * (a @ a.T)).sum() / size)
    return torch.stack(shares).mean()


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """What a critic minimises: mean softplus(−f(real)) + softplus(f(fake)), the non-saturating GAN
    loss (Goodfellow et al., arXiv 1406.2661) as DMD2 has it (arXiv 2405.14867)."""
    return functional.softplus(-real).mean() + functional.softplus(fake).mean()


def fooling_loss(fake: Tensor) -> Tensor:
    """What a model minimises against a critic: mean softplus(−f(fake)); log 2 where it cannot tell
    the two apart."""
    return functional.softplus(-fake).mean()
