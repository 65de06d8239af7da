"""The formulas of training.losses against figures worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from onbrand.training import losses


def test_min_snr_weights_are_the_papers() -> None:
    """min(SNR, 5)/SNR for noise and /(SNR+1) for v, with their limits at pure noise."""
    snr = torch.tensor([0.0, 1.0, 5.0, 20.0])
    noise = losses.min_snr_weight(snr, 5.0, "epsilon")
    velocity = losses.min_snr_weight(snr, 5.0, "v_prediction")
    torch.testing.assert_close(noise, torch.tensor([1.0, 1.0, 1.0, 0.25]))
    torch.testing.assert_close(velocity, torch.tensor([0.0, 0.5, 5 / 6, 5 / 21]))


def test_min_snr_weighs_the_clean_picture_alike_in_both_spaces() -> None:
    """Weighted error in noise or in v is min(SNR, γ) times the same error of x0."""
    snr = torch.tensor([0.3, 2.0, 9.0])
    error_x0 = torch.tensor([0.7, 0.2, 0.5])
    in_noise = losses.min_snr_weight(snr, 5.0, "epsilon") * snr * error_x0
    in_v = losses.min_snr_weight(snr, 5.0, "v_prediction") * (snr + 1) * error_x0
    torch.testing.assert_close(in_noise, snr.clamp(max=5) * error_x0)
    torch.testing.assert_close(in_v, in_noise)


def test_min_snr_without_gamma_weighs_all_alike() -> None:
    """gamma None is plain mean squared error; an unknown prediction is refused."""
    snr = torch.tensor([0.0, 4.0])
    assert losses.min_snr_weight(snr, None, "epsilon").tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="sample"):
        losses.min_snr_weight(snr, 5.0, "sample")


def test_reconstruction_is_per_sample() -> None:
    """Each sample's mean squared error times its own weight."""
    output = torch.zeros(2, 1, 2, 2)
    target = torch.stack([torch.full((1, 2, 2), 2.0), torch.full((1, 2, 2), 3.0)])
    got = losses.reconstruction(output, target, torch.tensor([1.0, 0.5]))
    assert got.tolist() == [4.0, 4.5]


def test_reconstruction_by_absolute_error() -> None:
    """l1 is the mean absolute error: outliers weigh as much as they are far, no more."""
    output, target = torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, -3.0]]]])
    assert losses.reconstruction(output, target, torch.ones(1), "l1").item() == 2.0
    assert losses.reconstruction(output, target, torch.ones(1), "l2").item() == 5.0


def test_a_focus_moves_weight_and_adds_none() -> None:
    """Places count in proportion to the focus; a sample whose error is even weighs as before."""
    output, focus = torch.zeros(1, 2, 1, 2), torch.tensor([[[[3.0, 1.0]]]])
    uneven = torch.tensor([[[[2.0, 0.0]], [[2.0, 0.0]]]])
    one = torch.ones(1)
    assert losses.reconstruction(output, uneven, one).item() == 2.0
    assert losses.reconstruction(output, uneven, one, focus_b1hw=focus).item() == 3.0
    even = torch.full_like(uneven, 2.0)
    assert losses.reconstruction(output, even, one, focus_b1hw=focus).item() == 4.0


def test_feature_distance_is_zero_for_equal_and_four_for_opposite() -> None:
    """Unit channels: equal maps 0, orthogonal 2, opposite 4, and scale does not matter."""
    one = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1).expand(1, 2, 3, 3)
    other = torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1).expand(1, 2, 3, 3)
    assert losses.feature_distance([one], [one * 7]).item() == pytest.approx(0, abs=1e-6)
    assert losses.feature_distance([one], [other]).item() == pytest.approx(2, abs=1e-5)
    assert losses.feature_distance([one, one], [-one, one]).item() == pytest.approx(2, abs=1e-5)


def test_feature_distance_has_a_finite_gradient_at_zero_features() -> None:
    """A dead feature map (all zeros) gives no NaN gradient."""
    ours = torch.zeros(1, 4, 2, 2, requires_grad=True)
    losses.feature_distance([ours], [torch.ones(1, 4, 2, 2)]).sum().backward()
    assert ours.grad is not None
    assert bool(torch.isfinite(ours.grad).all())


