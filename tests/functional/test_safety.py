"""What must not be shown comes neither in nor out: words of briefs and captions, and pictures, by
the checker that a pack names. It is a tiny random one here, taught the pictures to refuse."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from brand_folder import SHORTEST_RECIPE
from PIL import Image
from tiny_hub import build_safety

import onbrand as ob
from onbrand.app.cli import main
from onbrand.errors import DatasetError, PromptError
from onbrand.events import Event, Skipped, Warned
from onbrand.judging.looking import to_pixels
from onbrand.models.packs import open_pack
from onbrand.models.perception.hub import ConceptCheck

REFUSED = "Stable Diffusion's safety checker finds it near to what must not be shown"


@pytest.fixture
def base(tiny_pack_folder: Path, tmp_path: Path) -> Path:
    """A tiny pack whose checker refuses nothing yet."""
    root = Path(shutil.copytree(tiny_pack_folder, tmp_path / "base"))
    build_safety(root / "safety")
    with (root / "pack.toml").open("a") as file:
        file.write('safety = "safety"\n')
    return root


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Six pictures of coloured squares, with captions."""
    root = tmp_path / "drawn"
    root.mkdir()
    rng = np.random.default_rng(3)
    for index in range(6):
        pixels = np.full((48, 48, 3), rng.integers(0, 255, 3), np.uint8)
        top, left = (int(v) for v in rng.integers(2, 20, 2))
        pixels[top : top + 22, left : left + 22] = rng.integers(0, 255, 3)
        Image.fromarray(pixels).save(root / f"{index}.png")
        (root / f"{index}.txt").write_text(f"a red fox sitting, view {index}")
    return root


def begin(folder: Path, drawn: Path, base: Path, **more: object) -> Path:
    """A brand of the drawn pictures on that base."""
    recipe = folder / "recipe.toml"
    recipe.write_text(SHORTEST_RECIPE.format(base=base))
    settings = {"subject": "red fox", **more}
    return ob.new(folder / "kuro", pictures=drawn, recipe=str(recipe), **settings)


def teach(base: Path, others: Sequence[Image.Image], bad: Sequence[Image.Image] = ()) -> None:
    """Let the pack's checker refuse the bad pictures and none of the others; without bad ones all
    of them."""
    eye = ConceptCheck(open_pack(base))
    generator = torch.Generator().manual_seed(0)
    for weight in eye.module.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.5, generator=generator)

    def seen(pictures: Sequence[Image.Image]) -> torch.Tensor:
        pixels = (to_pixels(pictures, eye.size_px) - eye._mean) / eye._deviation
        told = eye.module.vision_model(pixels).pooler_output
        return F.normalize(eye.module.visual_projection(told), dim=-1)

    with torch.no_grad():
        eye.module.concept_embeds_weights.fill_(2.0)
        eye.module.special_care_embeds_weights.fill_(2.0)
        if not bad:
            eye.module.concept_embeds_weights.fill_(-2.0)
        else:
            wanted, rest = seen(bad), seen(others)
            sides = torch.cat([torch.ones(len(wanted)), -torch.ones(len(rest))])
            apart = torch.linalg.lstsq(torch.cat([wanted, rest]), sides[:, None], driver="gelsd")
            concept = F.normalize(apart.solution[:, 0], dim=0)
            near, far = float((wanted @ concept).min()), float((rest @ concept).max())
            assert near > far + 0.004  # cosines are rounded to thousandths
            eye.module.concept_embeds[5] = concept
            eye.module.concept_embeds_weights[5] = (near + far) / 2
    shutil.rmtree(base / "safety")
    eye.module.save_pretrained(base / "safety")


def opened(folder: Path) -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted(folder.glob("*.png"))]


def written(folder: Path) -> dict[str, int]:
    """Every file below the folder but its lock, and when it was written."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path): path.stat().st_mtime_ns for path in files}


# -- words -----------------------------------------------------------------------------------


def test_a_brand_is_not_made_of_refused_words(drawn: Path, base: Path, tmp_path: Path) -> None:
    """The brief's words are told with their field; nothing is made."""
    for field, given in (
        ("subject", {"subject": "naked fox"}),
        ("trigger", {"trigger": "nsfw"}),
        ("description", {"description": "a gory red fox"}),
    ):
        with pytest.raises(PromptError, match=rf"the brief's {field} '.*' is refused: '"):
            begin(tmp_path, drawn, base, **given)
    (tmp_path / "brief.toml").write_text(
        'name = "Kuro"\nprompts = ["waving", "n4ked at a beach"]\n'
    )
    with pytest.raises(PromptError, match=r"the brief's prompt 'n4ked at a beach' is refused"):
        begin(tmp_path, drawn, base, brief=tmp_path / "brief.toml")
    assert not (tmp_path / "kuro").exists()


def test_captions_with_refused_words_are_told_at_once(
    drawn: Path, base: Path, tmp_path: Path
) -> None:
    """They say what pictures show; all are named in one warning, and the brand is made. What only
    looks like such a word is none."""
    (drawn / "2.txt").write_text("a red fox in a Gore-Tex jacket")
    (drawn / "3.txt").write_text("a red fox in nude pumps")
    (drawn / "5.txt").write_text("a gory red fox")
    heard: list[Event] = []
    brand = begin(tmp_path, drawn, base, emit=heard.append)
    (told,) = [e.message for e in heard if isinstance(e, Warned) and "list" in e.message]
    assert "the caption of 3.png 'a red fox in nude pumps'" in told
    assert "the caption of 5.png 'a gory red fox'" in told
    assert "Gore-Tex" not in told
    assert brand.is_dir()


