"""scripts/pretrain/parsing_bias.py: labels win a pixel where that makes overlaps greater."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytestmark = pytest.mark.usefixtures("pretrain_scripts")


def crowded(num: int = 4000) -> tuple[Tensor, Tensor]:
    """Logits [n, 3] of labels of which the last is rare and, as it is taught, hardly ever wins."""
    chances = torch.Generator().manual_seed(3)
    truth_n = torch.multinomial(torch.tensor([0.6, 0.35, 0.05]), num, True, generator=chances)
    logits_nl = torch.randn(num, 3, generator=chances)
    logits_nl[torch.arange(num), truth_n] += 1.5
    logits_nl[:, 2] -= 3.0
    return logits_nl, truth_n


def test_the_mean_overlap_is_that_of_labels_that_are_there() -> None:
    """By hand: two of three pixels of label 0 found, one of one of label 1, and none of label 2."""
    import parsing_bias

    logits_nl = torch.tensor([[9.0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 9, 0]])
    truth_n = torch.tensor([0, 0, 0, 1])
    iou = parsing_bias.mean_iou(logits_nl, truth_n, torch.zeros(3))
    assert iou == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_rare_label_that_hardly_wins_is_helped() -> None:
    """Its bias goes up, and so does the mean overlap; what is best already is left alone."""
    import parsing_bias

    logits_nl, truth_n = crowded()
    bias_l = parsing_bias.biases(logits_nl, truth_n)
    before = parsing_bias.mean_iou(logits_nl, truth_n, torch.zeros(3))
    assert bias_l[2] - bias_l[0] > 1
    assert parsing_bias.mean_iou(logits_nl, truth_n, bias_l) > before + 0.05
    certain = 9 * torch.eye(3)
    assert torch.equal(parsing_bias.biases(certain, torch.arange(3)), torch.zeros(3))


def test_the_biases_alone_are_changed(tmp_path: Path) -> None:
    """The exported parser differs from the one it began with in its last bias and nothing else."""
    import draw
    import parsing
    import parsing_bias
    from safetensors.torch import load_file

    draw.main(["--subjects", "1", "--processes", "1", "--out", str(tmp_path / "drawn")])
    torch.manual_seed(0)
    parsing.build().save_pretrained(tmp_path / "old")
    parsing_bias.main(
        [
            "--drawn", str(tmp_path / "drawn"), "--held-out", str(tmp_path / "drawn"),
            "--start", str(tmp_path / "old"), "--out", str(tmp_path / "new"), "--threads", "1",
        ]
    )  # fmt: skip
    old = load_file(tmp_path / "old" / "model.safetensors")
    new = load_file(tmp_path / "new" / "model" / "model.safetensors")
    changed = [n for n in old if not torch.equal(old[n].half(), new[n].half())]
    assert changed == ["decode_head.classifier.bias"]
    assert json.loads((tmp_path / "new" / "scores.json").read_text())["iou_mean"] > 0


def test_it_says_what_it_wants(tmp_path: Path) -> None:
    """Without a parser to change there is nothing to do."""
    import parsing_bias

    with pytest.raises(SystemExit, match="--start"):
        parsing_bias.main(["--out", str(tmp_path)])
