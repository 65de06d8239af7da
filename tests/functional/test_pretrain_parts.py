"""Parts of scripts/pretrain that need no run: readers that go on, joints that move, the page."""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

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


def test_what_a_reader_knew_survives_its_run(tmp_path: Path) -> None:
    """Labels in another order, as many of them: each row is still its label's after the run."""
    import attributes
    import draw
    from transformers import ResNetConfig, ResNetForImageClassification

    draw.main(["--subjects", "1", "--processes", "1", "--out", str(tmp_path / "drawn")])
    names = list(attributes.build().config.label2id)[::-1]
    config = {**attributes.build().config.to_dict(), "id2label": dict(enumerate(names))}
    config["label2id"] = {name: i for i, name in enumerate(names)}
    old = ResNetForImageClassification(ResNetConfig(**config))
    old.save_pretrained(tmp_path / "old")
    drawn = ["--drawn", str(tmp_path / "drawn"), "--held-out", str(tmp_path / "drawn")]
    run = ["--steps", "0", "--start", str(tmp_path / "old"), "--out", str(tmp_path / "run")]
    attributes.main([*drawn, *run])
    new = ResNetForImageClassification.from_pretrained(tmp_path / "run" / "model")
    row = new.config.label2id["species:fox"]
    assert row != config["label2id"]["species:fox"]
    was = old.classifier[1].weight[config["label2id"]["species:fox"]]
    assert torch.allclose(new.classifier[1].weight[row].float(), was, atol=1e-3)


def test_a_folder_holds_one_drawn_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """More subjects, others or another world are refused where a set lies, in a line that names
    both; so is a folder that was drawn before sets were told. The same set is gone on with."""
    import draw

    first = ["--subjects", "1", "--processes", "1", "--out", str(tmp_path)]
    draw.main(first)
    for others in (["--subjects", "2"], ["--first", "7"], ["--world", "products"]):
        with pytest.raises(SystemExit):
            draw.main([*first, *others])
        assert "take another --out" in capsys.readouterr().err
    (tmp_path / "set.json").unlink()
    with pytest.raises(SystemExit):
        draw.main([*first, "--subjects", "2"])
    draw.main(first)
    assert len(draw.Drawn(tmp_path)) == 5


def test_a_base_is_saved_over_what_a_killed_save_left(tmp_path: Path) -> None:
    """The new weights are there, the left-over is gone; its facts tell what was seen so far, for
    the run that goes on from it."""
    import unet

    joint, folder = unet.build(600, (16, 16, 16), width=16), tmp_path / "pipeline"
    seen = {unet.PLAIN: 800, unet.OWN: 70}
    unet.write(joint, folder, {"steps": 1, **seen})
    (tmp_path / "pipeline.old").mkdir()
    (tmp_path / "pipeline.old" / "left").touch()
    unet.write(joint, folder, {"steps": 2, **seen})
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline"]
    assert unet.seen_by(folder) == seen
    assert unet.seen_by(tmp_path) == dict.fromkeys(seen, 0)


def test_options_that_cannot_be_are_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--paced with nothing to pace by; --own without eyes, or with threads that get no prompt."""
    import latents
    import unet

    with pytest.raises(SystemExit, match="--paced makes as many"):
        latents.main(["--paced", "--out", str(tmp_path)])
    for arguments, told in (
        (["--own", "2"], "name the pack by --start"),
        (["--own", "1", "--start", "pocket", "--threads", "2"], "leaves some of 2 threads"),
        (["--own", "2", "--batch", "5", "--start", "pocket"], "leaves some of 2 threads"),
    ):
        with pytest.raises(SystemExit):
            unet.options_of(arguments)
        assert told in capsys.readouterr().err
    assert unet.options_of(["--own", "2", "--start", "pocket"]).own == 2
    assert unet.options_of(["--own", "1", "--start", "pocket", "--device", "cuda"]).own == 1


def test_few_emoji_have_few_untrue_captions() -> None:
    """Of three things one is told by its own name, two by others', the rest show nothing."""
    import alignment

    things = [{"text": name, "style": "flat"} for name in ("apple", "house", "rocket")]
    emoji = alignment.Emoji(np.zeros((3, 128, 128, 4), np.uint8), things, held_out=False)
    told = emoji.captions(1, np.random.default_rng(0), 20, styles=False)
    assert told[0] == "a flat emoji of house"
    assert len(told) == 20
    assert set(told[3:]) == {alignment.NOTHING}


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
    anew = latents.Latents(root, vae, drawn, nothing, [])
    assert not anew.maps["filled"].any()
    anew.fill(batch=2)
    assert anew.maps["filled"].all()
    assert torch.equal(anew.fetch(np.array([0, 1])), known.fetch(np.array([0, 1])))


def test_rows_are_encoded_before_workers_are_forked(tmp_path: Path) -> None:
    """With --workers every row is there when the latents are open; without, none is yet."""
    import draw
    import latents
    import options

    pocket = open_pack("pocket").root
    things = [{"file_name": "0.png", "text": "apple", "style": "flat"}]
    (tmp_path / "metadata.jsonl").write_text(json.dumps(things[0]))
    Image.new("RGBA", (128, 128)).save(tmp_path / "0.png")
    draw.main(["--subjects", "1", "--processes", "1", "--out", str(tmp_path / "drawn")])
    p = options.parser("latents", steps=0, batch=2)
    latents.latent_options(p)
    known = ["--drawn", str(tmp_path / "drawn"), "--vae", str(pocket / "vae")]
    known += ["--emoji", str(tmp_path), "--work", str(tmp_path / "emoji")]
    for workers in (0, 1):
        told = ["--workers", str(workers), "--latents", str(tmp_path / str(workers))]
        opened = latents.Latents.open(p.parse_args([*known, *told]))
        assert opened.maps["filled"].tolist() == [bool(workers)] * 5


