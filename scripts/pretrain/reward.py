"""What unet.py --own adds: the base looks at what it draws, and is told what its prompts named.

Squared error rewards what most pictures share; whether a coat is a coat is little of it. Some
prompts a step are drawn from noise (onbrand.training.drawing: DRTune), and the pack's training-side
eyes look at them: cross-entropy of the attributes that a prompt names, through the tagger, and of a
mascot's expression, through the reader of faces. The tagger sees every picture moved a little:
single pixels must not please it. The attribute reader that grades the base has no part in this.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from latents import Latents
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPTokenizer
from views import Move

from onbrand.models.families.variance import VariancePreserving
from onbrand.models.packs import open_pack
from onbrand.models.perception import ExpressionReader, load_expression
from onbrand.models.perception.tags import Tagger
from onbrand.training.drawing import draw_x0, learning_steps
from onbrand.training.engine import generator, noise
from onbrand.training.lenses import jittered
from onbrand.training.losses import expression_distance

__all__ = ["Eyes", "Reward", "near", "reward_fault", "reward_options"]

GUIDANCE = 4.0  # as pictures are sampled
WORLDS = {"species": 0.3, "product_kind": 0.25, "garment_kind": 0.45}  # by what only they have
NAMED = (
    "species", "colour", "pose", "prop", "product_kind", "product_colour", "product_pattern",
    "garment_kind", "garment_colour", "garment_pattern", "person", "person_pose",
)  # fmt: skip
"""What captions always name and a base gets wrong; place, hour and style it knows."""

_PROMPTS, _WHEN, _VIEWS = 14, -9, -10  # streams of chance
Numbers = dict[str, float]


def reward_options(p: argparse.ArgumentParser) -> None:
    """How much the base looks at its own pictures."""
    p.add_argument("--own", type=int, default=0, help="prompts a step that are drawn and looked at")
    p.add_argument("--own-weight", type=float, default=0.05, help="of what the eyes say of them")
    p.add_argument("--tagger", type=Path, help="a newer model/ of tagger.py to look with")


def reward_fault(options: argparse.Namespace) -> str:
    """What is wrong with `--own`, "" if nothing: it needs a pack's eyes, and a prompt a replica."""
    replicas = 1 if options.device != "cpu" else options.threads
    if options.own and not options.start:
        return "--own looks through a pack's eyes: name the pack by --start"
    if options.own and options.own * (options.batch // replicas) < options.batch:
        return (
            f"--own {options.own} leaves some of {replicas} threads without a prompt: take more, "
            "or --threads 1"
        )
    return ""


def near(chances_b3: Tensor) -> Move:
    """Scaled by up to a tenth, shifted by up to a twentieth of the side, by chances in [0, 1]."""
    scale, across, down = ((chances_b3 * 2 - 1) * 0.1).unbind(1)
    still = torch.zeros_like(scale)
    return Move.of(1 + scale, still, torch.stack([across, down], -1), still > 0)


class Eyes:
    """The tagger and the reader of faces: how far pictures are from what was named."""

    def __init__(self, tagger: Tagger, faces: ExpressionReader) -> None:
        self.tagger, self.faces = tagger, faces

    @staticmethod
    def open(pack_folder: Path, tagger: Path | None, device: str) -> Eyes:
        """A pack's, or with a tagger that is newer than the pack's."""
        pack = open_pack(str(pack_folder))
        if tagger:
            pack = replace(pack, roles={**pack.roles, "tagger": tagger})
        return Eyes(Tagger(pack, device=device), load_expression(pack, device=device))

    def wanted(self, attributes: Sequence[dict[str, str]]) -> tuple[Tensor, Tensor]:
        """Where among its group's labels each of NAMED is, [n, NAMED], and the expression, [n]; -1
        where a world does not have it."""
        values, labels = self.tagger.attributes, self.faces.labels
        tags = [[values[n].index(a[n]) if n in a else -1 for n in NAMED] for a in attributes]
        faces = [labels.index(a["expression"]) if "expression" in a else -1 for a in attributes]
        return torch.tensor(tags), torch.tensor(faces)

    def __call__(
        self, pixels_bchw: Tensor, tags_bn: Tensor, faces_b: Tensor, chances_b7: Tensor
    ) -> tuple[Tensor, Numbers]:
        """Mean cross-entropy of what is named, in nats, and the share that the tagger sees."""
        logits = self.tagger.logits(near(chances_b7[:, :3])(pixels_bchw))
        off, right = [], []
        for name, truth_b in zip(NAMED, tags_bn.T, strict=True):
            told = truth_b >= 0
            part, truth = logits[told][:, self.tagger.columns[name]], truth_b[told]
            off.append(F.cross_entropy(part, truth, reduction="none"))
            right.append((part.argmax(1) == truth).float())
        told = faces_b >= 0
        if told.any():
            boxes, there = self.faces.faces(pixels_bchw[told].detach().clamp(-1, 1))
            boxes = jittered(boxes, chances_b7[told, 3:].to(boxes))
            seen = self.faces.face_logits(pixels_bchw[told], boxes)
            shares = F.one_hot(faces_b[told], len(self.faces.labels)).float()
            off.append(expression_distance(seen, shares, there))
        return torch.cat(off).mean(), {"right": float(torch.cat(right).mean())}


class Reward:
    """`prompts(step, share)`: what is drawn; `loss(joint, prompts)`: what the eyes say of it."""

    def __init__(
        self, options: argparse.Namespace, latents: Latents, tokenizer: CLIPTokenizer,
        alphas_t: Tensor,
    ) -> None:  # fmt: skip
        self.options, self.tokenizer = options, tokenizer
        self.process = VariancePreserving(alphas_t, "v_prediction")
        self.vae: AutoencoderKL = latents.vae.requires_grad_(False)
        self.size, self.labels = latents.size, latents.drawn.labels
        self.eyes = Eyes.open(options.start, options.tagger, options.device)
        rows: dict[str, NDArray[np.int64]] = {
            name: np.array(
                [i for i, one in enumerate(self.labels) if name in one.get("attributes", {})],
                np.int64,
            )
            for name in WORLDS
        }
        self.rows = [rows[name] for name in WORLDS if len(rows[name])]
        self.shares = np.array([share for name, share in WORLDS.items() if len(rows[name])])

    def prompts(self, step: int, share: slice) -> dict[str, Tensor]:
        """Noise, tokens (the empty prompt's last), what is named, chances, the steps that learn."""
        o, seed = self.options, self.options.seed
        mine = range(share.start * o.own // o.batch, share.stop * o.own // o.batch)
        told = [self._told(seed, step, k) for k in mine]
        tokens = self.tokenizer(
            [*(text for text, _ in told), ""], padding="max_length", truncation=True,
            max_length=77, return_tensors="pt",
        ).input_ids  # fmt: skip
        tags, faces = self.eyes.wanted([attributes for _, attributes in told])
        return {
            "own": noise((4, self.size, self.size), seed + 1, step, mine),
            "own_tokens": tokens,
            "tags": tags,
            "faces": faces,
            "chances": torch.rand((o.own, 7), generator=generator(seed, step, _VIEWS))[list(mine)],
            "learns": torch.tensor(learning_steps(generator(seed, step, _WHEN))),
        }

    def _told(self, seed: int, step: int, sample: int) -> tuple[str, dict[str, str]]:
        rng = np.random.default_rng((seed, step, sample, _PROMPTS))
        world = int(rng.choice(len(self.rows), p=self.shares / self.shares.sum()))
        label = self.labels[int(rng.choice(self.rows[world]))]
        return label["captions"][int(rng.integers(len(label["captions"])))], label["attributes"]

    def loss(self, joint: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Numbers]:
        """Weighted; its numbers are of this step's pictures."""
        words = joint.get_submodule("text_encoder")(batch["own_tokens"])[0]
        network: Callable[..., Any] = joint.get_submodule("unet")
        told, empty = words[:-1], words[-1:].detach().expand(len(words) - 1, -1, -1)
        clean = draw_x0(
            self.process,
            lambda x_t, t_b: network(x_t, t_b, encoder_hidden_states=told).sample,
            lambda x_t, t_b: network(x_t, t_b, encoder_hidden_states=empty).sample,
            batch["own"],
            guidance=GUIDANCE,
            learns=batch["learns"].tolist(),
        )
        pixels = self.vae.decode(clean / float(self.vae.config.scaling_factor)).sample
        off, numbers = self.eyes(pixels, batch["tags"], batch["faces"], batch["chances"])
        return self.options.own_weight * off, {"off": float(off.detach()), **numbers}