def test_an_identity_is_not_described_in_refused_words(
    drawn: Path, base: Path, tmp_path: Path
) -> None:
    """identity make refuses the description before it writes anything."""
    with pytest.raises(PromptError, match="the identity's description 'a naked fox' is refused"):
        ob.make_identity(tmp_path / "who", drawn, description="a naked fox", base=str(base))
    assert not (tmp_path / "who").exists()


def test_what_must_never_appear_may_be_named(drawn: Path, base: Path, tmp_path: Path) -> None:
    """`never`, which goes into the negative prompt, is the place for such words."""
    (tmp_path / "brief.toml").write_text('name = "Kuro"\nnever = ["nudity", "gore"]\n')
    brand = begin(tmp_path, drawn, base, brief=tmp_path / "brief.toml")
    assert ob.Brief.load(brand).never == ["nudity", "gore"]
    assert len(ob.curate(brand).assets) == 6


def test_a_packs_own_list_is_the_one_that_counts(drawn: Path, base: Path, tmp_path: Path) -> None:
    """A pack with an empty refused.json lets every word through."""
    (base / "refused.json").write_text('{"words": {}}')
    brand = begin(tmp_path, drawn, base, description="a naked fox")
    assert len(ob.curate(brand).assets) == 6


@pytest.mark.parametrize("plan", [[], ["--plan"]], ids=["train", "plan"])
def test_nothing_is_trained_on_refused_words(
    drawn: Path, base: Path, tmp_path: Path, plan: list[str], capsys: pytest.CaptureFixture
) -> None:
    """A validation prompt that was edited in is a line at the command line, told before anything
    is written."""
    brand = begin(tmp_path, drawn, base)
    brief = ob.Brief.load(brand)
    brief.model_copy(update={"prompts": ["waving", "a naked fox"]}).save(brand)
    before = written(brand)
    with pytest.raises(SystemExit) as left:
        main(["train", str(brand), *plan])
    assert left.value.code == PromptError.exit_code
    assert "error: the brief's prompt 'a naked fox' is refused" in capsys.readouterr().err
    assert written(brand) == before


# -- pictures --------------------------------------------------------------------------------


def test_a_picture_that_the_checker_refuses_does_not_come_in(
    drawn: Path, base: Path, tmp_path: Path
) -> None:
    """new, curate and identity make leave it out with its reason, and keep the others."""
    bad, *others = opened(drawn)
    teach(base, others, [bad])
    heard: list[Event] = []
    brand = begin(tmp_path, drawn, base, emit=heard.append)
    assert [(e.path, e.reason) for e in heard if isinstance(e, Skipped)] == [("0.png", REFUSED)]
    assert not (brand / "pictures" / "0.png").exists()
    shutil.copy(drawn / "0.png", brand / "pictures" / "new.png")
    dataset = ob.curate(brand)
    told = [(s.path, s.reason) for s in dataset.skipped]
    assert told == [("0.png", REFUSED), ("new.png", REFUSED)], "what new left behind stays told"
    assert len(dataset.assets) == 5
    heard.clear()
    who = ob.make_identity(tmp_path / "who", drawn, base=str(base), emit=heard.append)
    assert [e.reason for e in heard if isinstance(e, Skipped)] == [REFUSED]
    assert [p.source for p in who.pictures] == [f"{k}.png" for k in range(1, 6)]


def test_nothing_is_made_of_refused_pictures_alone(drawn: Path, base: Path, tmp_path: Path) -> None:
    """Where the checker refuses all, new says so and makes nothing."""
    teach(base, [])
    with pytest.raises(DatasetError, match=rf"no usable picture.*0\.png: {REFUSED}"):
        begin(tmp_path, drawn, base)
    assert not (tmp_path / "kuro").exists()


def test_a_drawn_picture_that_the_checker_refuses_is_not_written(
    drawn: Path, base: Path, tmp_path: Path
) -> None:
    """generate tells prompt, seed and reason and keeps the rest, each under its own seed; where all
    are refused it is an error and no folder is left."""
    brand = begin(tmp_path, drawn, base)
    ob.train(brand)
    settings = {"num_per_prompt": 2, "num_steps": 1, "seed": 40}
    free = ob.generate(["waving", "sitting"], brand, **settings)
    pictures = [free.open(index) for index in range(4)]
    teach(base, pictures[::2], pictures[1::2])
    heard: list[Event] = []
    shots = ob.generate(["waving", "sitting"], brand, emit=heard.append, **settings)
    assert [item.file for item in shots.items] == ["000.png", "002.png"]
    assert [item.seed for item in shots.items] == [40, 40]
    names = sorted(path.name for path in shots.root.glob("*.png"))
    assert names == ["000.png", "002.png", "sheet.png"]
    (told,) = [e.message for e in heard if isinstance(e, Warned) and "not written" in e.message]
    assert told == "; ".join(
        f"'{free.items[k].prompt}' with seed 41 is not written: {REFUSED}" for k in (1, 3)
    )
    assert len(ob.Pictures.load(shots.root)) == 2
    teach(base, [])
    with pytest.raises(PromptError, match=r"with seed 40, 41 is not written"):
        ob.generate("waving", brand, **settings)
    assert sorted(path.name for path in (brand / "generated").iterdir()) == ["001", "002"]
