"""scripts/pretrain from nothing to a pack that opens, with tiny settings and the real classes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

pytestmark = pytest.mark.usefixtures("pretrain_scripts")


@pytest.fixture(scope="module")
def work(pretrain_scripts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with eight made-up emoji and five characters drawn."""
    root = tmp_path_factory.mktemp("pretrain")
    source = root / "fluent-emoji"
    (source / "flat").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = []
    for i in range(8):
        pixels = np.zeros((128, 128, 4), np.uint8)
        pixels[20:100, 20:100] = [*rng.integers(0, 255, 3), 255]
        Image.fromarray(pixels).save(source / "flat" / f"{i}.webp")
        lines.append(
            json.dumps({"file_name": f"flat/{i}.webp", "text": f"thing {i}", "style": "flat"})
        )
    (source / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    import draw

    for name in ("drawn", "drawn-held-out"):
        draw.main(["--subjects", "5", "--processes", "1", "--out", str(root / name)])
    for name in ("products", "fashion", "faults"):
        arguments = ["--world", name, "--subjects", "2", "--processes", "1"]
        draw.main([*arguments, "--out", str(root / f"drawn-{name}")])
    return root


def common(work: Path, role: str) -> list[str]:
    """Arguments that every script takes."""
    return [
        "--out", str(work / role), "--emoji", str(work / "fluent-emoji"),
        "--gopher", str(work / "none"), "--drawn", str(work / "drawn"),
        "--work", str(work / "emoji"), "--threads", "1",
    ]  # fmt: skip


def test_the_drawn_set_is_deterministic_and_never_reserved(work: Path, tmp_path: Path) -> None:
    """Drawing again gives the same bytes; what is done is skipped; no reserved look is there."""
    import draw
    import worlds

    from onbrand.illustrator import RESERVED_IDS, character, lookalikes

    drawn = draw.Drawn(work / "drawn")
    assert len(drawn) == 25
    reserved = {
        p.signature for k in RESERVED_IDS for p in [character(k), *lookalikes(character(k))]
    }
    for index in range(5):
        for person, _, _ in worlds.people_and_scenes(index):
            assert person.id not in RESERVED_IDS
            assert person.signature not in reserved
    assert draw.draw_shard(work / "drawn", "mascots", 0, 0, 5) == 0
    draw.main(["--subjects", "5", "--processes", "1", "--out", str(tmp_path)])
    assert (draw.Drawn(tmp_path).pixels_map == drawn.pixels_map).all()
    assert drawn.labels[4]["changed_trait"] is not None
    assert (drawn.pixels(4) != drawn.pixels(0)).any()


def test_the_other_worlds_are_drawn_and_captioned(work: Path) -> None:
    """Ten pictures each, no two alike, with captions; a fault's caption says what is wrong."""
    import draw

    from onbrand.illustrator import FAULTS

    for name in ("products", "fashion", "faults"):
        drawn = draw.Drawn(work / f"drawn-{name}")
        assert len({drawn.pixels(i).tobytes() for i in range(10)}) == len(drawn) == 10
        assert all(caption for label in drawn.labels for caption in label["captions"])
        if name == "faults":
            for label in drawn.labels:
                assert label["captions"][0].endswith(FAULTS[label["fault"]].words)


def test_vae_folds_its_statistics_and_resumes(work: Path) -> None:
    """Three steps in two runs; after export latents are near N(0, 1) and pictures as before."""
    import pictures
    import vae
    from diffusers import AutoencoderKL

    arguments = [*common(work, "vae"), "--batch", "2", "--every", "2", "--channels", "8", "8", "8"]
    arguments += ["--fold-batches", "1", "--num", "2"]
    vae.main([*arguments, "--steps", "2"])
    vae.main([*arguments, "--steps", "3"])
    model = AutoencoderKL.from_pretrained(work / "vae" / "vae", torch_dtype=torch.float32)
    assert model.config.scaling_factor == 1.0
    x = pictures.to_tensor(np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), np.uint8))
    fresh = vae.build((8, 8, 8)).eval()
    before = vae.reconstruct(fresh, x)
    with torch.no_grad():
        vae.fold(fresh, [x])
        latents = fresh.encode(x).latent_dist.mode()
    assert latents.mean((0, 2, 3)).abs().max() < 1e-4
    assert (latents.std((0, 2, 3)) - 1).abs().max() < 1e-3
    assert (vae.reconstruct(fresh, x) - before).abs().max() < 1e-3


