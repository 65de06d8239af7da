"""Options that every pretraining script takes, and how it prints its log."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch

from onbrand.events import Advanced, Event, Listener
from onbrand.recipe import Precision
from onbrand.training.engine import Loop, Step
from onbrand.training.precision import mixed

__all__ = ["ROOT", "WORK", "autocast", "parser", "prepare", "printer", "train"]

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "pretrain"
DATA = ROOT.parent / "shared" / "data"


def parser(role: str, *, steps: int, batch: int) -> argparse.ArgumentParser:
    """--steps, --limit-s, --out, --threads, --seed, --batch and where the data are."""
    p = argparse.ArgumentParser(prog=f"pretrain {role}", description=f"Train the role {role}.")
    p.add_argument("--steps", type=int, default=steps)
    p.add_argument("--batch", type=int, default=batch)
    p.add_argument("--limit-s", type=float, default=None, help="stop (and save) after so long")
    p.add_argument(
        "--paced", action="store_true",
        help="make --steps as many as fit in --limit-s, so that the rate has gone down by then",
    )  # fmt: skip
    p.add_argument("--out", type=Path, default=WORK / role)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--device", default="cpu", help="cuda where there is one")
    p.add_argument(
        "--precision", choices=get_args(Precision), default="auto",
        help="arithmetic of forward and backward; auto: bfloat16 where the processor multiplies it",
    )  # fmt: skip
    p.add_argument("--workers", type=int, default=0, help="processes that prepare batches ahead")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--emoji", type=Path, default=DATA / "fluent-emoji")
    p.add_argument("--gopher", type=Path, default=DATA / "gopher", help="evaluation only")
    p.add_argument("--drawn", type=Path, default=WORK / "drawn")
    p.add_argument("--work", type=Path, default=WORK / "emoji", help="where the emoji are packed")
    return p


def prepare(options: argparse.Namespace) -> None:
    """Set the number of threads and the seed of the initial weights; a GPU needs no replicas.

    Leaves, with a line, where --paced has no --limit-s to pace by.
    """
    if options.paced and not options.limit_s:
        raise SystemExit("--paced makes as many steps as fit in --limit-s: say how long")
    if options.device != "cpu":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        options.threads = 1
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)


def autocast(options: argparse.Namespace) -> torch.autocast:
    """Mixed precision for a loss: weights, sums and the optimizer stay float32."""
    return mixed(options.device, options.precision)


def train(
    loop: Loop, step: Step, every: Mapping[int, Callable[[int], Any]], options: argparse.Namespace
) -> None:
    """Run the loop to its end or for --limit-s; --paced sets its number of steps anew, ten times,
    by how many it made so far."""
    if not options.paced:
        loop.run(step, every=every, limit_s=options.limit_s)
        return
    first, began = loop.step, time.monotonic()
    until = began + options.limit_s
    while (left := until - time.monotonic()) > options.limit_s / 100:
        loop.run(step, every=every, limit_s=min(left, options.limit_s / 10))
        pace = (loop.step - first) / (time.monotonic() - began)
        num = loop.step + int(pace * (until - time.monotonic()))
        loop.settings = replace(loop.settings, num_steps=max(num, loop.step + 1))


def printer(period: int = 50) -> Listener:
    """A listener that prints a line every `period` steps and whenever there are evaluations."""
    began = time.monotonic()

    def listen(event: Event) -> None:
        if isinstance(event, Advanced):
            if event.done % period and len(event.numbers) < 7:
                return
            numbers = " ".join(f"{k}={v:.4g}" for k, v in event.numbers.items())
            print(
                f"{event.task} {event.done} {time.monotonic() - began:.0f}s {numbers}", flush=True
            )
        else:
            print(event, flush=True)

    return listen
