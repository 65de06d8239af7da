"""Timesteps are functions of (seed, step), and come where the density says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_density_for_timestep_sampling

from onbrand.training.noise_levels import NoiseLevels, logit_normal

T = 1000
BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, T, dtype=torch.float64) ** 2
ALPHAS = (1 - BETAS).cumprod(0)  # Stable Diffusion's
SNR = ALPHAS / (1 - ALPHAS)


@pytest.mark.parametrize("step", [0, 1, 17])
def test_stratified_draws_cover_the_noise(step: int) -> None:
    """One noise level from each equal share of the schedule."""
    levels = sorted(NoiseLevels.uniform(T).draw(3, step, 8).tolist())
    gaps = np.diff([*levels, levels[0] + T])
    assert min(gaps) >= 124
    assert max(gaps) <= 126


def test_independent_draws_spread_over_the_whole_schedule() -> None:
    """DreamBooth's draws are uniform: mean near the middle, both ends reached."""
    levels = NoiseLevels.uniform(T, stratified=False)
    drawn = torch.cat([levels.draw(3, s, 8) for s in range(200)])
    assert abs(drawn.float().mean().item() - 500) < 30
    assert drawn.min() < 20
    assert drawn.max() > 980


@pytest.mark.parametrize("sampling", ["uniform", "logit_normal"])
@pytest.mark.parametrize(("seed", "step"), [(0, 0), (7, 1), (7, 12_345), (2**31 - 1, 3)])
def test_a_draw_is_a_function_of_seed_and_step(seed: int, step: int, sampling: str) -> None:
    """Whatever was drawn before, and always within the schedule."""
    levels = NoiseLevels.named(sampling, SNR)
    drawn = levels.draw(seed, step, 8)
    levels.draw(seed, step + 1, 8)
    assert torch.equal(drawn, levels.draw(seed, step, 8))
    assert int(drawn.min()) >= 0
    assert int(drawn.max()) < T


def test_logit_normal_is_what_its_paper_says() -> None:
    """On rectified flow's own schedule (SNR = ((1-t)/t)^2) it is the logit-normal of t."""
    t = (torch.arange(T, dtype=torch.float64) + 0.5) / T
    ours = logit_normal(((1 - t) / t) ** 2, mean=0.3, spread=0.8, uniform=0.0)
    logit = (t / (1 - t)).log()
    paper = torch.exp(-0.5 * ((logit - 0.3) / 0.8) ** 2) / (t * (1 - t))
    assert torch.allclose(ours, paper / paper.sum(), atol=2e-5)


def test_logit_normal_prefers_the_middle_and_forgets_no_level() -> None:
    """The middle half is drawn oftener than uniformly; the uniform share reaches both ends."""
    share = logit_normal(SNR)
    assert float(share.sum()) == pytest.approx(1)
    assert float(share[200:700].sum()) > 0.55
    assert float(share.min()) >= 0.3 / T


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_flow_is_drawn_as_diffusers_draws_it(shift: float) -> None:
    """Places in the shifted schedule are logit-normal: half of SD3's draws lie above σ = 3/4."""
    schedule = FlowMatchEulerDiscreteScheduler(shift=shift)
    sigma = schedule.sigmas.double().flip(0)
    torch.manual_seed(0)
    u = compute_density_for_timestep_sampling("logit_normal", 40_000, 0.0, 1.0)
    theirs = schedule.sigmas[(u * T).long()].double()
    snr = ((1 - sigma) / sigma).square()
    middle = 3 * 0.5 / 2 if shift == 3 else 0.5
    ours = logit_normal(snr, mean=float(np.log(middle / (1 - middle))), uniform=0.0)
    below = ours.cumsum(0)
    for share in (0.1, 0.5, 0.9):
        place = int(torch.searchsorted(below, share))
        assert float(sigma[place]) == pytest.approx(float(theirs.quantile(share)), abs=0.01)
    drawn = sigma[NoiseLevels.named("logit_normal", snr, flow=True).draw(3, 0, 400)]
    assert float(drawn.median()) == pytest.approx(middle, abs=0.02)


def test_class_pictures_have_levels_of_their_own() -> None:
    """Later samples are no copies of the first ones; each for itself, they are the step's later
    ones."""
    even, alone = NoiseLevels.uniform(T), NoiseLevels.uniform(T, stratified=False)
    assert not torch.equal(even.draw(3, 5, 8), even.draw(3, 5, 8, first=8))
    assert torch.equal(alone.draw(3, 5, 6)[4:], alone.draw(3, 5, 2, first=4))


def test_a_zero_snr_end_takes_no_share_of_its_own() -> None:
    """The last step of a zero-terminal-SNR schedule is endlessly wide in log SNR."""
    snr = SNR.clone()
    snr[-1] = 0
    assert float(logit_normal(snr, uniform=0.0)[-2]) < 0.02


def test_rounding_never_draws_beyond_the_schedule() -> None:
    """Probabilities that sum to less than one by rounding."""
    levels = NoiseLevels(np.array([0.2, 0.4])).draw(0, 0, 64)
    assert levels.max() == 1


def test_another_step_or_seed_draws_others() -> None:
    """Neither number is left out."""
    levels = NoiseLevels.uniform(T)
    drawn = levels.draw(3, 5, 8)
    assert not torch.equal(drawn, levels.draw(3, 6, 8))
    assert not torch.equal(drawn, levels.draw(4, 5, 8))