def test_psnr_is_the_textbook_figure() -> None:
    """An error of 0.1 in [0, 1] everywhere is 20 dB; a mask looks only inside."""
    import pictures

    one, two = torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.2)
    assert pictures.psnr(one, two) == pytest.approx(20.0, abs=1e-4)
    two[..., 4:] = 1.0
    mask = torch.zeros(2, 8, 8)
    mask[..., :4] = 1
    assert pictures.psnr(one, two, mask) == pytest.approx(20.0, abs=1e-4)


def test_a_drawn_picture_tells_its_captions_again(work: Path) -> None:
    """From its label alone: the first says what the label does, no other does."""
    import worlds
    from draw import Beside

    rng, seen = np.random.default_rng(0), set()
    for label in Beside.open(work / "drawn").labels:
        if (world := worlds.world_of(label)) is None:
            continue
        seen.add(world)
        true, *others = worlds.captions_of(label, rng, 5)
        said = [v for k, v in label["attributes"].items() if k in ("species", "colour")]
        assert all(word in true for word in said)
        assert len(set(others) - {true}) == 4
    assert "mascots" in seen


def test_near_id_loss_prefers_separated_look_alikes() -> None:
    """The loss is small when the positive is near and its look-alike is not, else large."""
    import identity

    eye = torch.eye(6)
    good, pa = identity.nearid_loss(eye[:3], eye[:3], eye[3:])
    bad, pa_bad = identity.nearid_loss(eye[:3], eye[3:], eye[:3])
    assert good < bad
    assert (float(pa), float(pa_bad)) == (1.0, 0.0)


def test_trait_heads_pass_over_what_cannot_be_seen() -> None:
    """A hidden trait adds nothing; with all but one hidden the loss is that one's alone."""
    import identity

    heads, eye = identity.Traits(), torch.randn(2, 128)
    truth = torch.full((2, len(identity.TRAITS)), identity.UNSEEN)
    truth[0, 1] = 3
    alone = torch.nn.functional.cross_entropy(heads.heads[1](eye[:1]), torch.tensor([3]))
    assert heads(eye, truth).item() == pytest.approx(alone.item(), abs=1e-6)


def test_thirds_stay_thirds_when_stacks_are_joined() -> None:
    """Anchors, positives and look-alikes of both worlds lie where the loss looks for them."""
    import identity

    joined = identity.beside(torch.arange(6), torch.arange(10, 13))
    assert joined.tolist() == [0, 1, 10, 2, 3, 11, 4, 5, 12]


