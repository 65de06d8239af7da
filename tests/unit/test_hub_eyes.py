"""Hub models that say where things are: joints, parts, what was clicked, faces. Tiny networks of
the real classes; the library's own processors say what is right."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import tiny_hub
import torch
from PIL import Image
from tiny_hub import hub_pack, random_pixels
from torch import Tensor
from transformers import VitPoseConfig, VitPoseForPoseEstimation
from transformers.models.mask2former.image_processing_pil_mask2former import (
    Mask2FormerImageProcessorPil,
)
from transformers.models.rt_detr.image_processing_pil_rt_detr import RTDetrImageProcessorPil
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil
from transformers.models.vitpose.image_processing_pil_vitpose import VitPoseImageProcessorPil

from onbrand.errors import PackError, WeightsError
from onbrand.judging.objective import PartMaps, background_variety, composition_count
from onbrand.judging.sight import sight_through
from onbrand.models.perception import load_clicks, load_faces, load_parsing, load_pose
from onbrand.models.perception.hub import (
    PersonDetector,
    QueryParser,
    SamClicks,
    TopDownPose,
    YuNetFaces,
)
from onbrand.models.perception.hub.pose import HEAT_CELLS, dark, frames, window
from onbrand.models.perception.parsing import parsed_parts
from onbrand.models.perception.pose import joints_of
from onbrand.training.focus import knows_heads

BOX = (11.0, 4.0, 52.0, 37.0)  # left, top, right, bottom in a picture of 70 x 50


def bytes_of(pixels_bchw: Tensor) -> list[np.ndarray]:
    """Pictures as processors take them: [h, w, 3] of 0..255."""
    colours = ((pixels_bchw + 1) * 127.5).round().to(torch.uint8)
    return list(colours.permute(0, 2, 3, 1).numpy())


def whole_bytes(num: int, h: int, w: int) -> Tensor:
    """Random pixels that 256 levels hold exactly."""
    return ((random_pixels(num, h, w) + 1) * 127.5).round() / 127.5 - 1


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this module's role folders lie."""
    root = tmp_path_factory.mktemp("hub_eyes")
    tiny_hub.build_vitpose(root / "pose")
    tiny_hub.build_rtdetr(root / "person_detector")
    tiny_hub.build_mask2former(root / "mask2former")
    tiny_hub.build_segformer(root / "segformer")
    tiny_hub.build_sam(root / "sam")
    return root


def test_the_window_is_the_processors(folders: Path) -> None:
    """What ViTPose is shown is what VitPoseImageProcessor cuts out, also beyond the picture."""
    pixels = whole_bytes(1, 50, 70)
    eye = cast(TopDownPose, load_pose(hub_pack(folders, pose=folders / "pose")))
    left, top, right, bottom = BOX
    size = {"height": 64, "width": 48}
    for box in ([left, top, right - left, bottom - top], [40.0, -6.0, 45.0, 30.0]):
        wanted = VitPoseImageProcessorPil(size=size)(
            bytes_of(pixels), boxes=[[box]], return_tensors="pt"
        )
        corners = torch.tensor([[box[0], box[1], box[0] + box[2], box[1] + box[3]]])
        seen = window(pixels, frames(corners, 48 / 64), eye.window_size)
        ready = (seen - eye._mean) / eye._deviation
        # the library cuts to whole levels of 255, and scipy does not blend into the black
        near = (ready - wanted.pixel_values).abs() < 1 / 255 / 0.224 + 1e-3
        assert float(near.float().mean()) > 0.95


def test_joints_are_decoded_as_the_processor_does() -> None:
    """Gaussians between cells are found to a hundredth of a cell, and as the library finds them."""
    rows, columns = torch.arange(32.0)[:, None], torch.arange(24.0)
    true = torch.tensor([[10.3, 20.7], [5.5, 8.2], [15.0, 3.4]])
    heat = torch.stack(
        [torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8) for x, y in true.tolist()]
    )[None]
    at, sure = dark(heat)
    torch.testing.assert_close(at[0], true, atol=0.02, rtol=0)
    left, top, right, bottom = BOX
    box = np.array([[left, top, right - left, bottom - top]])
    processor = VitPoseImageProcessorPil(size={"height": 64, "width": 48})
    said = processor.post_process_pose_estimation(SimpleNamespace(heatmaps=heat), boxes=[box])[0][0]
    place = frames(torch.tensor([BOX]), 48 / 64)
    mine = at[0] * place[:, 2:] / torch.tensor([23, 31]) + place[:, :2] - place[:, 2:] / 2
    torch.testing.assert_close(mine, said["keypoints"].float(), atol=1e-2, rtol=0)
    torch.testing.assert_close(sure[0], said["scores"], atol=1e-4, rtol=0)
    assert torch.isfinite(dark(torch.zeros(1, 2, 8, 8))[0]).all()


