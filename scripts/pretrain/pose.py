"""Role pose: COCO-17's joints of people, mannequins and mascots.

A UperNet over a small ResNet, whose labels are the joints; models.perception.pose reads them.
Each joint's cross-entropy is against a Gaussian of one cell around its place, or against "not in
the picture". Mirrored views swap left and right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from draw import Beside
from eyes import eye_options, fit, held_out_batches
from numpy.typing import NDArray
from options import WORK, parser, prepare
from torch import Generator, Tensor
from transformers import (
    ConvNextV2Config,
    ResNetConfig,
    UperNetConfig,
    UperNetForSemanticSegmentation,
)
from views import Move, Pictures, relit, without_place
from worlds import SIZE_PX

from onbrand.illustrator.skeleton import COCO_17
from onbrand.models.perception.pose import CELL_PX, cells, heat_of, joints_of

__all__ = ["build", "carried", "loss_of", "main", "measure", "targets"]

SPREAD = 1.0  # cells
SWAP = np.array([
    COCO_17.index(name.replace("left", "?").replace("right", "left").replace("?", "right"))
    for name in COCO_17
])  # fmt: skip


def build(twin: bool = False) -> Any:
    """An untrained estimator of 0.6M weights; the twin's body is a ConvNeXt V2."""
    stages = ["stage1", "stage2", "stage3", "stage4"]
    widths = [24, 48, 80, 128]
    body = (
        ConvNextV2Config(hidden_sizes=widths, depths=[1, 1, 2, 1], out_features=stages)
        if twin
        else ResNetConfig(
            num_channels=3, embedding_size=24, hidden_sizes=widths, depths=[1, 1, 1, 1],
            layer_type="basic", out_features=stages,
        )
    )  # fmt: skip
    names = dict(enumerate(COCO_17))
    config = UperNetConfig(
        backbone_config=body, hidden_size=40, pool_scales=[1, 2], use_auxiliary_head=False,
        image_size=SIZE_PX, id2label=names, label2id={name: i for i, name in names.items()},
    )  # fmt: skip
    return UperNetForSemanticSegmentation(config).to(memory_format=torch.channels_last)


def carried(joints_n3: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Joints moved with their picture; what leaves it is no longer seen."""
    out = joints_n3.copy()
    out[:, :2] = joints_n3[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    inside = ((out[:, :2] >= 0) & (out[:, :2] < SIZE_PX)).all(axis=1)
    out[:, 2] *= inside
    return out[SWAP] if np.linalg.det(matrix[:, :2]) < 0 else out


def targets(joints_bj3: Tensor) -> Tensor:
    """Shares [b, j, n + 1] of the cells, the last for a joint that is not seen."""
    side = SIZE_PX // CELL_PX
    at = torch.arange(side) + 0.5
    place = (joints_bj3[..., :2] + 0.5) / CELL_PX
    along = torch.exp(-((at - place[..., None]) ** 2) / (2 * SPREAD**2))
    shares = (along[..., 1, :, None] * along[..., 0, None, :]).flatten(2)
    shares = shares / shares.sum(-1, keepdim=True).clamp_min(1e-12)
    seen = joints_bj3[..., 2:]
    return torch.cat([shares * seen, 1 - seen], dim=-1)


def loss_of(model: Any, x_bchw: Tensor, shares_bjn: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy of the cells, the mean over joints; what is not there weighs a fifth."""
    error = -(shares_bjn * cells(model(x_bchw).logits).log_softmax(-1)).sum(-1)
    weights = 1 - 0.8 * shares_bjn[..., -1]
    return (error * weights).sum() / weights.sum(), {}


@torch.no_grad()
def measure(model: Any, held_out: Beside, batches: list[Tensor]) -> dict[str, float]:
    """Share of seen joints found within 5 % and 10 % of the side; of all joints, whether it is
    known that they are there. Per world the former."""
    model.eval()
    found = torch.cat([joints_of(heat_of(model(b).logits)) for b in batches]).cpu().numpy()
    model.train()
    true = np.stack([held_out.joints(i) for i in range(len(held_out))])
    seen = true[..., 2] > 0
    away = np.linalg.norm(found[..., :2] * SIZE_PX - 0.5 - true[..., :2], axis=-1) / SIZE_PX
    shown = seen.any(axis=1)
    people = np.array(["person" in label.get("attributes", {}) for label in held_out.labels])
    scores = {
        "pck_5": (away[seen] <= 0.05).mean(),
        "pck_10": (away[seen] <= 0.10).mean(),
        "seen": ((found[..., 2] > 0.5) == seen)[shown].mean(),
        "pck_5_mascots": (away[~people][seen[~people]] <= 0.05).mean(),
    }
    if people.any():
        scores["pck_5_people"] = (away[people][seen[people]] <= 0.05).mean()
    return {name: round(float(score), 4) for name, score in scores.items()}


def main(arguments: list[str] | None = None) -> None:
    """Train and export in fp16."""
    p = parser("pose", steps=3000, batch=32)
    eye_options(p)
    p.add_argument("--twin", action="store_true", help="evaluation only: another body, seed, data")
    options = p.parse_args(arguments)
    if options.twin:
        options.seed += 1000
        if options.out == WORK / "pose":
            options.out = WORK / "pose-twin"
    prepare(options)
    drawn, held_out = Beside.open(options.drawn), Beside.open(options.held_out)
    batches = held_out_batches(held_out, options.device)
    figures = np.array([i for i in range(len(drawn)) if drawn.joints(i)[:, 2].any()])
    if options.twin:
        figures = np.random.default_rng(options.seed).permutation(figures)[: len(figures) * 4 // 5]

    pixels, parts = Pictures.both(drawn, options.device)

    def prepare_batch(index: int) -> tuple[Tensor, ...]:
        rows = np.random.default_rng((options.seed, index)).choice(figures, options.batch)
        joints = np.stack([drawn.joints(row) for row in rows])
        return torch.from_numpy(rows), torch.from_numpy(joints)

    def see(g: Generator, rows: Tensor, joints: Tensor) -> tuple[Tensor, ...]:
        x = without_place(pixels(rows).float(), parts(rows), g, options.blackout)
        move = Move.draw(g, len(rows), options.warp, flip=True)
        pairs = zip(joints.cpu().numpy(), move.matrices(SIZE_PX), strict=True)
        places = torch.from_numpy(np.stack([carried(one, matrix) for one, matrix in pairs]))
        return relit(move(x), g), targets(places).to(rows.device)

    fit("pose", build(options.twin), options, prepare_batch, loss_of,
        lambda model: measure(model, held_out, batches), see=see)  # fmt: skip


if __name__ == "__main__":
    main()
