"""`onbrand train`: the brand's pictures become a brand model, stage by stage."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


def command(
    brand: Annotated[Path, typer.Argument(help="The brand's folder.")] = Path(),
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Use this recipe (a name or a file) instead of the folder's recipe.toml."
        ),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Start from this pack, hub id or diffusers folder instead.")
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Say what it will take (steps, memory, time), and stop there."),
    ] = False,
) -> None:
    """Train in stages, each of which must pass its gates before the next begins.

    Run it again after a stop of any kind: finished stages are kept, the open one goes on from its
    last checkpoint. Edited pictures or settings retrain only what they touch.

    [bold]onbrand train kuro[/]

    [bold]onbrand train kuro --plan[/]

    [bold]onbrand train kuro --recipe demo --base ./my-sd15-folder[/]

    On a graphics card:

    [bold]ONBRAND_DEVICE=cuda onbrand train kuro[/]

    Processes of one machine share the work and end at the same model:

    [bold]accelerate launch --multi_gpu --num_processes 2 -m onbrand train kuro[/]
    """
    from onbrand import road, training
    from onbrand.app.cli.plan import print_forecast
    from onbrand.app.cli.render import number, showing
    from onbrand.errors import counted

    if plan:
        with showing("stopped; nothing was begun.") as emit:
            forecast = road.plan(brand, recipe=recipe, base=base, emit=emit)
        print_forecast(forecast)
        return
    kept = (
        f"stopped; finished stages and the last checkpoint are kept in {brand / 'model'}. "
        "The same command goes on behind them."
    )
    with showing(kept) as emit:
        model = road.train(brand, recipe=recipe, base=base, emit=emit)
    if not training.launched().is_first:
        return
    for stage in model.stages:
        figures = "  ".join(f"{k} {number(round(v, 3))}" for k, v in stage.metrics.items())
        typer.echo(f"{stage.name}: {counted(stage.num_steps, 'step')}  {figures}", err=True)
    typer.echo(f"next: onbrand report {shlex.quote(str(brand))}", err=True)
    typer.echo(str(model.root))