def sees_bright_spots(eye: TopDownPose) -> None:
    """Rewrites the weights so that joint 0's heat is high where a patch is brighter than grey."""
    for name, weight in eye.module.named_parameters():
        weight.zero_()
        if "norm" in name and name.endswith("weight"):
            weight.fill_(1)
    body = eye.module.backbone.embeddings.patch_embeddings.projection
    body.weight[0] = 0.1
    eye.module.head.conv.weight[0, 0, 1, 1] = 0.2


def test_a_pose_of_more_joints_is_refused(tmp_path: Path) -> None:
    """Whole-body ViTPoses have 133: the first 17 alone would not be what a loss reads."""
    config = VitPoseConfig.from_pretrained(tiny_hub.build_vitpose(tmp_path / "few"), num_labels=133)
    VitPoseForPoseEstimation(config).save_pretrained(tmp_path / "many")
    with pytest.raises(WeightsError, match="finds 133 joints; a ViTPose of COCO's 17"):
        load_pose(hub_pack(tmp_path, pose=tmp_path / "many"))


def test_a_bright_spot_is_where_the_joint_is(folders: Path) -> None:
    """Planted in the picture, a spot moves its joint along, by `joints` and by `heat` alike."""
    eye = cast(TopDownPose, load_pose(hub_pack(folders, pose=folders / "pose")))
    with torch.no_grad():
        sees_bright_spots(eye)
    pixels = torch.full((2, 3, 96, 72), -1.0)
    pixels[0, :, 20:44, 10:34] = 1
    pixels[1, :, 56:80, 40:64] = 1
    found = eye.joints(pixels)
    assert found[0, 0, :2].tolist() == pytest.approx([21.5, 31.5], abs=8)
    assert found[1, 0, :2].tolist() == pytest.approx([51.5, 67.5], abs=8)
    assert (found[:, 0, 2] > 0.3).all()
    assert (found[:, 1:, 2] == 0).all()
    heat = eye.heat(pixels)
    assert heat.shape == (2, 17, HEAT_CELLS, HEAT_CELLS)
    read = joints_of(heat)
    places = read[:, 0, :2] * torch.tensor([72, 96]) - 0.5
    torch.testing.assert_close(places, found[:, 0, :2], atol=5, rtol=0)
    assert ((read[:, 0, 2] > 0.3) & (read[:, 0, 2] <= 1 + 1e-5)).all()


@pytest.mark.parametrize("num_experts", [1, 2])
def test_pose_is_of_each_picture_alone(tmp_path: Path, num_experts: int) -> None:
    """The same in a batch and alone, with experts too; heat has a gradient, weights have none."""
    folder = tiny_hub.build_vitpose(tmp_path / "pose", num_experts=num_experts)
    eye = cast(TopDownPose, load_pose(hub_pack(tmp_path, pose=folder)))
    pixels = random_pixels(3, 40, 60)
    found = eye.joints(pixels)
    assert found.shape == (3, 17, 3)
    torch.testing.assert_close(eye.joints(pixels[1:2])[0], found[1], atol=1e-3, rtol=1e-3)
    pixels.requires_grad_(True)
    eye.heat(pixels).square().sum().backward()
    assert pixels.grad is not None
    assert (pixels.grad.flatten(1).abs().sum(1) > 0).all()
    assert not any(weight.requires_grad for weight in eye.module.parameters())


def test_the_surest_person_is_the_detectors(folders: Path) -> None:
    """Box and score are the first of the library's list for "person"; the window goes there."""
    pack = hub_pack(folders, pose=folders / "pose", person_detector=folders / "person_detector")
    detector = PersonDetector(pack)
    pixels = random_pixels(2, 50, 70)
    pixels[1, :, 10:30, 20:60] = 1
    best = detector.best(pixels)
    said = detector.module(pixel_values=(detector.ready(pixels)))
    listed = RTDetrImageProcessorPil().post_process_object_detection(
        said, threshold=0.0, target_sizes=[(50, 70)] * 2
    )
    for row, found in zip(best, listed, strict=True):
        first = int((found["labels"] == 0).nonzero()[0])
        torch.testing.assert_close(row[:4], found["boxes"][first])
        torch.testing.assert_close(row[4], found["scores"][first])
    torch.testing.assert_close(detector.best(pixels[1:])[0], best[1], atol=1e-4, rtol=1e-4)
    eye = cast(TopDownPose, load_pose(pack))
    assert (best[:, 4] > 0.3).all()
    torch.testing.assert_close(eye.boxes(pixels), best[:, :4])
    torch.testing.assert_close(
        detector.ready(pixels).amin(), torch.tensor(0.0), atol=0.2, rtol=0
    )  # pixels of RT-DETR lie in [0, 1]


