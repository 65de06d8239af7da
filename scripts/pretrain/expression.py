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
from numpy.typing import NDArray
from options import WORK, parser, prepare
from parsing import view
from pictures import Pixels, to_tensor
from torch import Tensor
from transformers import PreTrainedModel

from onbrand.illustrator import ATTRIBUTES
from onbrand.illustrator.parsing import face_box
from onbrand.models.perception.expression import MARGIN
from onbrand.models.perception.faces import crops

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


def shaken(box: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Each side moved by up to a twelfth of the box."""
    sides = np.tile(box[2:] - box[:2], 2)
    return (box + sides * rng.uniform(-1 / 12, 1 / 12, 4)).astype(np.float32)


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
    truth = np.array([EXPRESSIONS.index(x["attributes"]["expression"]) for x in drawn.labels])

    def prepare_batch(index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((options.seed, index))
        pictures: list[Pixels] = []
        boxes: list[NDArray[np.float32]] = []
        rows: list[int] = []
        while len(rows) < options.batch:
            row = int(rng.choice(rows_of))
            pixels, parts = view(drawn.pixels(row), drawn.parts(row), rng, options.warp)
            box = face_box(parts)
            if box is not None:
                pictures.append(pixels)
                boxes.append(shaken(np.array(box, np.float32), rng))
                rows.append(row)
        places = torch.from_numpy(np.stack(boxes))
        cut = crops(to_tensor(np.stack(pictures)), places, CROP_PX, MARGIN)
        return cut, torch.from_numpy(truth[rows])

    there = [(i, face_box(held_out.parts(i))) for i in range(len(held_out))]
    seen = [(i, box) for i, box in there if box is not None]
    places = torch.tensor([box for _, box in seen])
    whole = to_tensor(np.stack([held_out.pixels(i) for i, _ in seen]))
    faces = crops(whole, places, CROP_PX, MARGIN).to(options.device)
    asked = torch.tensor(
        [EXPRESSIONS.index(held_out.labels[i]["attributes"]["expression"]) for i, _ in seen]
    )
    fit("expression", build(options.twin), options, prepare_batch, loss_of,
        lambda model: measure(model, faces, asked))  # fmt: skip


if __name__ == "__main__":
    main()
