"""What a base cannot give is told: eyes that another pack lends, eyes that nobody has, identities
that its network takes none of; before anything is written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from brand_folder import draw_picture

import onbrand as ob
from onbrand.app.cli import main
from onbrand.errors import InputError, PackError
from onbrand.events import Event, Started, Warned
from onbrand.models import packs
from onbrand.models.diffusion import load_diffusion
from onbrand.models.identity import open_way
from onbrand.models.packs import Pack
from onbrand.road.page import _borrowed

RECIPE = """
base = "{base}"
{more}
[lora]
rank = 2
[validation]
num_prompts = 1
num_per_prompt = 2
num_steps = 1
[[stage]]
kind = "expression"
batch_size = 2
num_steps = 1
losses = {{ pose = 0.1, identity = 0.1 }}
[[gate]]
after = "expression"
metric = "pose_variety"
at_least = 0.0
"""
MODES = ("attended", "tokens", "modulation")
FLOWS = ("sd3", "flux")


def begin(folder: Path, base: Path, more: str = "") -> Path:
    """A brand of four drawn pictures, not trained yet."""
    (folder / "drawn").mkdir(parents=True)
    for index in range(4):
        draw_picture(index).save(folder / "drawn" / f"{index}.png")
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(base=base, more=more))
    return ob.new(folder / "kuro", pictures=folder / "drawn", subject="fox", recipe=str(recipe))


def without_pose(pack: Path, out: Path) -> Path:
    """A copy of the pack that names no pose estimator."""
    shutil.copytree(pack, out)
    listed = (out / "pack.toml").read_text().splitlines()
    kept = [line for line in listed if not line.startswith("pose ")]
    (out / "pack.toml").write_text("\n".join(kept))
    return out


def written(folder: Path) -> dict[str, int]:
    """Every file below the folder, and when it was written."""
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def said(capsys: pytest.CaptureFixture, *words: str | Path) -> tuple[int, str]:
    """Exit code and stderr of the command line."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0), " ".join(capsys.readouterr().err.split())


def lent(heard: list[Event]) -> list[int]:
    """Where in what was heard another pack's eyes are told of."""
    return [k for k, e in enumerate(heard) if isinstance(e, Warned) and "look instead" in e.message]


def test_a_borrowed_eye_is_told_of_once(tmp_path: Path, tiny_pack_folder: Path) -> None:
    """A pack without pose: loss, gate, role, both packs and what the lent eye knows, by plan and by
    train before they begin; not the identity, of which the pack has its own."""
    brand = begin(tmp_path, without_pose(tiny_pack_folder, tmp_path / "half"))
    for verb, task in ((ob.plan, "rehearsal"), (ob.train, "expression")):
        heard: list[Event] = []
        verb(brand, emit=heard.append)
        (place,) = lent(heard)
        assert place < heard.index(next(e for e in heard if getattr(e, "task", "") == task))
        message = getattr(heard[place], "message", "")
        assert message.startswith(
            "pack 'tiny' has no model of its own for 'pose' (the loss 'pose' of stage 'expression',"
            " the gate on 'pose_variety' after 'expression'): those of the pack 'pocket' look"
        )
        assert "they know drawings alone" in message
        assert "identity" not in message


def test_the_command_line_tells_of_lent_eyes(
    tmp_path: Path, tiny_hub_base: Path, capsys: pytest.CaptureFixture
) -> None:
    """`train --plan` on a plain diffusers folder says that both losses, the gate and the choice of
    a stage look through the built-in pack's eyes."""
    brand = begin(tmp_path, tiny_hub_base)
    code, told = said(capsys, "train", brand, "--plan")
    assert code == 0
    assert told.count("look instead, and they know drawings alone") == 1
    assert "'identity' (the loss 'identity' of stage 'expression', the choice of a stage)" in told
    assert "'alignment' (the choice of a stage)" in told
    assert "'pose' (the loss 'pose' of stage 'expression', the gate on 'pose_variety'" in told


def test_a_pack_with_eyes_of_its_own_borrows_none(tmp_path: Path, tiny_pack_folder: Path) -> None:
    """Nothing is said of lent eyes where the pack has every role."""
    heard: list[Event] = []
    ob.plan(begin(tmp_path, tiny_pack_folder), emit=heard.append)
    assert [e for e in heard if isinstance(e, Started)]
    assert lent(heard) == []