def test_nobody_found_means_the_whole_picture(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the surest person is not sure enough, the picture is the box, of that one only."""
    pack = hub_pack(folders, pose=folders / "pose", person_detector=folders / "person_detector")
    eye = cast(TopDownPose, load_pose(pack))
    best = torch.tensor([[1.0, 2, 30, 40, 0.2], [1.0, 2, 30, 40, 0.9]])
    monkeypatch.setattr(eye.detector, "best", lambda pixels: best)
    assert eye.boxes(random_pixels(2, 50, 70)).tolist() == [[0, 0, 70, 50], [1, 2, 30, 40]]


def test_a_detector_without_people_is_refused(tmp_path: Path) -> None:
    """Labels without "person" are named in the error."""
    folder = tiny_hub.build_rtdetr(tmp_path / "d", labels=("cat", "dog"))
    with pytest.raises(WeightsError, match="knows cat, dog, but no 'person'"):
        PersonDetector(hub_pack(tmp_path, person_detector=folder))


@pytest.mark.parametrize("kind", ["mask2former", "segformer"])
def test_shares_sum_to_one(folders: Path, kind: str) -> None:
    """At the size of the picture, alone as in a batch, differentiable, not the same everywhere."""
    eye = load_parsing(hub_pack(folders, parsing=folders / kind))
    assert isinstance(eye, QueryParser) == (kind == "mask2former")
    assert eye.labels == tiny_hub.PARTS
    pixels = random_pixels(2, 50, 70)
    pixels[1, :, :25] = 1
    pixels.requires_grad_(True)
    shares = eye.shares(pixels)
    assert shares.shape == (2, 4, 50, 70)
    torch.testing.assert_close(shares.sum(1), torch.ones(2, 50, 70))
    torch.testing.assert_close(eye.shares(pixels[1:])[0], shares[1], atol=1e-4, rtol=1e-3)
    assert float((shares[0] - shares[1]).detach().abs().max()) > 1e-3
    shares[:, 0].square().sum().backward()
    assert pixels.grad is not None
    assert float(pixels.grad.abs().sum()) > 0


def test_labels_are_read_whatever_their_case(tmp_path: Path) -> None:
    """Clothes segmenters call it Background; heads are known from the config alone."""
    root = tiny_hub.build_segformer(tmp_path / "p", ("Background", "Hat", "Hair", "Face"))
    pack = hub_pack(tmp_path, parsing=root)
    assert load_parsing(pack).labels == parsed_parts(pack) == ("background", "hat", "hair", "face")
    assert knows_heads(pack)


def test_a_parser_without_a_background_tells_nothing_of_a_subject(tmp_path: Path) -> None:
    """Scene segmenters name none: one line says so, heads are not weighed, and figures that take
    what is behind the subject are not there."""
    root = tiny_hub.build_segformer(tmp_path / "p", ("wall", "building", "sky", "floor"))
    parser = load_parsing(pack := hub_pack(tmp_path, parsing=root))
    with pytest.raises(PackError, match=r"knows no 'background'.*wall, building, sky, floor"):
        sight_through(parser, torch.zeros_like, torch.zeros_like, None, 32, 4)
    assert not knows_heads(pack)
    shown = PartMaps(parser.labels, np.zeros((2, 8, 8), np.int64))
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    assert math.isnan(composition_count(shown))
    assert math.isnan(background_variety(pictures, shown, ["a", "b"]))


def test_queries_add_up_as_the_library_adds(tmp_path: Path) -> None:
    """At the library's 384 px the shares are its scores, normalised."""
    folder = tiny_hub.build_mask2former(tmp_path / "parsing")
    tiny_hub.write_processor(folder, size={"height": 384, "width": 384})
    eye = cast(QueryParser, load_parsing(hub_pack(tmp_path, parsing=folder)))
    assert eye.size_px == 384
    pixels = random_pixels(1, 50, 70)
    with torch.no_grad():
        said = eye.module(pixel_values=eye.ready(pixels))
        scores = Mask2FormerImageProcessorPil().post_process_semantic_segmentation(
            said, target_sizes=[(50, 70)], return_segmentation_scores=True
        )[0]["segmentation_scores"]
        shares = eye.shares(pixels)[0]
    torch.testing.assert_close(shares, scores / scores.sum(0), atol=1e-5, rtol=1e-4)


def test_a_click_is_read_as_sam_reads_it(folders: Path) -> None:
    """Pixels, points and masks are those of SAM's processor and of the whole model at once."""
    eye = cast(SamClicks, load_clicks(hub_pack(folders, clicks=folders / "sam")))
    pixels = whole_bytes(1, 40, 60)
    processor = SamImageProcessorPil(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}
    )
    wanted = processor(bytes_of(pixels), return_tensors="pt")
    assert eye.inner_size(pixels) == tuple(wanted.reshaped_input_sizes[0].tolist())
    torch.testing.assert_close(eye.ready(pixels), wanted.pixel_values, atol=0.03, rtol=0)
    points, on = torch.tensor([[[30.0, 10.0], [5.0, 35.0]]]), torch.tensor([[1, 0]])
    scale = torch.tensor([64 / 60, eye.inner_size(pixels)[0] / 40])
    with torch.no_grad():
        said = eye.module(
            pixel_values=eye.ready(pixels),
            input_points=((points + 0.5) * scale - 0.5)[:, None],
            input_labels=on[:, None],
        )
    logits = processor.post_process_masks(
        said.pred_masks,
        wanted.original_sizes,
        wanted.reshaped_input_sizes,
        binarize=False,
        pad_size={"height": 64, "width": 64},
    )[0]
    best = int(said.iou_scores[0, 0].argmax())
    mask = eye.mask(pixels, points, on)
    assert mask.shape == (1, 40, 60)
    torch.testing.assert_close(mask[0], logits[0, best].sigmoid(), atol=1e-5, rtol=1e-4)