def test_faces_weigh_more_than_the_sky(work: Path) -> None:
    """Weights are 1 on background, `detail` on eyes and mouths; emoji rows are 1 everywhere."""
    import latents
    from draw import Beside, Drawn

    drawn = Drawn(work / "drawn")
    rows = latents.Latents.__new__(latents.Latents)
    rows.drawn, rows.num_drawn, rows.size = Beside([drawn]), 1, 32
    rows.maps = {"fine": np.stack([rows.fine(0), rows.fine(1)])}
    weights = rows.weights(np.array([0, 1]), 4.0)
    assert weights.shape == (2, 1, 32, 32)
    assert set(weights[0].unique().tolist()) == {1.0, 4.0}
    eyes = drawn.parts(0) == latents.PARTS.index("eyes")
    rows_px, columns_px = np.nonzero(eyes)
    if len(rows_px):
        assert float(weights[0, 0, rows_px[0] // 4, columns_px[0] // 4]) == 4.0
    assert bool((weights[1] == 1).all())


def test_noise_levels_are_drawn_where_edges_form() -> None:
    """More than a third of the samples have t < 200 (uniform: a fifth), and the last step stays."""
    import unet

    below = unet.levels(1.0).share_below
    assert below[-1] == pytest.approx(1, abs=1e-6)
    assert below[199] > 0.35
    assert below[999] - below[998] >= 0.3 / 1000


def latent_options(work: Path) -> list[str]:
    """Where tokenizer, VAE and latents of the work folder are."""
    return [
        "--tokenizer", str(work / "tokenizer" / "tokenizer"), "--vae", str(work / "vae" / "vae"),
        "--latents", str(work / "latents"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def losses(work: Path) -> list[float]:
    """VAE, tokenizer, text encoder and 50 steps of the U-Net, whose losses these are."""
    import tokens
    import unet
    import vae
    import words

    from onbrand.events import Advanced, Event

    heard: list[Event] = []
    if not (work / "vae" / "vae").exists():
        small = ["--steps", "1", "--fold-batches", "1", "--num", "2", "--channels", "8", "8", "8"]
        vae.main([*common(work, "vae"), "--batch", "2", *small])
    tokens.main([*common(work, "tokenizer"), "--size", "3500"])
    tokenizer = latent_options(work)[:2]
    few = ["--steps", "2", "--batch", "4", "--held-out"]
    words.main([*common(work, "words"), *tokenizer, *few, str(work / "none")])
    scores = json.loads((work / "words" / "scores.json").read_text())
    assert all(name.startswith("trained_") for name in scores)
    words.main([*common(work, "words"), *tokenizer, *few, str(work / "drawn-held-out")])
    scores = json.loads((work / "words" / "scores.json").read_text())
    assert not any(name.startswith("trained_") for name in scores)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unet, "printer", lambda: heard.append)
        unet.main(
            [
                *common(work, "unet"), *latent_options(work), "--steps", "50", "--batch", "8",
                "--every", "25", "--rate", "1e-2", "--words", str(work / "words" / "text_encoder"),
                "--channels", "16", "16", "16", "--no-sheets",
            ]
        )  # fmt: skip
    return [e.numbers["loss"] for e in heard if isinstance(e, Advanced) and e.task == "unet"]


@pytest.fixture(scope="module")
def pocket(work: Path, losses: list[float], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every eye trained for a step or two, and the pack exported."""
    import alignment
    import attributes
    import clicks
    import export
    import expression
    import identity
    import parsing
    import pose
    import tagger

    assert losses
    eyes = ["--held-out", str(work / "drawn-held-out"), "--steps", "1", "--batch", "3"]
    reader = ["--start", str(work / "attributes" / "model")]
    attributes.main([*common(work, "attributes"), *eyes])
    attributes.main([*common(work, "attributes"), *eyes, *reader, "--steps", "2"])
    pose.main([*common(work, "pose"), *eyes])
    identity.main([*common(work, "identity"), *eyes, "--reading", "0"])
    identity.main([*common(work, "identity-twin"), *eyes, "--twin", *reader])
    tagger.main([*common(work, "tagger"), *eyes, "--start", str(work / "identity" / "model")])
    for script in (parsing, expression, clicks):
        script.main([*common(work, script.__name__), *eyes])
    for script in (pose, expression):
        script.main([*common(work, f"{script.__name__}-twin"), *eyes, "--twin"])
    told = [*eyes, *latent_options(work)[:2], "--vision"]
    alignment.main([*common(work, "alignment"), *told, str(work / "tagger" / "model")])
    seen = str(work / "attributes" / "model")
    alignment.main([*common(work, "alignment-twin"), *told, seen, "--twin"])
    folder = tmp_path_factory.mktemp("exported") / "pocket"
    export.main(["--work", str(work), "--out", str(folder)])
    return folder


def test_fifty_steps_teach_the_unet_something(losses: list[float]) -> None:
    """Its loss falls by a tenth at least."""
    assert len(losses) == 50
    assert np.mean(losses[-15:]) < 0.9 * np.mean(losses[:15])


def test_from_nothing_to_a_pack_that_opens(pocket: Path) -> None:
    """The exported pack has every role, says whose pictures it learned from, leaves nothing by."""
    from onbrand.models.packs import open_pack

    pack = open_pack(pocket)
    eyes = {"identity", "alignment", "pose", "parsing", "clicks", "expression", "tagger"}
    assert set(pack.roles) == eyes | {
        "twin_identity", "twin_alignment", "twin_pose", "twin_expression", "attributes",
    }  # fmt: skip
    assert pack.num_px == 128
    assert "MIT" in (pocket / "README.md").read_text()
    assert not list(pocket.parent.glob("pocket.*"))


def test_exported_eyes_are_rounded_to_eight_bits_and_widened_again(
    work: Path, pocket: Path
) -> None:
    """Kernels are stored as float8 within a sixteenth of their value, norms as they were; what is
    opened computes in float32."""
    from onbrand.models.packs import open_pack
    from onbrand.models.perception import load_pose

    was = load_file(work / "pose" / "model" / "model.safetensors")
    stored = load_file(pocket / "pose" / "model.safetensors")
    for name, tensor in stored.items():
        if tensor.ndim < 2:
            assert torch.equal(tensor, was[name])
            continue
        assert tensor.dtype == torch.float8_e4m3fn
        off = (tensor.float() - was[name].float()).abs()
        assert (off <= was[name].float().abs() / 16 + 2**-10).all()
    opened = dict(load_pose(open_pack(pocket)).module.named_parameters())
    assert all(parameter.dtype == torch.float32 for parameter in opened.values())
    assert all(torch.equal(opened[name], t.float()) for name, t in stored.items() if name in opened)


def test_a_pack_is_gone_on_with(
    work: Path, pocket: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A U-Net and a ControlNet begin where the exported base is, an identity adapter is of it and
    of its encoder; a new export is the next revision and keeps what was not trained again."""
    import controlnet
    import export
    import identity_adapter
    import unet

    from onbrand.errors import WeightsError
    from onbrand.models.control import load_controlnet
    from onbrand.models.diffusion import load_diffusion
    from onbrand.models.identity import load_adapter
    from onbrand.models.packs import open_pack

    latents = latent_options(work)
    start = ["--start", str(pocket), "--steps", "1", "--batch", "2", "--no-sheets"]
    rewarded = ["--own", "2", "--tagger", str(work / "tagger" / "model")]
    unet.main([*common(work, "unet-again"), *latents, *start, *rewarded])
    again = work / "unet-again" / "pipeline" / "unet" / "config.json"
    assert json.loads(again.read_text())["block_out_channels"] == [16, 16, 16]
    seen = json.loads((work / "unet-again" / "scores.json").read_text())
    assert seen == {"pictures seen": 50 * 8 + 1 * 2, "own pictures looked at": 2}
    assert unet.seen_by(work / "unet-again" / "pipeline") == seen
    few = ["--base", str(pocket), "--steps", "2", "--batch", "2", "--num", "2"]
    controlnet.main([*common(work, "controlnet"), *latents[2:], *few])
    assert (work / "controlnet" / "samples" / "000002.png").exists()
    older = ["--start", str(work / "controlnet" / "model")]
    controlnet.main([*common(work, "controlnet-again"), *latents[2:], *few, *older])
    told = ["--base", str(pocket), "--steps", "2", "--batch", "2", "--num", "1", "--people", "2"]
    told += ["--sampling-steps", "2"]
    identity_adapter.main([*common(work, "identity_adapter"), *latents[2:], *told])
    assert (work / "identity_adapter" / "samples" / "000002.png").exists()
    scores = json.loads((work / "identity_adapter" / "scores.json").read_text())
    assert {"cosine", "right", "cosine_nobody", "right_nobody"} <= set(scores)
    shutil.rmtree(work / "alignment")
    export.main(["--work", str(work), "--out", str(pocket)])
    assert "revision 2" in capsys.readouterr().out
    pack = open_pack(pocket)
    assert pack.revision == "2"
    assert {"alignment", "controlnet", "identity_adapter"} <= set(pack.roles)
    load_controlnet(pack)
    load_adapter(load_diffusion(pack), pack)
    assert "| alignment | 1 |" in (pocket / "README.md").read_text()
    shutil.rmtree(work / "identity_adapter")
    shutil.rmtree(work / "identity" / "model")
    shutil.copytree(work / "tagger" / "model", work / "identity" / "model")
    export.main(["--work", str(work), "--out", str(pocket)])
    assert "identity is new, identity_adapter the old pack's" in capsys.readouterr().out
    with pytest.raises(WeightsError, match="told by another identity encoder"):
        load_adapter(load_diffusion(open_pack(pocket)), open_pack(pocket))
