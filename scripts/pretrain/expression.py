"""Role expression: what a mascot's face shows, read from a crop around it as large as it can be.

A small RegNet; the evaluation twin (--twin) is a ResNet with another seed and four fifths of the
pictures. Crops are cut by the very code that cuts them when it is used (`perception.faces.crops`),
around the drawn face's box, which is moved and scaled a little, as a finder's boxes are.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from draw import Drawn
from eyes import eye_options, fit, regnet, resnet
from options import WORK, parser, prepare
from pictures import to_tensor
from torch import Generator, Tensor
from transformers import PreTrainedModel
from views import Move, Pictures, parts_moved, relit

from onbrand.illustrator import ATTRIBUTES
from onbrand.illustrator.parsing import face_box
from onbrand.models.perception.expression import MARGIN
from onbrand.models.perception.faces import crops
from onbrand.training.lenses import jittered

__all__ = ["EXPRESSIONS", "build", "loss_of", "main", "measure"]

EXPRESSIONS = ATTRIBUTES["expression"]
CROP_PX = 64


def build(twin: bool = False) -> PreTrainedModel:
    """An untrained classifier of 0.2M weights."""
    head = {
        "id2label": dict(enumerate(EXPRESSIONS)),
        "label2id": {word: i for i, word in enumerate(EXPRESSIONS)},
    }
    if twin:
        return resnet((24, 40, 56, 64), embedding=24, image_px=CROP_PX, **head)
    widths, ones = (24, 48, 96, 120), (1, 1, 1, 1)
    return regnet(widths, ones, embedding=24, groups_width=24, image_px=CROP_PX, **head)


def loss_of(
    model: PreTrainedModel, x_bchw: Tensor, truth_b: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy."""
    return F.cross_entropy(model(x_bchw).logits.float(), truth_b), {}


@torch.no_grad()
def measure(model: PreTrainedModel, faces: Tensor, truth: Tensor) -> dict[str, float]:
    """Share read right in held-out drawn faces, by expression, too."""
    model.eval()
    said = torch.cat([model(part).logits.argmax(1) for part in faces.split(100)]).cpu()
    model.train()
    right = (said == truth).float()
    each = {x: right[truth == i] for i, x in enumerate(EXPRESSIONS)}
    by_word = {f"right_{x}": round(float(r.mean()), 4) for x, r in each.items() if len(r)}
    return {"right": round(float(right.mean()), 4), **by_word}


def main(arguments: list[str] | None = None) -> None:
    """Train and export in fp16."""
    p = parser("expression", steps=3000, batch=48)
    eye_options(p)
    p.add_argument("--twin", action="store_true", help="evaluation only: another body, seed, data")
    options = p.parse_args(arguments)
    if options.twin:
        options.seed += 1000
        if options.out == WORK / "expression":
            options.out = WORK / "expression-twin"
    prepare(options)
    drawn, held_out = Drawn(options.drawn), Drawn(options.held_out)
    rows_of = np.random.default_rng(options.seed).permutation(len(drawn))
    if options.twin:
        rows_of = rows_of[: len(rows_of) * 4 // 5]
    truth = torch.tensor([EXPRESSIONS.index(x["attributes"]["expression"]) for x in drawn.labels])
    truth = truth.to(options.device)
    pixels, parts = Pictures.both(drawn, options.device)

    def prepare_batch(index: int) -> tuple[Tensor, ...]:
        rng = np.random.default_rng((options.seed, index))
        return (torch.from_numpy(rng.choice(rows_of, options.batch * 3 // 2)),)  # some lack a face

    def see(g: Generator, rows: Tensor) -> tuple[Tensor, ...]:
        move = Move.draw(g, len(rows), options.warp, flip=True)
        moved = parts_moved(move, parts(rows)).cpu().numpy()
        found = [(k, box) for k, where in enumerate(moved) if (box := face_box(where)) is not None]
        found = found[: options.batch]
        kept = torch.tensor([k for k, _ in found], device=rows.device)
        boxes = torch.tensor([box for _, box in found])
        boxes = jittered(boxes, torch.rand(boxes.shape, generator=g))
        seen = relit(move(pixels(rows)), g)[kept]
        return crops(seen, boxes, CROP_PX, MARGIN), truth[rows[kept]]

    there = [(i, face_box(held_out.parts(i))) for i in range(len(held_out))]
    seen = [(i, box) for i, box in there if box is not None]
    places = torch.tensor([box for _, box in seen])
    whole = to_tensor(np.stack([held_out.pixels(i) for i, _ in seen]))
    faces = crops(whole, places, CROP_PX, MARGIN).to(options.device)
    asked = torch.tensor(
        [EXPRESSIONS.index(held_out.labels[i]["attributes"]["expression"]) for i, _ in seen]
    )
    fit("expression", build(options.twin), options, prepare_batch, loss_of,
        lambda model: measure(model, faces, asked), see=see)  # fmt: skip


if __name__ == "__main__":
    main()
