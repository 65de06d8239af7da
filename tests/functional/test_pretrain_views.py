"""scripts/pretrain's views, and how a lent device is kept busy: what is packed and paced."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

pytestmark = pytest.mark.usefixtures("pretrain_scripts")


def chances(seed: int = 0) -> Generator:
    """A CPU generator."""
    return Generator().manual_seed(seed)


def scene() -> NDArray[np.uint8]:
    """[64, 64, 3]: a disc on a ramp, so that there are edges and colours."""
    ramp = np.linspace(40, 220, 64)
    picture = np.stack(
        [np.tile(ramp, (64, 1)), np.tile(ramp[:, None], (1, 64)), np.full((64, 64), 90)], -1
    )
    picture = picture.astype(np.uint8)
    cv2.circle(picture, (30, 34), 15, (200, 40, 60), -1)
    return picture


def as_batch(picture: NDArray[np.uint8]) -> Tensor:
    """[1, 3, h, w] in [0, 255]."""
    return torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None]


@pytest.mark.parametrize("quality", [30, 60, 90])
def test_jpeg_errs_as_opencvs_does(quality: int) -> None:
    """The file that OpenCV writes at this quality is nearer to ours than to the picture."""
    import views

    picture = scene()
    written = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    theirs = cv2.imdecode(written, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32)
    ours = views.jpeg(as_batch(picture), torch.tensor([float(quality)]))[0]
    between = np.abs(ours.permute(1, 2, 0).numpy() - theirs).mean()
    assert between < 0.6 * np.abs(picture - theirs).mean()


def test_a_batch_is_made_alike_for_the_same_chances() -> None:
    """Views depend on their generator alone, differ from each other, and stay in [-1, 1]."""
    import views

    pixels = as_batch(scene()).repeat(24, 1, 1, 1)
    parts = torch.ones(24, 1, 64, 64, dtype=torch.uint8)
    parts[..., :32] = 0
    one, two, other = (
        views.to_views(pixels, parts, chances(seed), blackout=0.5) for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert float(one.abs().max()) <= 1
    assert len({tuple(view.flatten()[::97].tolist()) for view in one}) == 24


def test_only_the_background_is_taken_away() -> None:
    """Where there is a part the picture stays; elsewhere half of all pictures become one shade."""
    import views

    pixels = as_batch(scene()).repeat(40, 1, 1, 1)
    parts = torch.zeros(40, 1, 64, 64, dtype=torch.uint8)
    parts[..., 20:44, 20:44] = 3
    left = views.without_place(pixels, parts, chances(), 0.5)
    assert torch.equal(left[..., 20:44, 20:44], pixels[..., 20:44, 20:44])
    gone = (left[:, :, :10] - left[:, :, :1, :1]).abs().amax((1, 2, 3)) == 0
    assert 8 < int(gone.sum()) < 32


def test_a_look_alike_lies_in_the_same_scene_with_another_hue() -> None:
    """Equal parts of a batch share backdrop, place and size; only the hue is another."""
    import views

    rgba = torch.zeros(3, 4, 32, 32)
    rgba[:, :, 8:24, 8:24] = torch.tensor([200.0, 60, 40, 255])[:, None, None]
    other = torch.cat([views.turned_hue(rgba[:, :3], torch.full((3,), 1 / 3)), rgba[:, 3:]], 1)
    inside = other[0, :3, 16, 16]
    assert inside.tolist() == pytest.approx([40, 200, 60], abs=1)
    shown, opacity = views.laid(torch.cat([rgba, other]), (0.6, 1.1), chances(3), share=2)
    there = opacity[:3] > 0.99
    assert torch.equal(opacity[:3], opacity[3:])
    assert torch.equal(shown[:3] * (opacity[:3] == 0), shown[3:] * (opacity[3:] == 0))
    assert float((shown[:3] - shown[3:]).abs().amax(1, keepdim=True)[there].min()) > 100


def test_batches_come_in_order_from_other_processes() -> None:
    """Forked processes give what the function gives, from whatever step on."""
    import halves

    def made(step: int) -> tuple[Tensor, Tensor]:
        time.sleep(0.02 * (step % 3))
        return torch.full((2,), step), torch.tensor(step % 2 == 0)

    ahead = halves.Ahead(made, num_workers=2)
    steps = [ahead(step) for step in range(5, 12)]
    assert [int(first[0]) for first, _ in steps] == list(range(5, 12))
    assert [bool(even) for _, even in steps] == [False, True] * 3 + [False]


def test_a_paced_run_ends_on_time_with_its_rate_let_down(tmp_path: Path) -> None:
    """However wrong --steps was, the rate is all but gone when the seconds are over."""
    import options

    from onbrand.training.engine import Loop, Settings, read_log

    weight = torch.nn.Parameter(torch.ones(3))
    settings = Settings(num_steps=7, learning_rate=1.0, log_every=1)
    loop = Loop(tmp_path, {"weight": weight}, settings)

    def step(_: int) -> tuple[Tensor, dict[str, float]]:
        time.sleep(0.01)
        return weight.square().sum(), {}

    began = time.monotonic()
    told = argparse.Namespace(paced=True, limit_s=2.0)
    options.train(loop, step, {}, told)
    assert 1.5 < time.monotonic() - began < 3.5
    rates = [line["learning_rate"] for line in read_log(tmp_path)]
    assert len(rates) > 30
    assert rates[-1] < 0.1
    assert max(rates[len(rates) // 3 :]) > 0.3


def test_emoji_travel_in_sheets(tmp_path: Path) -> None:
    """Packed and unpacked they are nearly the same, in their order, with their labels."""
    import parcel
    from PIL import Image

    source = tmp_path / "emoji"
    source.mkdir()
    lines = []
    for i in range(5):
        picture = np.zeros((128, 128, 4), np.uint8)
        picture[10 * i : 10 * i + 60, 30:90] = (250 - 40 * i, 40 * i, 120, 255)
        Image.fromarray(picture).save(source / f"{i}.png")
        lines.append(f'{{"file_name": "{i}.png", "text": "thing {i}", "style": "flat"}}')
    (source / "metadata.jsonl").write_text("\n".join(lines))
    made, there = tmp_path / "made", tmp_path / "there"
    sheets = str(tmp_path / "sheets")
    parcel.main(["pack", sheets, "--emoji", str(source), "--work", str(made)])
    parcel.main(["unpack", sheets, "--work", str(there)])
    sent, got = np.load(made / "pixels.npy"), np.load(there / "pixels.npy")
    assert got.shape == sent.shape == (5, 128, 128, 4)
    assert np.abs(sent[..., 3].astype(float) - got[..., 3]).mean() < 2
    seen = sent[..., 3] == 255
    assert np.abs(sent[seen].astype(float) - got[seen]).mean() < 5
    assert (there / "labels.jsonl").read_text() == (made / "labels.jsonl").read_text()
