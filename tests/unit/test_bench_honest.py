"""What a benchmark may say: nothing beyond chance, of other code, of another machine or of a set
that cannot be told."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from onbrand.app.cli.bench import _print_against
from onbrand.bench import compare, probe, render_section
from onbrand.bench.diagnosis.plant import FAULTY, SEVERITIES
from onbrand.bench.diagnosis.score import base_accused, calibrated, figures
from onbrand.bench.pack import _probe
from onbrand.bench.record import metric
from onbrand.events import silent
from onbrand.models.packs import Pack

MACHINE = {
    "processor": "quick one", "cores": 1, "memory_gib": 1, "accelerator": "none", "torch": "2",
}  # fmt: skip


def pack_result(ratio: float, num: int, **others: object) -> dict[str, object]:
    """A result of `bench pack` with this Fréchet ratio, of so many pictures."""
    told = {"frechet_ratio": metric(ratio, better="lower"), **others}
    return {
        "name": "pack", "quick": False, "num_likeness": num, "metrics": told, "baselines": {},
    }  # fmt: skip


def test_a_figure_without_an_interval_decides_nothing() -> None:
    """Nobody knows what chance does to it; but a tenth is none. Where nothing differs, nothing is
    said."""
    seen = compare(pack_result(3.4, 960), pack_result(3.41, 960))
    assert (seen.better, seen.worse, seen.undecided) == ((), (), ("frechet_ratio",))
    assert not seen.lost
    assert compare(pack_result(3.4, 960), pack_result(3.4, 960)).undecided == ()
    sure = {"identity": metric(0.9, (0.8, 1.0))}
    less, little = ({"identity": metric(value)} for value in (0.85, 0.1))
    assert compare(pack_result(3, 9, **less), pack_result(3, 9, **sure)).undecided == ("identity",)
    assert compare(pack_result(3, 9, **little), pack_result(3, 9, **sure)).worse == ("identity",)


def test_ratios_of_other_numbers_of_pictures_stand_not_beside_each_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """More pictures make the same model's ratio larger; one that is measured no more is missed."""
    _print_against(pack_result(2.25, 5000), pack_result(1.15, 960))
    said = capsys.readouterr().out
    assert "2.2" in said
    assert "1.1" not in said
    assert "another number of pictures): frechet_ratio" in said
    gone = {**pack_result(0, 0), "metrics": {}}
    with pytest.raises(typer.Exit):
        _print_against(gone, pack_result(1.15, 960))


def test_changed_code_is_measured_anew(
    tiny_pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts and pictures of a pack lie by the code that made them, and stay while it does."""

    def drawn() -> tuple[Path, set[Path]]:
        opened = _probe(str(tiny_pack.root), True, tmp_path, 7, tmp_path, silent)
        opened.draw(["a fox"], 2)
        return opened.folder, set((tmp_path / "pictures").iterdir())

    folder, pictures = drawn()
    assert drawn() == (folder, pictures)
    monkeypatch.setattr(probe, "source_fingerprint", lambda: "changed")
    after, more = drawn()
    assert after != folder
    assert len(more) == 2


def test_figures_of_another_machine_say_so() -> None:
    """The processor stands beside the commit where it is another one."""
    found = {
        "name": "training", "metrics": {}, "baselines": {}, "seed": 7, "seconds": 1, "version": "0",
        "commit": "now", "machine": MACHINE,
        "measured_at": {"slow": "a1", "same": "b2", "old": "c"},
        "measured_on": {"slow": "slow one", "same": "quick one"},
    }  # fmt: skip
    text = render_section(found)
    assert "; slow by a1 on slow one; same by b2; old by c)" in text


def character(fault: str, planted: list[dict[str, float]], **more: object) -> dict[str, object]:
    """A character's record: these sets with that fault, none with another, and a clean set."""
    sets = {f: {str(s): planted if f == fault else [{}] for s in SEVERITIES} for f in FAULTY}
    return {"planted": sets, "clean": [{fault: -0.2}], "single": [], **more}


def test_a_fault_that_cannot_be_told_is_no_hit() -> None:
    """A set in which no pose is found is not worse than a clean one with more variety than the
    base; nor has a fault that no set tells a limit, nor memorised, which is defined."""
    limits = dict.fromkeys(FAULTY, 0.1)
    untold = figures([character("pose", [{}])] * 6, limits, 7)
    assert untold["auc_pose"]["value"] == 0
    assert untold["named_pose_fraction"]["value"] == 0
    assert untold["auc_oily"]["value"] == 0.5, "told of no set at all"
    told = figures([character("pose", [{"pose": 0.0}])] * 6, limits, 7)
    assert told["auc_pose"]["value"] == 1
    both = [{"pose": 0.4}, {}]
    assert calibrated([character("pose", both)]) == {"pose": pytest.approx(0.1)}


def test_the_base_may_be_accused_of_its_own_shapes() -> None:
    """Its sets count by character; what both seem to have memorised is chance."""
    limits = dict.fromkeys(FAULTY, 0.1)
    shaky = {"again": [{"shapes": 0.3, "memorised": 0.9}, {"shapes": 0.0, "memorised": 0.9}]}
    found = base_accused([shaky] * 6, limits, 7)["base_accused_fraction"]
    assert found["value"] == 0.5
    assert found["num"] == 6