def test_clicks_decide_the_mask_and_padding_does_not(folders: Path) -> None:
    """Where one clicks and which kind it is matter; clicks that are none do not; none at all: 0."""
    eye = load_clicks(hub_pack(folders, clicks=folders / "sam"))
    pixels = random_pixels(3, 40, 60)
    points = torch.tensor([[[30.0, 10.0], [5.0, 35.0]], [[9.0, 9.0], [0.0, 0.0]], [[0.0, 0.0]] * 2])
    on = torch.tensor([[1, 0], [1, -1], [-1, -1]])
    masks = eye.mask(pixels, points, on)
    alone = eye.mask(pixels[1:2], points[1:2, :1], on[1:2, :1])
    torch.testing.assert_close(alone[0], masks[1], atol=1e-4, rtol=1e-4)
    assert float(masks[2].max()) == 0
    moved = eye.mask(pixels[1:2], points[1:2] + 20, on[1:2])
    beside = eye.mask(pixels[1:2], points[1:2], on[1:2] - torch.tensor([[1, 0]]))
    assert float((moved[0] - masks[1]).abs().max()) > 1e-4
    assert float((beside[0] - masks[1]).abs().max()) > 1e-4


def test_yunet_boxes_are_corners_in_the_picture(tmp_path: Path) -> None:
    """Red squares are faces, the reddest first, cut at the sides; blue ones and none are not."""
    path = tiny_hub.write_yunet(tmp_path / "faces")
    eye = cast(YuNetFaces, load_faces(hub_pack(tmp_path, faces=path.parent)))
    pixels = torch.full((3, 3, 60, 90), -1.0)
    pixels[0, 0, 16:32, 32:48] = 0.6
    pixels[0, 0, 0:16, 64:80] = 1
    pixels[1, 2, 16:32, 32:48] = 1
    first, second, third = eye.boxes(pixels)
    assert first[:, :4].tolist() == [[64, 0, 80, 24], [32, 8, 48, 40]]
    assert first[:, 4].tolist() == pytest.approx([1, 0.8], abs=0.01)
    assert second.shape == third.shape == (0, 5)
    assert eye.boxes(pixels[:1, :, :40, :50])[0][:, :4].tolist() == [[32, 8, 48, 40]]


def test_a_face_finder_that_cannot_be_read_is_explained(tmp_path: Path) -> None:
    """No file, two files and a damaged one each name the place and what to put there."""
    path = tiny_hub.write_yunet(tmp_path / "faces")
    pack = hub_pack(tmp_path, faces=path.parent)
    (path.parent / "other.onnx").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"there: other.onnx, yunet.onnx. Put face_detection"):
        load_faces(pack)
    (path.parent / "other.onnx").unlink()
    path.write_bytes(b"no network")
    with pytest.raises(WeightsError, match=r"yunet.onnx is no face detector .* Put face_detection"):
        load_faces(pack)
    path.unlink()
    with pytest.raises(WeightsError, match="there: none"):
        load_faces(pack)
    with pytest.raises(PackError, match="no role 'faces'"):
        YuNetFaces(hub_pack(tmp_path))
