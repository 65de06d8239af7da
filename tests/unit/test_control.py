"""Drawings that a ControlNet follows, its loading, and diffusers' pipelines on a pack with one."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from diffusers import (
    ControlNetModel,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)
from PIL import Image, ImageDraw

from onbrand.errors import PackError, PromptError, WeightsError
from onbrand.generation import edge_drawing, pose_drawing, sample
from onbrand.illustrator import Scene, character, illustrate
from onbrand.illustrator.skeleton import COCO_17, coco_17
from onbrand.judging.metrics import edge_f1
from onbrand.models.control import load_controlnet
from onbrand.models.diffusion import DiffusionModel, load_diffusion
from onbrand.models.packs import Pack, open_pack


def square(x: int = 20, size: int = 64) -> Image.Image:
    picture = Image.new("RGB", (size, size), "white")
    ImageDraw.Draw(picture).rectangle((x, 20, x + 20, 40), fill="black")
    return picture


def test_edges_are_white_where_the_picture_breaks() -> None:
    """A square's outline and nothing else, in the picture's size."""
    edges = np.asarray(edge_drawing(square()))
    assert edges.shape == (64, 64, 3)
    assert set(np.unique(edges)) == {0, 255}
    assert 60 <= (edges[..., 0] > 0).sum() <= 100  # about 4 x 21
    assert not edges[:15].any()


def test_a_pose_is_drawn_in_openpose_colours() -> None:
    """Joints have the standard hues, a limb needs both ends, the neck both shoulders."""
    joints = np.zeros((17, 3), np.float32)
    joints[COCO_17.index("left_shoulder")] = (320, 100, 1)
    joints[COCO_17.index("right_shoulder")] = (200, 100, 1)
    joints[COCO_17.index("left_elbow")] = (400, 200, 1)
    drawn = np.asarray(pose_drawing(joints, 512))
    assert tuple(drawn[100, 200]) == (255, 170, 0)  # right shoulder
    assert tuple(drawn[100, 320]) == (85, 255, 0)  # left shoulder
    assert tuple(drawn[100, 260]) == (255, 85, 0)  # neck
    assert tuple(drawn[150, 360]) == (102, 153, 0)  # left upper arm: 0.6 of (170, 255, 0)
    assert not drawn[206:].any()
    joints[COCO_17.index("right_hip")] = (210, 300, 1)
    joints[COCO_17.index("left_hip")] = (310, 300, 1)
    legs = np.asarray(pose_drawing(joints, 512))
    assert tuple(legs[300, 210]) == (0, 255, 170)  # right hip
    assert tuple(legs[300, 310]) == (0, 85, 255)  # left hip
    joints[COCO_17.index("right_shoulder"), 2] = 0
    alone = np.asarray(pose_drawing(joints, 512))
    assert not alone[100, 260].any()
    assert np.asarray(pose_drawing(joints, 128)).shape == (128, 128, 3)
    with pytest.raises(ValueError, match=r"\(17, 3\)"):
        pose_drawing(joints[:5], 64)


def test_a_mascots_joints_are_its_own_left_and_right() -> None:
    """Its right hand is on the viewer's left; what lies outside the picture is unknown."""
    drawn = illustrate(character(3), Scene(pose="cheering"), 128)
    joints = dict(zip(COCO_17, coco_17(drawn.keypoints), strict=True))
    assert joints["right_wrist"][0] < joints["nose"][0] < joints["left_wrist"][0]
    assert joints["left_knee"][1] < joints["left_ankle"][1]
    near = illustrate(character(3), Scene(framing="close-up"), 128)
    assert dict(zip(COCO_17, coco_17(near.keypoints), strict=True))["left_ankle"][2] == 0


def test_edge_f1_grants_two_pixels() -> None:
    """1 for the same and for two pixels off, less for ten, 0 against nothing."""
    one = edge_drawing(square(20))
    assert edge_f1(one, one) == 1
    assert edge_f1(one, edge_drawing(square(22))) == pytest.approx(1)
    assert 0.2 < edge_f1(one, edge_drawing(square(30))) < 0.9
    empty = Image.new("RGB", (64, 64))
    assert edge_f1(one, empty) == 0
    assert edge_f1(empty, empty) == 1
    with pytest.raises(ValueError, match="cannot be compared"):
        edge_f1(one, Image.new("RGB", (32, 32)))


def test_a_picture_follows_its_drawing(guided_pack: Pack) -> None:
    """Another drawing, another picture; strength 0 is the unguided one; counts must agree."""
    model, net = load_diffusion(guided_pack), load_controlnet(guided_pack)
    drawings = [edge_drawing(square(x, 32).resize((32, 32))) for x in (2, 10)]
    prompts, seeds = ["a red fox"] * 2, [5, 5]

    def draw(strength: float) -> list[np.ndarray]:
        made = sample(
            model, prompts, seeds=seeds, num_steps=3, controlnet=net, drawings=drawings,
            control_strength=strength,
        )  # fmt: skip
        return [np.asarray(p).astype(int) for p in made]

    one, two = draw(1.0)
    assert np.abs(one - two).max() > 1
    apart = sample(
        model, prompts, seeds=seeds, num_steps=3, controlnet=net, drawings=drawings, batch_size=1
    )
    assert np.abs(np.asarray(apart[1]).astype(int) - two).max() <= 1, "each its own drawing"
    plain = np.asarray(sample(model, prompts[:1], seeds=seeds[:1], num_steps=3)[0]).astype(int)
    assert np.abs(draw(0.0)[0] - plain).max() <= 1
    with pytest.raises(PromptError, match="2 prompts but 1 drawings"):
        sample(model, prompts, seeds=seeds, num_steps=2, controlnet=net, drawings=drawings[:1])


