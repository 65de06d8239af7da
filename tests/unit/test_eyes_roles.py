"""The pocket kinds of eyes on tiny random models: shapes, gradients, and what decides an answer."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from onbrand.errors import PackError, WeightsError
from onbrand.models import Pack
from onbrand.models.perception import (
    load_clicks,
    load_expression,
    load_faces,
    load_identity,
    load_parsing,
    load_picture_check,
    load_pose,
    load_tagger,
)
from onbrand.models.perception.clicks import spots
from onbrand.models.perception.faces import ParsedFaces, crops, largest
from onbrand.models.perception.parsing import mask_of


class Told:
    """A parser that says what it is told: labels and shares [b, labels, h, w]."""

    def __init__(self, labels: tuple[str, ...], shares: torch.Tensor) -> None:
        self.labels = labels
        self._shares = shares

    def shares(self, pixels_bchw: torch.Tensor) -> torch.Tensor:
        """The same, whatever is shown."""
        return self._shares


def pixels(num: int = 2, side_px: int = 40) -> torch.Tensor:
    return torch.rand(num, 3, side_px, side_px, generator=torch.Generator().manual_seed(4)) * 2 - 1


def test_shares_sum_to_one_at_the_pictures_size(tiny_pack: Pack) -> None:
    """[b, labels, h, w] of any size, alike alone and in a batch; a gradient reaches the pixels."""
    parser, leaf = load_parsing(tiny_pack), pixels().requires_grad_(True)
    shares = parser.shares(leaf)
    assert shares.shape == (2, len(parser.labels), 40, 40)
    torch.testing.assert_close(shares.sum(1), torch.ones(2, 40, 40))
    torch.testing.assert_close(parser.shares(pixels()[1:])[0], shares[1], atol=1e-5, rtol=1e-4)
    mask_of(parser, leaf, ["head", "eyes"]).mean().backward()
    assert float(leaf.grad.abs().sum()) > 0


def test_an_unknown_part_is_named_with_its_nearest(tiny_pack: Pack) -> None:
    """A misspelt part says which one was meant."""
    with pytest.raises(PackError, match="no part 'haed'"):
        mask_of(load_parsing(tiny_pack), pixels(), ["haed"])


def test_each_connected_head_is_a_face() -> None:
    """Two separate patches are two boxes, the surer first; specks are none; eyes belong to it."""
    shares = torch.zeros(1, 3, 40, 40)
    shares[0, 0] = 1
    shares[0, 1, 4:12, 6:16], shares[0, 0, 4:12, 6:16] = 0.7, 0.3
    shares[0, 2, 20:30, 20:30], shares[0, 0, 20:30, 20:30] = 0.9, 0.1
    shares[0, 1, 38, 38], shares[0, 0, 38, 38] = 1, 0
    finder = ParsedFaces(Told(("background", "head", "eyes"), shares))
    (boxes,) = finder.boxes(pixels(1))
    assert boxes[:, :4].tolist() == [[20, 20, 30, 30], [6, 4, 16, 12]]
    assert boxes[:, 4].tolist() == pytest.approx([0.9, 0.7])
    assert largest(boxes).tolist()[:4] == [20, 20, 30, 30]
    assert largest(torch.zeros(0, 5)) is None


def test_glasses_part_no_face() -> None:
    """Two pieces with a few pixels between them are one face; the box holds both, no more."""
    shares = torch.zeros(1, 2, 80, 80)
    shares[0, 1, 20:30, 20:50] = shares[0, 1, 33:50, 20:50] = 0.8
    shares[0, 1, 70:76, 20:50] = 0.8
    shares[0, 0] = 1 - shares[0, 1]
    (boxes,) = ParsedFaces(Told(("background", "head"), shares)).boxes(pixels(1))
    assert sorted(boxes[:, :4].tolist()) == [[20, 20, 50, 50], [20, 70, 50, 76]]


def test_a_parser_without_faces_is_refused() -> None:
    """Its labels are listed."""
    with pytest.raises(PackError, match="knows sky, road, but none of head"):
        ParsedFaces(Told(("sky", "road"), torch.zeros(1, 2, 4, 4)))


def test_crops_hold_what_the_box_holds() -> None:
    """A bright square fills the crop of its own box without margin, and its middle with one; the
    edge is repeated beyond the picture; the crop has a gradient."""
    picture = torch.full((1, 3, 40, 40), -1.0)
    picture[0, :, 10:20, 10:20] = 1
    box = torch.tensor([[10.0, 10.0, 20.0, 20.0]])
    assert float(crops(picture, box, 16, margin=0.0)[:, :, 1:-1, 1:-1].min()) > 0.99
    wide = crops(picture, box, 16, margin=0.5)
    assert float(wide[0, 0, 8, 8]) > 0.99
    assert float(wide[0, 0, 0, 0]) < -0.99
    picture[0, :, :, :2] = 0.5
    assert float(crops(picture, torch.tensor([[-10.0, 10.0, 0.0, 20.0]]), 8)[0, 0, 4, 0]) == 0.5
    leaf = pixels(1).requires_grad_(True)
    crops(leaf, box, 8).square().sum().backward()
    assert float(leaf.grad[0, :, 12:18, 12:18].abs().sum()) > 0
    assert float(leaf.grad[0, :, 30:].abs().sum()) == 0


def test_an_expression_is_read_from_the_face_alone(tiny_pack: Pack) -> None:
    """What lies outside the box changes nothing; where there is no face nothing is said."""
    shares = torch.zeros(2, 2, 40, 40)
    shares[0, 1, 10:20, 10:20] = 1
    shares[:, 0] = 1 - shares[:, 1]
    finder = ParsedFaces(Told(("background", "head"), shares))
    from onbrand.models.perception import ExpressionReader

    reader = ExpressionReader(tiny_pack, finder)
    first, second = reader.read(pixels())
    assert set(first) == set(reader.labels) == {"happy", "sad", "calm"}
    assert sum(first.values()) == pytest.approx(1, abs=1e-5)
    assert second == {}
    changed = pixels()
    changed[:, :, 30:] = 1
    assert reader.read(changed)[0] == pytest.approx(first, abs=1e-5)
    assert load_expression(tiny_pack).labels == reader.labels


def test_expressions_are_in_lower_case(tiny_pack: Pack, tmp_path: Path) -> None:
    """A model of the hub may write them either way; they are named as tags name them."""
    folder = Path(shutil.copytree(tiny_pack.role("expression"), tmp_path / "expression"))
    told = json.loads((folder / "config.json").read_text("utf-8"))
    told["id2label"] = {number: name.title() for number, name in told["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(told))
    pack = replace(tiny_pack, roles={**tiny_pack.roles, "expression": folder})
    assert load_expression(pack).labels == load_expression(tiny_pack).labels


def test_a_pose_is_of_cocos_joints(tiny_pack: Pack, tmp_path: Path) -> None:
    """Any other segmenter is refused with what it tells: its parts would pass for joints."""
    roles = {**tiny_pack.roles, "pose": tiny_pack.role("parsing")}
    with pytest.raises(
        WeightsError, match=r"role 'pose' in .*parsing tells .*needed are COCO's 17"
    ):
        load_pose(replace(tiny_pack, roles=roles))
    folder = Path(shutil.copytree(tiny_pack.role("pose"), tmp_path / "pose"))
    told = json.loads((folder / "config.json").read_text("utf-8"))
    told["id2label"] |= {"1": "right_eye", "2": "left_eye"}
    (folder / "config.json").write_text(json.dumps(told))
    with pytest.raises(WeightsError, match="tells nose, right_eye, left_eye"):
        load_pose(replace(tiny_pack, roles={**tiny_pack.roles, "pose": folder}))


def test_tags_are_what_is_surer_than_all_else(tiny_pack: Pack) -> None:
    """attribute:value above one half, the surest first, never "none"."""
    tagger = load_tagger(tiny_pack)
    bias = tagger.module.classifier[-1].bias
    labels = list(tagger.module.config.id2label.values())
    with torch.no_grad():
        for label, value in (("species:cat", 50.0), ("colour:red", 20.0), ("fault:none", 50.0)):
            bias[labels.index(label)] += value
        bias[labels.index("pose:waving")] = bias[labels.index("pose:sitting")] = 0
    (tags,) = tagger.tags(pixels(1))
    assert [t for t in tags if not t.startswith("pose")] == ["species:cat", "colour:red"]
    assert list(tags.values()) == sorted(tags.values(), reverse=True)


def test_spots_stand_where_the_clicks_are() -> None:
    """A click on the thing lights the first map at its place, one beside it the second; -1 none."""
    points = torch.tensor([[[9.5, 19.5], [30.0, 5.0], [1.0, 1.0]]])
    maps = spots(points, torch.tensor([[1, 0, -1]]), (40, 40), 40)
    assert maps.shape == (1, 2, 40, 40)
    assert divmod(int(maps[0, 0].argmax()), 40)[0] in (19, 20)
    assert divmod(int(maps[0, 1].argmax()), 40) == (5, 30)
    assert float(maps[0, :, 1, 1].max()) < 0.01


def test_clicks_make_a_mask_of_the_pictures_size(tiny_pack: Pack) -> None:
    """[b, h, w] in [0, 1]; another click, another mask; three channels are refused."""
    eye = load_clicks(tiny_pack)
    on = torch.ones(2, 1, dtype=torch.long)
    one = eye.mask(pixels(), torch.full((2, 1, 2), 5.0), on)
    two = eye.mask(pixels(), torch.full((2, 1, 2), 30.0), on)
    assert one.shape == (2, 40, 40)
    assert 0 <= float(one.min()) <= float(one.max()) <= 1
    assert float((one - two).abs().max()) > 1e-6
    roles = {**tiny_pack.roles, "clicks": tiny_pack.roles["parsing"]}
    with pytest.raises(WeightsError, match="reads 5"):
        load_clicks(Pack("wrong", tiny_pack.root, "MIT", "1", roles))


def test_a_part_has_a_vector_of_its_own(tiny_pack: Pack) -> None:
    """Unit vectors under a mask; what lies elsewhere hardly counts; an empty mask gives zeros."""
    encoder = load_identity(tiny_pack)
    mask = torch.zeros(2, 40, 40)
    mask[0, :20] = 1
    vectors = encoder.embed_part(pixels(), mask)
    assert float(vectors[0].norm()) == pytest.approx(1, abs=1e-5)
    assert float(vectors[1].abs().max()) == 0
    other = encoder.embed_part(pixels(), 1 - mask)
    assert float((vectors[0] - other[0]).abs().max()) > 1e-4


def test_faces_come_from_the_parser_and_a_check_of_pictures_from_nowhere(tiny_pack: Pack) -> None:
    """A pack without the role "faces" finds them all the same; without "safety" it says so."""
    assert load_faces(tiny_pack).boxes(pixels())[0].shape[1] == 5
    with pytest.raises(PackError, match="no model for the role 'safety'"):
        load_picture_check(tiny_pack)
