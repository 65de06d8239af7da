"""Processors beside the weights: pixels are what the library's own make, or the reason is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_hub
import torch
from PIL import Image
from tiny_hub import NUM_PX, hub_pack, random_pixels
from torch import Tensor
from transformers import CLIPProcessor, CLIPTokenizer, MobileViTConfig
from transformers import MobileViTForSemanticSegmentation as MobileViT
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.mobilevit.image_processing_pil_mobilevit import MobileViTImageProcessorPil

from onbrand.errors import PackError, WeightsError
from onbrand.models.perception import load_alignment
from onbrand.models.perception.alignment import TwoTowers
from onbrand.models.perception.parsing import Parser
from onbrand.models.perception.processor import CLIP, normalisation, processor_size

CPU = torch.device("cpu")


def picture(pixels_chw: Tensor) -> Image.Image:
    return Image.fromarray(((pixels_chw + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())


def whole_levels(side_px: int) -> Tensor:
    """Random pixels that 256 levels hold exactly."""
    return ((random_pixels(1, side_px, side_px) + 1) * 127.5).round() / 127.5 - 1


def test_a_processor_saved_as_one_file_is_read(tmp_path: Path) -> None:
    """transformers 5 saves tokenizer and image processor as one: its mean and side are the eye's;
    a preprocessor_config.json beside it comes first."""
    folder = tiny_hub.build_clip(tmp_path / "clip")
    side = {"height": NUM_PX, "width": NUM_PX}
    image = CLIPImageProcessorPil(
        image_mean=[0.1, 0.2, 0.3], image_std=[0.5] * 3, size={"shortest_edge": 99}, crop_size=side
    )
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    CLIPProcessor(image_processor=image, tokenizer=tokenizer).save_pretrained(folder)
    assert not (folder / "preprocessor_config.json").exists()
    mean, deviation = normalisation(folder, CLIP, CPU)
    assert ((mean + 1) / 2).flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert (deviation / 2).flatten().tolist() == pytest.approx([0.5] * 3)
    assert processor_size(folder) == NUM_PX
    eye = load_alignment(hub_pack(tmp_path, alignment=folder))
    assert isinstance(eye, TwoTowers)
    pixels = whole_levels(NUM_PX)
    wanted = image(picture(pixels[0]), do_resize=False, return_tensors="pt").pixel_values
    torch.testing.assert_close(eye.ready(pixels), wanted, atol=1e-3, rtol=0)
    tiny_hub.write_processor(folder, image_mean=0.4, image_std=0.5)
    assert float(normalisation(folder, CLIP, CPU)[0][0, 0, 0, 0]) == pytest.approx(-0.2)
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text('{"image_processor": null}')
    assert processor_size(folder) is None


@pytest.mark.parametrize("hand_written", [True, False])
def test_mobilevit_sees_blue_first_in_0_to_1(tmp_path: Path, hand_written: bool) -> None:
    """As its own processor makes them, saved by it or as older files on the hub are."""
    torch.manual_seed(0)
    config = MobileViTConfig(
        image_size=NUM_PX, hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 16, 16, 16, 16, 32],
        num_labels=3, num_attention_heads=2, aspp_out_channels=16,
    )  # fmt: skip
    MobileViT(config).save_pretrained(tmp_path)
    if hand_written:
        tiny_hub.write_processor(
            tmp_path, crop_size=NUM_PX, do_center_crop=True, do_flip_channel_order=True,
            do_resize=True, size=NUM_PX,
        )  # fmt: skip
        processor = MobileViTImageProcessorPil.from_pretrained(tmp_path)
    else:
        processor = MobileViTImageProcessorPil(size=NUM_PX, crop_size=NUM_PX)
        processor.save_pretrained(tmp_path)
    eye = Parser(hub_pack(tmp_path, parsing=tmp_path))
    pixels = whole_levels(NUM_PX)
    wanted = processor(picture(pixels[0]), return_tensors="pt").pixel_values
    assert eye.size_px == NUM_PX
    torch.testing.assert_close(eye.ready(pixels), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "facts",
    [
        {"include_top": True},
        {"rescale_factor": 1 / 127.5},
        {"rescale_offset": True},
        {"do_rescale": False},
    ],
)
def test_pixels_of_another_scale_are_refused(tmp_path: Path, facts: dict[str, object]) -> None:
    """What would reach the network wrong is named; the plain form of the same keys is fine."""
    plain = {"do_rescale": True, "rescale_factor": 0.00392156862745098, "include_top": False}
    tiny_hub.write_processor(tmp_path, **plain, rescale_offset=False)
    normalisation(tmp_path, CLIP, CPU)
    tiny_hub.write_processor(tmp_path, **(plain | facts))
    with pytest.raises(WeightsError, match=rf"says {next(iter(facts))} = .* not supported"):
        normalisation(tmp_path, CLIP, CPU)


def test_a_size_may_be_a_pair(tmp_path: Path) -> None:
    """Height and width, as transformers itself takes them."""
    (tmp_path / "preprocessor_config.json").write_text('{"size": [24, 32]}')
    assert processor_size(tmp_path) == 24


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"image_mean": [0.5, 0.5]}, "image_mean is .*one or three finite numbers"),
        ({"image_mean": "x"}, "image_mean is 'x'"),
        ({"image_mean": [0.5, 0.5, float("nan")]}, "image_mean is"),
        ({"image_std": [0, 0, 0]}, "image_std is .*above 0"),
        ({"image_std": 0}, "image_std is .*above 0"),
        ({"size": "224"}, "size is '224'.*whole pixels"),
        ({"size": {"height": 0}}, "size is .*whole pixels"),
        ({"size": 32.5}, "size is 32.5"),
        ({"do_center_crop": True, "crop_size": -3}, "crop_size is -3"),
    ],
)
def test_damaged_numbers_are_told(tmp_path: Path, facts: dict[str, object], said: str) -> None:
    """No traceback, no NaN, no side that is silently another."""
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(facts))
    with pytest.raises(PackError, match=said):
        (normalisation(tmp_path, CLIP, CPU), processor_size(tmp_path))
