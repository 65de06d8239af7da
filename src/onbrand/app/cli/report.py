"""`onbrand report`: how well the brand is learned and which checkpoint to ship, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from onbrand.artifacts import Judgement

__all__ = ["command"]

TABLE_WIDTH = 130
"""Columns that the table of figures needs; a narrower terminal wraps its lines."""


def command(
    brand: Annotated[Path, typer.Argument(help="The brand's folder.")] = Path(),
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Also train and show dreambooth_lora: one plain stage that sees as many pictures.",
        ),
    ] = False,
    prompts: Annotated[int, typer.Option(min=1, help="How many prompts every arm draws.")] = 8,
    num: Annotated[int, typer.Option("--num", "-n", min=1, help="Pictures per prompt.")] = 2,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Sampling steps.")] = 20,
) -> None:
    """Measure every stage against the baselines, on the same prompts and seeds.

    Writes report.html (one self-contained page), report.json and report.png (the grid alone) into
    the brand's folder, and prints the page's path. The figures come from an encoder that training
    never saw, on prompts and seeds that choosing the checkpoint never saw.

    [bold]onbrand report kuro[/]

    [bold]onbrand report kuro --baselines[/]
    """
    from onbrand import road
    from onbrand.app.cli.render import showing

    kept = (
        f"stopped; the model and finished pictures are kept in {brand}. "
        "The same command goes on behind them."
    )
    with showing(kept) as emit:
        judgement = road.report(
            brand,
            baselines=baselines,
            num_prompts=prompts,
            num_per_prompt=num,
            num_steps=steps,
            emit=emit,
        )
    _table(judgement)
    typer.echo(str((brand / "report.html").resolve()))


def _table(judgement: Judgement) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from onbrand.report import arm_title, figure, measure

    out = Console(stderr=True, highlight=False)
    out.width = max(out.width, TABLE_WIDTH)
    arms = [*judgement.baselines.values(), *judgement.stages]
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    for arm in arms:
        table.add_column(arm_title(arm.name), justify="right", no_wrap=True)
    names = list(dict.fromkeys(name for arm in arms for name in arm.metrics))
    for name in names:
        metrics = [arm.metrics.get(name) for arm in arms]
        arrow = next(("↑" if m.better == "higher" else "↓" for m in metrics if m), "")
        cells = ["–" if m is None else figure(name, m.value) for m in metrics]
        table.add_row(f"{measure(name).label} {arrow}", *cells)
    out.print(table)
    out.print(f"[bold]{escape(str(judgement.ship['reason']))}[/]", soft_wrap=True)