def test_a_pack_without_a_controlnet_says_so(
    tiny_model: DiffusionModel, guided_pack: Pack, tmp_path: Path
) -> None:
    """No other pack's takes its place; damaged files are named."""
    with pytest.raises(PackError, match="has no ControlNet"):
        load_controlnet(tiny_model.pack)
    shutil.copytree(guided_pack.root, tmp_path / "broken")
    file = next((tmp_path / "broken" / "controlnet").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_controlnet(open_pack(tmp_path / "broken"))


def test_diffusers_own_pipelines_run_on_a_pack(guided_pack: Pack) -> None:
    """Text, picture, mask and drawing to picture, from the folder alone; a mask keeps the rest."""
    root, settings = guided_pack.root, {"torch_dtype": torch.float32, "local_files_only": True}
    net = ControlNetModel.from_pretrained(root / "controlnet", **settings)
    picture, drawing = square(5, 32), edge_drawing(square(5, 32))
    mask = Image.new("L", (32, 32), 0)
    ImageDraw.Draw(mask).rectangle((16, 0, 31, 31), fill=255)
    wanted = {
        StableDiffusionPipeline: {},
        StableDiffusionImg2ImgPipeline: {"image": picture},
        StableDiffusionInpaintPipeline: {"image": picture, "mask_image": mask},
        StableDiffusionControlNetPipeline: {"image": drawing},
        StableDiffusionControlNetImg2ImgPipeline: {"image": picture, "control_image": drawing},
        StableDiffusionControlNetInpaintPipeline: {
            "image": picture, "mask_image": mask, "control_image": drawing,
        },
    }  # fmt: skip
    for kind, inputs in wanted.items():
        more = {"controlnet": net} if "ControlNet" in kind.__name__ else {}
        pipe = kind.from_pretrained(root, **settings, **more)
        pipe.set_progress_bar_config(disable=True)
        sizes = {} if kind is StableDiffusionImg2ImgPipeline else {"height": 32, "width": 32}
        if kind is StableDiffusionControlNetImg2ImgPipeline:
            sizes = {}
        made = pipe("a red fox", num_inference_steps=2, **inputs, **sizes).images[0]
        assert made.size == (32, 32), kind.__name__


def lines(*columns: int) -> Image.Image:
    """White vertical lines on black."""
    drawn = Image.new("L", (64, 64))
    for x in columns:
        ImageDraw.Draw(drawn).line((x, 0, x, 63), fill=255)
    return drawn


def test_edge_f1_counts_what_is_missing_and_what_is_too_much() -> None:
    """Half of the edges, or twice as many: 2 · ½ · 1 / (½ + 1) both ways."""
    assert edge_f1(lines(10), lines(10, 50)) == pytest.approx(2 / 3)
    assert edge_f1(lines(10, 50), lines(10)) == pytest.approx(2 / 3)


def test_edge_f1_grants_two_pixels_and_not_three() -> None:
    """What lies two pixels beside is right, three is wrong."""
    assert [edge_f1(lines(10), lines(x)) for x in (12, 13)] == [1, 0]


def test_a_small_pose_is_the_large_one_made_smaller() -> None:
    """Joints are in pixels of the drawing that is asked for."""
    joints = np.random.default_rng(0).uniform(100, 400, (17, 3))
    large = np.asarray(pose_drawing(joints, 512))
    small = np.asarray(pose_drawing(joints * [0.25, 0.25, 1], 128))
    shrunk = cv2.resize(large, (128, 128), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(small, shrunk)


def test_eyes_and_ears_are_left_and_right() -> None:
    """OpenPose counts the right ones first, COCO the left ones."""
    joints = np.zeros((17, 3), np.float32)
    for place, name in enumerate(("left_eye", "right_eye", "left_ear", "right_ear"), 1):
        joints[COCO_17.index(name)] = (80 * place, 100, 1)
    drawn = np.asarray(pose_drawing(joints, 512))
    seen = [tuple(int(v) for v in drawn[100, 80 * place]) for place in (1, 2, 3, 4)]
    assert seen == [(255, 0, 255), (170, 0, 255), (255, 0, 85), (255, 0, 170)]


def test_a_steep_limb_is_steep() -> None:
    """Its ellipse lies along it: coloured near both ends, and nothing beside it."""
    joints = np.zeros((17, 3), np.float32)
    joints[COCO_17.index("left_shoulder")] = (200, 100, 1)
    joints[COCO_17.index("left_elbow")] = (240, 300, 1)
    drawn = np.asarray(pose_drawing(joints, 512))
    for share in (0.1, 0.5, 0.9):
        assert drawn[round(100 + 200 * share), round(200 + 40 * share)].any()
    assert not drawn[:, :190].any()
    assert not drawn[:, 250:].any()
