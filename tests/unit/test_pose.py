"""Joints read from a segmenter's cells, whatever the size of the picture."""

from __future__ import annotations

import pytest
import torch

from onbrand.errors import WeightsError
from onbrand.models.packs import Pack
from onbrand.models.perception.pose import CELL_PX, PoseEstimator, cells, joints_of


def test_a_joint_lies_where_its_heat_does() -> None:
    """Between two equally hot cells it is half way; heat far from the peak moves nothing; what is
    not hot is not there."""
    heat = torch.zeros(1, 3, 8, 8)
    heat[0, 0, 2, 3] = heat[0, 0, 2, 4] = 0.4
    heat[0, 0, 7, 7] = 0.1
    heat[0, 1, 5, 0] = 0.6
    found = joints_of(heat)[0]
    assert found[0].tolist() == pytest.approx([4 / 8, 2.5 / 8, 0.9])
    assert found[1].tolist() == pytest.approx([0.5 / 8, 5.5 / 8, 0.6])
    assert float(found[2, 2]) == 0


def test_cells_compete_with_absence() -> None:
    """Logits of -50 everywhere mean "not in the picture"; cells are means of CELL_PX squares."""
    logits = torch.full((2, 17, 16, 16), -50.0)
    logits[0, 3, 4:8, 8:12] = 9.0
    shares = cells(logits).softmax(-1)
    assert shares.shape == (2, 17, (16 // CELL_PX) ** 2 + 1)
    assert float(shares[1, :, -1].min()) > 0.999
    assert int(shares[0, 3].argmax()) == 1 * 4 + 2


def test_joints_are_in_the_pixels_of_the_picture(tiny_pack: Pack) -> None:
    """[b, 17, 3], inside the picture, the same alone and in a batch; differentiable heat."""
    eye = PoseEstimator(tiny_pack)
    pixels = torch.rand(3, 3, 48, 48) * 2 - 1
    found = eye.joints(pixels)
    assert found.shape == (3, 17, 3)
    assert (found[..., :2] >= -0.5).all()
    assert (found[..., :2] <= 47.5).all()
    assert ((found[..., 2] >= 0) & (found[..., 2] <= 1)).all()
    assert torch.allclose(found[:1], eye.joints(pixels[:1]), atol=1e-3)
    pixels.requires_grad_(True)
    eye.heat(pixels).square().sum().backward()
    assert float(pixels.grad.abs().sum()) > 0


def test_another_kind_of_model_is_refused(tiny_pack: Pack) -> None:
    """A classifier named for the role says what is needed."""
    roles = {**tiny_pack.roles, "pose": tiny_pack.roles["identity"]}
    wrong = Pack("wrong", tiny_pack.root, "MIT", "1", roles)
    with pytest.raises(WeightsError, match="AutoModelForSemanticSegmentation is needed"):
        PoseEstimator(wrong)