@pytest.mark.parametrize("plan", [[], ["--plan"]], ids=["train", "plan"])
def test_an_eye_that_nobody_has_reaches_the_user(
    tmp_path: Path,
    tiny_pack_folder: Path,
    plan: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """No pose estimator here nor in the fallback: a line names the loss, then, without that, the
    gate; nothing is written."""
    brand = begin(tmp_path, without_pose(tiny_pack_folder, tmp_path / "half"))
    before = written(tmp_path)
    monkeypatch.setattr(packs, "BUILT_IN", {"pocket": tmp_path / "half"})
    code, told = said(capsys, "train", brand, *plan)
    assert code == 1
    assert (
        "error: the loss 'pose' of stage 'expression' looks through the role 'pose': pack" in told
    )
    assert "has no model for the role 'pose', nor has the pack 'pocket'" in told
    assert written(tmp_path) == before
    recipe = brand / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("pose = 0.1,", ""))
    code, told = said(capsys, "train", brand, *plan)
    assert code == 1
    assert "error: the gate on 'pose_variety' after 'expression' looks through the role" in told


def test_the_report_tells_whose_judges_are_lent(tiny_pack: Pack, tiny_hub_base: Path) -> None:
    """A pack with all roles has nothing to tell; a plain folder names what is lent, and by whom."""
    assert _borrowed(tiny_pack) == ""
    told = _borrowed(packs.open_pack(tiny_hub_base))
    assert "no encoders of its own for identity, alignment, pose, attributes, parsing" in told
    assert "those of the pack pocket look instead. They know drawings alone" in told


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FLOWS)
def test_no_way_leads_into_a_transformer(
    family_pack: Callable[[str], Pack],
    tmp_path: Path,
    name: str,
    mode: str,
    capsys: pytest.CaptureFixture,
) -> None:
    """All three ways are refused in one sentence by train and by its plan; nothing is written."""
    brand = begin(tmp_path, family_pack(name).root, f'identity = {{ mode = "{mode}" }}')
    before = written(tmp_path)
    for plan in ([], ["--plan"]):
        code, told = said(capsys, "train", brand, *plan)
        assert code == 1
        assert f"error: [identity] mode = \"{mode}\": pack 'tiny_{name}' is " in told
        assert "an identity enters U-Nets only" in told
        assert written(tmp_path) == before


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FLOWS)
def test_a_way_is_not_begun_on_a_transformer(
    family_pack: Callable[[str], Pack], name: str, mode: str
) -> None:
    """Opening it on a loaded model is the same sentence, not a missing attribute."""
    with pytest.raises(PackError, match="an identity enters U-Nets only"):
        open_way(load_diffusion(family_pack(name)), mode, embedding_dim=8)


def test_what_cannot_show_identities_is_refused_before_a_folder_is_made(
    tiny_pack_folder: Path,
    tiny_hub_base: Path,
    family_pack: Callable[[str], Pack],
    tmp_path: Path,
) -> None:
    """Masks, or two characters, for the ways that know no regions; a base without an adapter; a
    transformer."""
    draw_picture(0).save(tmp_path / "mask.png")
    for mode in ("tokens", "modulation"):
        brand = begin(tmp_path / mode, tiny_pack_folder, f'identity = {{ mode = "{mode}" }}')
        ob.train(brand)
        who = ob.make_identity(
            tmp_path / mode / "who", tmp_path / "mask.png", base=str(tiny_pack_folder)
        ).root
        for asked in (
            {"identities": [who], "masks": [tmp_path / "mask.png"]},
            {"identities": [who] * 2},
        ):
            with pytest.raises(InputError, match=f"the way '{mode}' knows no regions"):
                ob.generate("waving", brand, **asked)
        assert not (brand / "generated").exists()
    for base, why in (
        (tiny_hub_base, "has no identity adapter"),
        (family_pack("flux").root, "an identity enters U-Nets only"),
    ):
        brand = begin(tmp_path / base.name, base)
        who = ob.make_identity(tmp_path / base.name / "who", tmp_path / "mask.png", base=str(base))
        with pytest.raises(PackError, match=why):
            ob.generate("waving", brand, identities=[who.root])
        assert not (brand / "generated").exists()
