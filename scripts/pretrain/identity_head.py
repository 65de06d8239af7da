"""Roles identity_head and twin_identity_head: the same question as identity, of the head alone.

Seven of ten look-alikes differ on the head, where a whole picture has a few pixels for an ear and
one for an eye. Crops around the face are cut by the code that cuts them when it is used, their
boxes shaken as a finder's are. It learns as identity.py does: heads of traits first, on unrelated
crops, then NearID's loss beside them. `--twin` is evaluation's.
"""

from __future__ import annotations

import numpy as np
import torch
from draw import Drawn
from expression import shaken
from eyes import characters_of, eye_options, fit, regnet, resnet, without_place
from identity import UNSEEN, Traits, loss_of, scores_of, truth_of
from numpy.typing import NDArray
from options import WORK, parser, prepare
from parsing import view
from pictures import Pixels, to_tensor
from torch import Tensor
from transformers import PreTrainedModel

from onbrand.illustrator import TRAITS
from onbrand.illustrator.parsing import face_box
from onbrand.models.perception.faces import crops
from onbrand.models.perception.identity import HEAD_MARGIN

__all__ = ["build", "main", "measure"]

WIDTH, CROP_PX = 64, 96
ON_HEAD = (
    "species", "colour", "head", "ears", "eyes", "eye_colour", "mark", "accessory",
    "accessory_colour",
)  # fmt: skip
_ELSEWHERE = [k for k, name in enumerate(TRAITS) if name not in ON_HEAD]


def build(twin: bool = False) -> PreTrainedModel:
    """An untrained encoder of 0.2M weights whose 64 logits are the embedding."""
    if twin:
        return resnet((24, 40, 64, 80), embedding=24, image_px=CROP_PX, num_labels=WIDTH)
    widths, ones = (24, 48, 96, 120), (1, 1, 1, 1)
    return regnet(widths, ones, embedding=24, groups_width=24, image_px=CROP_PX, num_labels=WIDTH)


def heads_of(
    drawn: Drawn, rows: NDArray[np.int64], rng: np.random.Generator, blackout: float, warp: float
) -> tuple[Tensor, NDArray[np.bool_]]:
    """Crops [n, 3, 96, 96] around the faces of augmented views, and whether there is a face; the
    crop of a picture without one is of the whole."""
    pictures: list[Pixels] = []
    boxes: list[NDArray[np.float32]] = []
    there = []
    for row in rows:
        parts = drawn.parts(int(row))
        pixels = without_place(drawn.pixels(int(row)), parts, rng, blackout)
        pixels, parts = view(pixels, parts, rng, warp)
        box = face_box(parts)
        there.append(box is not None)
        side = float(pixels.shape[0])
        boxes.append(shaken(np.array(box or (0, 0, side, side), np.float32), rng))
        pictures.append(pixels)
    places = torch.from_numpy(np.stack(boxes))
    return crops(to_tensor(np.stack(pictures)), places, CROP_PX, HEAD_MARGIN), np.array(there)


@torch.no_grad()
def measure(model: PreTrainedModel, held_out: Drawn, faces: Tensor) -> dict[str, float]:
    """Of the held-out characters all of whose heads are seen, as identity.py has it."""
    model.eval()
    vectors = torch.cat([model(part).logits.float() for part in faces.split(100)])
    model.train()
    vectors = torch.nn.functional.normalize(vectors, dim=-1).unflatten(0, (-1, 5))
    return scores_of(vectors, held_out)


def main(arguments: list[str] | None = None) -> None:
    """Train and export in fp16."""
    p = parser("identity_head", steps=3000, batch=16)
    eye_options(p)
    p.add_argument("--twin", action="store_true")
    p.add_argument("--reading", type=float, default=0.6, help="share of steps that only read")
    options = p.parse_args(arguments)
    if options.twin:
        options.seed += 1000
        if options.out == WORK / "identity_head":
            options.out = WORK / "identity_head-twin"
    prepare(options)
    drawn, held_out = Drawn(options.drawn), Drawn(options.held_out)
    people = characters_of(drawn)
    if options.twin:
        people = np.random.default_rng(options.seed).permutation(people)[: len(people) * 4 // 5]
    still = np.random.default_rng(0)
    rows = characters_of(held_out).ravel()
    faces = heads_of(held_out, rows, still, 0.0, 0.0)[0].to(options.device)
    heads = Traits(WIDTH)

    def prepare_batch(index: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng((options.seed, index))
        triples = index >= options.reading * options.steps
        if triples:
            those = people[rng.permutation(len(people))[: options.batch]]
            indices = np.concatenate([those[:, 1 + index % 3], those[:, 0], those[:, 4]])
        else:
            indices = rng.choice(people.ravel(), 3 * options.batch)
        pictures, there = heads_of(drawn, indices, rng, options.blackout, options.warp)
        truth = truth_of(drawn, indices)
        truth[:, _ELSEWHERE] = UNSEEN
        truth[torch.from_numpy(~there)] = UNSEEN
        return pictures, truth, torch.tensor(triples)

    fit("identity_head", build(options.twin), options, prepare_batch,
        lambda model, *batch: loss_of(model, heads, *batch),
        lambda model: measure(model, held_out, faces), heads)  # fmt: skip


if __name__ == "__main__":
    main()