def test_embeddings_are_the_encoders_own(tmp_path: Path) -> None:
    """What is kept of an encoder is read again; one with other weights looks anew."""
    import draw
    import identity_adapter
    import latents

    draw.main(["--subjects", "1", "--processes", "1", "--out", str(tmp_path / "drawn")])
    rows = latents.Latents.__new__(latents.Latents)
    rows.drawn, rows.num_drawn = draw.Beside([draw.Drawn(tmp_path / "drawn")]), 5
    pack = open_pack("pocket")
    shutil.copytree(pack.role("identity"), tmp_path / "other")
    weights = load_file(tmp_path / "other" / "model.safetensors")
    name = next(iter(weights))
    weights[name] = torch.zeros_like(weights[name])
    save_file(weights, tmp_path / "other" / "model.safetensors", {"format": "pt"})
    other = replace(pack, roles={**pack.roles, "identity": tmp_path / "other"})
    first = identity_adapter.embeddings(rows, 2, pack, tmp_path / "run")
    (kept,) = (tmp_path / "run").iterdir()
    np.save(kept, np.zeros_like(first))
    assert not identity_adapter.embeddings(rows, 2, pack, tmp_path / "run").any()
    assert identity_adapter.embeddings(rows, 2, other, tmp_path / "run").any()


def test_the_page_shows_only_what_is_there(pretrain_scripts: Path, tmp_path: Path) -> None:
    """Stored figures and the curves of logged runs; every picture it links to exists, and a curve
    says whether it is of the run that the pack holds."""
    import re

    import page

    last = json.loads((page.POCKET / "facts.json").read_text())["controlnet"]["steps"]

    docs = tmp_path / "docs"
    (docs / "benchmarks").mkdir(parents=True)
    shutil.copy(pretrain_scripts.parents[1] / "docs/benchmarks/pack.json", docs / "benchmarks")
    (tmp_path / "unet").mkdir()
    lines = [json.dumps({"step": 50 * k, "loss": 1 / k, "crisp": 1 / k}) for k in range(1, 9)]
    lines.append('{"step": 450, "lo')  # a kill cut it
    (tmp_path / "unet" / "log.jsonl").write_text("\n".join(lines))
    (tmp_path / "controlnet").mkdir()
    lines = [json.dumps({"step": step, "error": 1 / step}) for step in (1, last)]
    (tmp_path / "controlnet" / "log.jsonl").write_text("\n".join(lines))
    (tmp_path / "pose").mkdir()
    (tmp_path / "pose" / "log.jsonl").write_text(json.dumps({"step": 1, "pck_5": 0.1}))
    page.main(["--work", str(tmp_path), "--docs", str(docs)])
    text = (docs / "pack.md").read_text()
    linked = re.findall(r"\]\((pictures/[^)]+)\)", text)
    assert linked == ["pictures/curve-unet.svg", "pictures/curve-controlnet.svg"]
    assert "`unet` (an earlier run of 400 steps" in text
    assert f"`controlnet` (the last run, {last:,} steps): error" in text
    (without,) = re.findall("No curves of (.*): the logs", text)
    assert {"`pose`", "`expression-twin`"} <= set(without.split(", "))  # one point is no curve
    assert "`unet`" not in without
    assert "<svg" in (docs / linked[0]).read_text()
    assert "Reconstruction, drawings" in text
    assert re.search(r"\| unet \| [\d,]+ \|", text)


def test_the_page_says_what_works_on_real_pictures(pretrain_scripts: Path) -> None:
    """By the stored figures: what all of the interval says is right, what chance would get as well,
    and what lies between; a figure that is not stored is not spoken of."""
    import page

    from onbrand.bench.record import metric

    metrics = {
        "pa_gopher_fraction": metric(0.95, (0.9, 0.97), bar=0.9),
        "photographs_fraction": metric(0.8, (0.6, 0.9)),
        "captions_gopher_fraction": metric(0.2, (0.05, 0.4)),
        "tags_f1": metric(0.3),
    }
    twin = {"photographs_fraction": metric(0.5, (0.4, 0.6))}
    text = page.real_pictures({"metrics": metrics, "baselines": {"twin": twin}})
    works, rest = text.removeprefix("**Works**").split("**In part**")
    part, not_at_all = rest.split("**Does not**")
    assert "95\u202f% (90–97) (chance 50\u202f%, bar ≥ 90\u202f% met)" in works
    assert "80\u202f% (60–90) (the twin 50\u202f% (40–60), chance 8\u202f%)" in part
    assert "20\u202f% (5–40) (chance 5\u202f%)" in not_at_all
    assert text.count("\n- ") == 3
    found = {"emoji_nouns_fraction": metric(0.25, (0.2, 0.3), bar=0.7) | {"num": 31}}
    base = page.drawn_from_real({"metrics": found, "baselines": {}})
    assert "25\u202f% (20–30)" in base
    assert "of 31 pairs" in base
    assert "codec" not in base


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
