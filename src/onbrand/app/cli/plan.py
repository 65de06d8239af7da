"""`onbrand train --plan`: what a run will take, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from onbrand.app.cli.render import number, seconds

if TYPE_CHECKING:
    from onbrand.training import Forecast

__all__ = ["print_forecast"]


def print_forecast(forecast: Forecast) -> None:
    """Print the table to stdout: a row per stage, and the whole."""
    table = Table(
        title=f"plan for {number(forecast.num_pictures)} training pictures",
        title_justify="left",
        pad_edge=False,
    )
    for name in ("stage", "steps", "batch", "pictures seen", "a step", "memory", "time"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    table.add_row("before", "", "", "", "", "", seconds(forecast.prepare_s))
    for stage in forecast.stages:
        table.add_row(
            stage.name,
            number(stage.num_steps),
            number(stage.batch_size),
            number(stage.num_pictures_seen),
            f"{stage.step_s:.2f} s",
            f"{stage.memory_bytes / 2**30:.1f} GiB",
            seconds(stage.train_s + stage.look_s),
        )
    seen = sum(stage.num_pictures_seen for stage in forecast.stages)
    steps = sum(stage.num_steps for stage in forecast.stages)
    table.add_section()
    table.add_row(
        "[bold]all[/]",
        number(steps),
        "",
        number(seen),
        "",
        f"{forecast.memory_bytes / 2**30:.1f} GiB",
        f"[bold]{seconds(forecast.seconds)}[/]",
    )
    table.caption = (
        "Time and peak memory were measured just now, on this machine, over a few real steps of "
        "each stage; its validation pictures are counted in. Before: pictures encoded, class "
        "pictures, and what the untouched base draws."
    )
    table.caption_justify = "left"
    Console().print(table)