def test_identity_distance_is_one_minus_cosine() -> None:
    """0 for the reference itself, 1 for an orthogonal embedding, 2 for its opposite."""
    reference = torch.tensor([0.6, 0.8])
    rows = torch.stack([reference, torch.tensor([-0.8, 0.6]), -reference])
    torch.testing.assert_close(
        losses.identity_distance(rows, reference), torch.tensor([0.0, 1.0, 2.0]), atol=1e-6, rtol=0
    )
    each = losses.identity_distance(rows, rows.flip(0))  # a reference of its own for every row
    assert torch.allclose(each, torch.tensor([2.0, 0.0, 2.0]), atol=1e-6, rtol=0)


def test_gated_mean_counts_only_what_passed() -> None:
    """The mean over gated samples, and 0 without NaN when none passed."""
    assert losses.gated_mean(torch.tensor([1.0, 3.0])).item() == pytest.approx(2.0)
    assert losses.gated_mean(torch.zeros(0)).item() == 0.0


def one_joint(x: int, sure: float = 1.0) -> torch.Tensor:
    """Heat maps of two joints: one in column x of 8 × 8 cells, one that is nowhere."""
    heat = torch.zeros(1, 2, 8, 8)
    heat[0, 0, 4, x] = sure
    return heat


def test_heat_distance_grows_with_the_distance_of_the_joint() -> None:
    """0 for equal maps, small a cell apart, larger two cells apart; unseen joints do not count."""
    there = one_joint(3)
    near, far = (losses.heat_distance(one_joint(x), there).item() for x in (4, 6))
    assert losses.heat_distance(there, there).item() == 0
    assert 0 < near < far
    elsewhere = there.clone()
    elsewhere[0, 1, 0, 0] = 1.0  # the target does not know this joint
    assert losses.heat_distance(elsewhere, there).item() == 0


def test_heat_distance_pulls_a_joint_towards_its_place() -> None:
    """Going down the gradient of the logits moves the peak to where it should be."""
    logits = torch.zeros(1, 1, 8, 8)
    logits[0, 0, 4, 4] = 3.0
    logits.requires_grad_(True)
    optimiser = torch.optim.Adam([logits], lr=0.3)
    target = one_joint(5)[:, :1]
    for _ in range(60):
        optimiser.zero_grad()
        heat = logits.flatten(2).softmax(-1).unflatten(-1, (8, 8))
        losses.heat_distance(heat, target).sum().backward()
        optimiser.step()
    assert logits.detach().flatten().argmax().item() == 4 * 8 + 5


def test_attribute_distance_is_the_mean_of_what_is_named() -> None:
    """Two groups, of two and three values: both named, one named, none; only what is named has a
    gradient."""
    pose = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]).log().requires_grad_(True)
    prop = torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2]]).log()
    named_pose = torch.tensor([[1.0, 0], [0, 1], [0, 0]])
    named_prop = torch.tensor([[0.0, 0, 1], [0, 0, 0], [0, 0, 0]])
    got = losses.attribute_distance([(pose, named_pose), (prop, named_prop)])
    wanted = [-(math.log(0.9) + math.log(0.5)) / 2, -math.log(0.5), 0.0]
    assert got.tolist() == pytest.approx(wanted, abs=1e-6)
    got.sum().backward()
    assert pose.grad is not None
    assert pose.grad[2].abs().max() == 0
    assert pose.grad[0].abs().max() > 0


def test_expression_distance_is_a_divergence_and_silent_without_a_face() -> None:
    """KL(p‖q) by hand; 0 for the same shares; nothing and no gradient where there is no face."""
    logits = torch.tensor([[0.0, 0.0], [0.0, 0.0]], requires_grad=True)
    share = torch.tensor([[0.9, 0.1], [0.9, 0.1]])
    got = losses.expression_distance(logits, share, torch.tensor([True, False]))
    assert got[0].item() == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2), abs=1e-6)
    assert got[1].item() == 0
    got.sum().backward()
    assert logits.grad is not None
    assert logits.grad[0].abs().sum() > 0
    assert logits.grad[1].abs().sum() == 0
    same = losses.expression_distance(share.log(), share, torch.tensor([True, True]))
    torch.testing.assert_close(same, torch.zeros(2), atol=1e-6, rtol=0)


