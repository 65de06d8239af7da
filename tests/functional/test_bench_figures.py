"""What a benchmark's figures say of themselves: how many, how sure, against what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onbrand.bench.likeness import frechet_ratio
from onbrand.bench.probe import Probe
from onbrand.bench.read_back import ask
from onbrand.bench.record import mean_metric
from onbrand.bench.render import render_section
from onbrand.bench.steer import faults_avoided
from onbrand.bench.summary import summarise
from onbrand.bench.training.follow import _scores
from onbrand.bench.worlds import WORLDS
from onbrand.events import silent
from onbrand.models import open_pack
from onbrand.models.diffusion import load_diffusion
from onbrand.models.packs import Pack


def record(number: int, errors: dict[str, float]) -> dict[str, object]:
    """A character's record with these identity errors, and nothing memorised."""
    return {
        "id": number, "shipped": "detail", "chance": 0.1, "seconds": 1.0,
        "arms": {
            arm: {"identity_error": error, "memorised_fraction": 0.0}
            for arm, error in errors.items()
        },
    }  # fmt: skip


def test_few_groups_have_no_interval_and_every_figure_counts_its_own() -> None:
    """Five groups are too few however many values they have; six will do. What is alike for all is
    bounded as a share."""
    few = mean_metric([0.0, 1.0] * 9, groups=[0, 1, 2, 3, 4, 4] * 3)
    assert few["interval"] is None
    assert few["num"] == 5
    assert mean_metric([0.0, 1.0] * 3)["interval"] is not None
    assert mean_metric([0.0] * 20)["interval"][1] == pytest.approx(0.168, abs=1e-3)
    assert mean_metric([0.0] * 20, share=False)["interval"] == [0, 0]


def test_the_main_claim_is_a_ratio_paired_by_character() -> None:
    """Characters that are hard for all widen the errors' intervals and not the ratio's; each one's
    figures are told, so that anybody can pair them."""
    hard = np.linspace(0.1, 0.4, 8)
    records = [
        record(n, {
            "onbrand": 0.45 * e + 0.002 * (-1) ** n, "prompt_only": e, "dreambooth_lora": 2 * e,
            "base": e, "real": 0.0, "detail": e,
        })
        for n, e in enumerate(hard)
    ]  # fmt: skip
    found = summarise(records, seed=0)
    ratio = found["metrics"]["identity_error_over_prompt_only"]
    assert ratio["value"] == pytest.approx(0.45)
    assert ratio["holds"] is True
    assert ratio["num"] == 8
    low, high = ratio["interval"]
    assert 0 < high - low < 0.05
    low, high = found["metrics"]["identity_error"]["interval"]
    assert high - low > 0.05
    other = found["metrics"]["identity_error_over_dreambooth_lora"]
    assert other["value"] == pytest.approx(0.225)
    assert found["characters"][3]["id"] == 3
    told = found["characters"][3]["figures"]
    assert told["prompt_only"]["identity_error"] == pytest.approx(hard[3], abs=1e-4)
    assert set(told) == {"onbrand", "prompt_only", "dreambooth_lora"}
    assert found["metrics"]["memorised_fraction"]["interval"] == [
        0, pytest.approx(1 - 0.025 ** (1 / 8)),
    ]  # fmt: skip
    few = summarise(records[:5], seed=0)["metrics"]["identity_error_over_prompt_only"]
    assert few["interval"] is None


def test_who_draws_as_the_illustrator_does_has_the_frechet_ratio_one(
    tiny_pack: Pack, tmp_path: Path
) -> None:
    """True drawings in the model's place are as near to those of other prompts as true drawings
    are."""

    class Ideal(Probe):
        """Its pictures are the illustrator's own of these prompts."""

        def draw(self, prompts: list[str], *settings: object, **more: object) -> list[Image.Image]:
            seed = int(np.random.SeedSequence([self.seed, 0, 0]).generate_state(1)[0])
            asked = [one for world in WORLDS
                     for one in ask(world, 8, seed=seed, size_px=self.model.num_px)]  # fmt: skip
            assert [one.prompt for one in asked][: len(prompts)] == list(prompts)
            return [one.picture for one in asked][: len(prompts)]

    def features(pictures: list[Image.Image]) -> np.ndarray:
        return np.stack([np.asarray(p.resize((2, 2))).ravel() / 255 for p in pictures])

    pack = open_pack(str(tiny_pack.root))
    probe = Ideal(pack, load_diffusion(pack), tmp_path, num=4, num_steps=2, seed=7, emit=silent)
    found = frechet_ratio(probe, features, 8 * len(WORLDS))
    assert found["frechet_ratio"]["value"] == pytest.approx(1)


def test_followed_pictures_are_alike_as_they_are_elsewhere() -> None:
    """Identity is the mean cosine to the real pictures, not the cosine to their mean."""
    own, other = np.eye(4)[:2], np.eye(4)[2:]
    told = _scores(np.eye(4)[[0, 2]], [own, other])
    assert told["right"] == [True, False]
    assert told["identity"] == pytest.approx([0.5, 0.0])


def test_real_failures_are_spoken_of_only_where_there_are_some() -> None:
    """A result without them says nothing of them."""
    found = {
        "name": "diagnosis", "metrics": {}, "baselines": {}, "failures": {}, "seed": 7,
        "seconds": 1, "version": "0", "commit": "", "machine": {
            "processor": "p", "cores": 1, "memory_gib": 1, "accelerator": "none", "torch": "2",
        },
    }  # fmt: skip
    assert "nobody planted" not in render_section(found)
    run = {"excesses": {"oily": 1.0}, "named": ["oily"], "identity": 0.5}
    assert "nobody planted" in render_section({**found, "failures": {"112": {"rate_x16": run}}})


def test_avoided_faults_are_a_share_of_those_there_were() -> None:
    """Half of two taken away is a half, in an interval of shares; of none nothing is told, and
    resamples without a fault tell nothing."""
    plain = np.repeat([1.0, 0.0], (2, 18))
    avoided = faults_avoided(plain, np.repeat([0.0, 1.0, 0.0], (1, 1, 18)), 0)
    assert avoided is not None
    assert avoided["value"] == 0.5
    assert 0 <= avoided["interval"][0] <= avoided["interval"][1] == 1
    assert faults_avoided(np.zeros(20), plain, 0) is None
