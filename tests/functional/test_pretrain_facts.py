"""What scripts/pretrain keeps and claims: caches of what they were made of, figures of what is
shipped, scores of what was asked."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from onbrand.models.diffusion import load_diffusion
from onbrand.models.packs import open_pack

pytestmark = pytest.mark.usefixtures("pretrain_scripts")
NOTHING = np.zeros((0, 128, 128, 4), np.uint8)


@pytest.fixture(scope="module")
def sets(pretrain_scripts: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two drawn sets of equal size."""
    import draw

    root = tmp_path_factory.mktemp("sets")
    for first in ("0", "40"):
        few = ["--subjects", "1", "--processes", "1", "--first", first]
        draw.main([*few, "--out", str(root / first)])
    return [root / "0", root / "40"]


def test_sets_of_equal_size_have_embeddings_of_their_own(sets: list[Path], tmp_path: Path) -> None:
    """What was seen of one set is not taken for what is in another."""
    import draw
    import identity_adapter
    import latents

    found = []
    for place in sets:
        rows = latents.Latents.__new__(latents.Latents)
        rows.drawn, rows.num_drawn = draw.Beside([draw.Drawn(place)]), 5
        found.append(identity_adapter.embeddings(rows, 2, open_pack("pocket"), tmp_path))
    assert not torch.equal(*found)


def test_latents_of_another_set_or_encoder_are_refused(sets: list[Path], tmp_path: Path) -> None:
    """Sets of equal size and VAEs of one shape are told apart; a decoder alone makes no other."""
    import draw
    import latents

    mine, other = (draw.Beside([draw.Drawn(place)]) for place in sets)
    vae = load_diffusion(open_pack("pocket")).parts["vae"]
    latents.Latents(tmp_path, vae, mine, NOTHING, [])
    with pytest.raises(ValueError, match="another drawn set or VAE: delete it"):
        latents.Latents(tmp_path, vae, other, NOTHING, [])
    with torch.no_grad():
        vae.decoder.conv_out.weight.mul_(1.5)
    latents.Latents(tmp_path, vae, mine, NOTHING, [])
    with torch.no_grad():
        vae.encoder.conv_in.weight.mul_(1.5)
    with pytest.raises(ValueError, match="another drawn set or VAE: delete it"):
        latents.Latents(tmp_path, vae, mine, NOTHING, [])


def test_only_runs_that_left_a_model_tell_facts(tmp_path: Path) -> None:
    """A run that was begun and left nothing keeps the old pack's facts of what is shipped."""
    import export

    for run, made in (("expression", None), ("pose", "model"), ("vae", "vae"), ("unet", None)):
        (tmp_path / run).mkdir()
        (tmp_path / run / "log.jsonl").write_text('{"step": 3, "seconds": 1.0}\n')
        if made:
            (tmp_path / run / made).mkdir()
    assert set(export.facts_of(tmp_path)) == {"vae", "pose"}


def test_a_parser_that_was_only_corrected_tells_its_new_scores(tmp_path: Path) -> None:
    """Without a log there are no steps to tell: those of the old pack stay."""
    import export

    (tmp_path / "parsing" / "model").mkdir(parents=True)
    (tmp_path / "parsing" / "scores.json").write_text('{"iou_mean": 0.8512}')
    assert export.facts_of(tmp_path) == {"parsing": {"iou_mean": 0.851}}


def test_a_new_export_is_the_next_revision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One more than the pack there; a revision that is no number has to be said."""
    import export

    assert export.next_revision(None) == "1"
    (tmp_path / "pack.toml").write_text('revision = "13"')
    assert export.next_revision(tmp_path) == "14"
    (tmp_path / "pack.toml").write_text('revision = "spring"')
    (tmp_path / "facts.json").write_text("{}")
    with pytest.raises(SystemExit):
        export.main(["--out", str(tmp_path)])
    assert "is no number: say the next one by --revision" in capsys.readouterr().err


def test_groups_that_nobody_asked_for_do_not_count(sets: list[Path]) -> None:
    """A tagger that is right about each mascot has an F1 of 1: no product was shown."""
    import tagger
    from draw import Drawn

    truth = tagger.targets_of(Drawn(sets[0]).labels[:1])
    sure = [
        30.0 * torch.nn.functional.one_hot(truth[:, i], len(values))
        for i, values in enumerate(tagger.GROUPS.values())
    ]

    class Right(torch.nn.Module):
        def forward(self, _: torch.Tensor) -> SimpleNamespace:
            return SimpleNamespace(logits=torch.cat(sure, dim=1))

    scores = tagger.measure(Right(), truth, [torch.zeros(1)])
    assert set(scores.values()) == {1.0}
    assert "f1_species" in scores
