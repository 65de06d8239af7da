"""Parts of scripts/pretrain that need no run: readers that go on, joints that move, the page."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from onbrand.models.diffusion import load_diffusion
from onbrand.models.packs import open_pack

pytestmark = pytest.mark.usefixtures("pretrain_scripts")


def test_a_reader_that_goes_on_keeps_what_it_knew(tmp_path: Path) -> None:
    """Body and rows of known labels are the old reader's; what it did not know begins anew."""
    import attributes
    from transformers import ResNetConfig, ResNetForImageClassification

    known = {0: "place:room", 1: "species:fox"}
    config = {**attributes.build().config.to_dict(), "id2label": known}
    config["label2id"] = {label: i for i, label in known.items()}
    old = ResNetForImageClassification(ResNetConfig(**config))
    old.save_pretrained(tmp_path)
    torch.manual_seed(5)
    grown = attributes.grown(tmp_path)
    head, ids = grown.classifier[1].weight, grown.config.label2id
    for row, label in known.items():
        assert torch.equal(head[ids[label]], old.classifier[1].weight[row])
    assert not torch.equal(head[ids["species:cat"]], old.classifier[1].weight[1])
    for mine, theirs in zip(
        grown.base_model.parameters(), old.base_model.parameters(), strict=True
    ):
        assert torch.equal(mine, theirs)


def test_faults_are_read_apart_from_attributes() -> None:
    """A spoiled picture asks for its fault alone, a sound one for "none" beside its attributes."""
    import attributes

    labels = [{"fault": "hand", "severity": 2}, {"attributes": {"species": "fox"}}]
    truth = attributes.targets_of(labels)
    names = list(attributes.GROUPS)
    assert names[attributes.FAULT] == "fault"
    assert attributes.GROUPS["fault"][int(truth[0, attributes.FAULT])] == "hand"
    assert (truth[0, : attributes.FAULT] == -1).all()
    assert int(truth[1, attributes.FAULT]) == 0
    assert (truth[1] >= 0).sum() == 2


def test_joints_move_with_their_picture() -> None:
    """A white dot stays where its joint is said to be; mirrored, left is right; lost outside."""
    import pose
    from views import Move

    pixels = torch.zeros(1, 1, 128, 128)
    pixels[..., 39:42, 59:62] = 255
    joints = np.zeros((17, 3), np.float32)
    left, right = pose.COCO_17.index("left_wrist"), pose.COCO_17.index("right_wrist")
    joints[left] = (60, 40, 1)
    joints[0] = (1, 1, 1)
    mirrored = 0
    for seed in range(12):
        move = Move.draw(torch.Generator().manual_seed(seed), 1, 1.0, flip=True)
        matrix = move.matrices(128)[0]
        rows, columns = np.nonzero(move(pixels)[0, 0].numpy() > 100)
        flipped = np.linalg.det(matrix[:, :2]) < 0
        found = pose.carried(joints, matrix)[right if flipped else left]
        assert found == pytest.approx((columns.mean(), rows.mean(), 1), abs=0.6)
        mirrored += int(flipped)
    assert 0 < mirrored < 12
    away = pose.carried(joints, np.array([[1.0, 0, -9], [0, 1, 0]]))
    assert away[0, 2] == 0
    shares = pose.targets(torch.from_numpy(joints)[None])
    assert shares.sum(-1) == pytest.approx(np.ones((1, 17)))
    assert float(shares[0, right, -1]) == 1


def test_a_character_is_told_by_its_other_pictures(tmp_path: Path) -> None:
    """Wherever a set begins: the caption is of the picture that is drawn, and who it is comes from
    other pictures of that character, never from this one or its look-alike."""
    import draw
    import identity_adapter
    import latents

    draw.main(["--subjects", "2", "--first", "40", "--processes", "1", "--out", str(tmp_path)])
    labels = draw.Drawn(tmp_path).labels
    rows = latents.Latents.__new__(latents.Latents)
    rows.drawn = draw.Beside([draw.Drawn(tmp_path)])
    told = argparse.Namespace(seed=1, log_snr=0.0)
    model = load_diffusion(open_pack("pocket"))
    source = identity_adapter.Source(told, rows, model, torch.eye(len(labels)))
    for sample in range(30):
        row, text, who = source.row(0, sample)
        who_rows = set(who.nonzero()[:, 0].tolist())
        mates = {5 * (row // 5) + k for k in range(4)}
        assert who_rows <= mates - {row}
        kind = labels[row]["traits"]["species"]
        assert kind in text or "a mascot" in text or not text
    assert labels[0]["subject"] == 40


def test_latents_of_an_older_folder_are_made_anew(tmp_path: Path) -> None:
    """Rows that were encoded before small parts were kept with them do not count as filled."""
    import draw
    import latents

    draw.main(["--subjects", "1", "--processes", "1", "--out", str(tmp_path / "drawn")])
    drawn = draw.Beside([draw.Drawn(tmp_path / "drawn")])
    vae = load_diffusion(open_pack("pocket")).parts["vae"]
    nothing = np.zeros((0, 128, 128, 4), np.uint8)
    root = tmp_path / "latents"
    known = latents.Latents(root, vae, drawn, nothing, [])
    known.fetch(np.array([0, 1]))
    again = latents.Latents(root, vae, drawn, nothing, [])
    assert again.maps["filled"].tolist() == [True, True, False, False, False]
    (root / "fine.npy").unlink()
    assert not latents.Latents(root, vae, drawn, nothing, []).maps["filled"].any()


def test_the_page_shows_only_what_is_there(pretrain_scripts: Path, tmp_path: Path) -> None:
    """Stored figures and the curves of logged runs; every picture it links to exists."""
    import re

    import page

    docs = tmp_path / "docs"
    (docs / "benchmarks").mkdir(parents=True)
    shutil.copy(pretrain_scripts.parents[1] / "docs/benchmarks/pack.json", docs / "benchmarks")
    (tmp_path / "unet").mkdir()
    lines = [json.dumps({"step": 50 * k, "loss": 1 / k, "crisp": 1 / k}) for k in range(1, 9)]
    (tmp_path / "unet" / "log.jsonl").write_text("\n".join(lines))
    (tmp_path / "pose").mkdir()
    (tmp_path / "pose" / "log.jsonl").write_text(json.dumps({"step": 1, "pck_5": 0.1}))
    page.main(["--work", str(tmp_path), "--docs", str(docs)])
    text = (docs / "pack.md").read_text()
    linked = re.findall(r"\]\((pictures/[^)]+)\)", text)
    assert linked == ["pictures/curve-unet.svg"]  # one point is no curve
    assert "<svg" in (docs / linked[0]).read_text()
    assert "Reconstruction, drawings" in text
    assert re.search(r"\| unet \| [\d,]+ \|", text)


def test_a_grown_codec_goes_on_from_the_small_one() -> None:
    """One level more halves the latents' side; the other levels keep their weights."""
    import vae

    small = vae.build((8, 8, 16))
    grown = vae.grow(small, (8, 8, 16, 16))
    assert grown.encode(torch.zeros(1, 3, 64, 64)).latent_dist.mode().shape == (1, 4, 8, 8)
    finest = (small.decoder.up_blocks[-1], grown.decoder.up_blocks[-1])
    for a, b in zip(*(block.parameters() for block in finest), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="grows to"):
        vae.grow(grown, (8, 8, 16, 16))