def test_weight_change_is_the_norm_of_the_product() -> None:
    """tr(BᵀB·AAᵀ) equals ‖s·B·A‖² worked out in full, for linear layers and convolutions."""
    down, up = torch.randn(2, 5), torch.randn(4, 2)
    kernel, point = torch.randn(2, 3, 3, 3), torch.randn(4, 2, 1, 1)
    got = losses.weight_change([(down, up, 0.5, 10.0), (kernel, point, 2.0, 20.0)])
    whole = (0.5 * up @ down).square().sum() / 10
    conv = torch.einsum("or,rihw->oihw", 2.0 * point[..., 0, 0], kernel).square().sum() / 20
    torch.testing.assert_close(got, (whole + conv) / 2)


def test_the_critic_and_the_model_want_opposite_things() -> None:
    """A critic that tells them apart has a small loss and the model a large one; at 0: log 2."""
    sure, unsure = torch.tensor([6.0]), torch.tensor([0.0])
    assert losses.critic_loss(sure, -sure).item() < 0.01
    assert losses.fooling_loss(-sure).item() > 5
    assert losses.critic_loss(unsure, unsure).item() == pytest.approx(2 * math.log(2))
    assert losses.fooling_loss(unsure).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "flow_prediction"])
def test_min_snr_is_off_for_flows_unless_it_is_asked_for(prediction: str) -> None:
    """By itself γ is 5 for noise and v and none for a flow; what a recipe says holds everywhere."""
    by_itself = None if prediction == "flow_prediction" else 5.0
    assert losses.snr_gamma("auto", prediction) == by_itself
    assert losses.snr_gamma(3.0, prediction) == 3.0
    assert losses.snr_gamma(None, prediction) is None


def test_min_snr_weighs_the_clean_picture_alike_in_a_flow() -> None:
    """A velocity's error is x0's over σ: weighted, it is min(SNR, γ) times the error of x0."""
    sigma = torch.tensor([0.25, 0.5, 0.9])
    snr = ((1 - sigma) / sigma).square()
    weight = losses.min_snr_weight(snr, 2.0, "flow_prediction")
    torch.testing.assert_close(weight, snr.clamp(max=2.0) * sigma.square())


def test_heat_distance_is_a_mean_over_joints() -> None:
    """Two joints that are as far off as one alone cost as much."""
    heat, there = one_joint(6), one_joint(3)
    alone = losses.heat_distance(heat, there).item()
    heat[:, 1], there[:, 1] = heat[:, 0], there[:, 0]
    assert losses.heat_distance(heat, there).item() == pytest.approx(alone)


def test_heat_distance_reaches_four_cells() -> None:
    """Blurred twice, peaks four cells apart still touch: three are nearer than four."""
    there = one_joint(1)
    three, four = (losses.heat_distance(one_joint(x), there).item() for x in (4, 5))
    assert three < four


def test_a_focus_is_each_samples_own() -> None:
    """A picture with a heavy focus weighs no more than another beside it."""
    focus = torch.tensor([1.0, 4.0]).reshape(2, 1, 1, 1).expand(2, 1, 1, 2)
    output, target = torch.zeros(2, 1, 1, 2), torch.ones(2, 1, 1, 2)
    got = losses.reconstruction(output, target, torch.ones(2), focus_b1hw=focus)
    assert got.tolist() == [1.0, 1.0]


def test_reconstruction_computes_in_float32() -> None:
    """129/128 is a bfloat16, its square is none."""
    output = torch.full((1, 1, 1, 1), 129 / 128, dtype=torch.bfloat16)
    got = losses.reconstruction(output, torch.zeros_like(output), torch.ones(1))
    assert got.item() == (129 / 128) ** 2


def test_feature_distance_is_per_sample_of_vectors_too() -> None:
    """[b, c] as [b, c, h, w]: 0 for the same direction, 4 for the opposite, a value a row."""
    ours, theirs = torch.tensor([[3.0, 0], [0, 1]]), torch.tensor([[1.0, 0], [0, -2]])
    for shape in ((2, 2), (2, 2, 1, 1)):
        got = losses.feature_distance([ours.reshape(shape)], [theirs.reshape(shape)])
        torch.testing.assert_close(got, torch.tensor([0.0, 4.0]))
