"""Cut-outs lie on white wherever training fits them to a square."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from brand_folder import cut_off_cut_out, tiny_brief, tiny_dataset, tiny_recipe
from PIL import Image
from safetensors.torch import load_file

from onbrand import pixels, training
from onbrand.generation import sample
from onbrand.models.diffusion import load_diffusion
from onbrand.models.packs import Pack
from onbrand.models.perception import load_identity
from onbrand.training.cache import to_pixels


def blind(pictures: Sequence[Image.Image], texts: Sequence[str], /) -> dict[str, float]:
    """A figure that needs no encoder."""
    return {"identity": float(np.asarray(pictures[0]).mean()), "alignment": 1.0}


def test_cut_outs_stand_on_white_wherever_training_looks(tiny_pack: Pack, tmp_path: Path) -> None:
    """The held-out ones and those of the identity loss too, where the border is the subject's."""
    made = tiny_dataset(tmp_path / "brand")
    dataset = replace(made, assets=[replace(a, has_alpha=True) for a in made.assets])
    for asset in dataset.assets:
        cut_off_cut_out().save(dataset.path(asset))
    stage = {"kind": "detail", "num_steps": 1, "batch_size": 2, "losses": {"identity": 0.1}}
    training.train(
        dataset, tiny_brief(), tiny_recipe(stage=[stage]), tiny_pack, tmp_path / "m",
        sample=sample, score=blind, cache=tmp_path / "cache",
    )  # fmt: skip
    model, encoder = load_diffusion(tiny_pack, dtype="float32"), load_identity(tiny_pack)
    seen = to_pixels([pixels.square(cut_off_cut_out(), tiny_pack.num_px)])
    kept = {
        kind: next(iter(load_file(next((tmp_path / "cache" / kind).iterdir())).values()))
        for kind in ("held_out_latents", "identity_reference")
    }
    with torch.no_grad():
        latents, who = model.encode_pixels(seen), encoder.embed(seen)[0]
    torch.testing.assert_close(kept["held_out_latents"], latents)
    torch.testing.assert_close(kept["identity_reference"], who)
