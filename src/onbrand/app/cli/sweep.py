"""`onbrand sweep`: which settings to take, by trying their combinations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from onbrand.road import Sweep
    from onbrand.road.sweeps import Plan

__all__ = ["command"]

MOST_LISTED = 24


def command(
    brand: Annotated[Path, typer.Argument(help="The brand's folder.")] = Path(),
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A setting and its values, PATH=VALUE,VALUE; repeat it for more settings."
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--settings", help="Read them from this file; by default the brand's sweep.toml."
        ),
    ] = None,
    random: Annotated[
        int | None, typer.Option(min=1, help="Try only this many combinations, drawn at random.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Which ones --random draws (7). Training has its own.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, and how long it takes.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the training settings to take into recipe.toml.")
    ] = False,
    example: Annotated[
        bool, typer.Option("--example", help="Print a commented sweep.toml to begin from.")
    ] = False,
) -> None:
    """Try settings in every combination, and say which to take and why.

    Training settings are named by their place in recipe.toml (stage.detail.batch_size, lora.rank):
    each combination of them trains a model. sample.guidance, sample.num_steps and sample.sampler
    (dpm, ddim, unipc, euler) say how pictures are drawn; they train nothing.

    So do words: prompt.style is put after each of the brief's prompts, prompt.pose before it (right
    behind the subject), prompt.negative goes to what pictures stay away from, beside the brief's
    'never'. Alignment is always measured to the brief's own prompt. An empty text adds nothing;
    texts with commas go into a list:  --set 'prompt.style=["", "flat, bold"]'

    All draw the same prompts with the same seeds; they are compared by the encoders that training
    looks through, never by those that a report measures with. sweep/ then holds sweep.html,
    sweep.json, sheet.png, and a sheet per combination. Stop it at any time: what is finished is
    kept, and the same command goes on behind it.

    [bold]onbrand sweep kuro --set stage.appearance.learning_rate=1e-4,5e-5 --dry-run[/]

    [bold]onbrand sweep kuro --set stage.detail.batch_size=8,16 --set lora.rank=8,16,32 --apply[/]

    [bold]onbrand sweep kuro --set sample.guidance=2,4,6 --set sample.sampler=dpm,ddim,unipc[/]
    """
    from onbrand import road
    from onbrand.app.cli.render import showing
    from onbrand.errors import InputError

    if example:
        typer.echo(road.example_sweep(), nl=False)
        return
    given = {axis.path: axis.values for axis in road.parse_words(settings or [])}
    plan = road.plan_sweep(brand, settings=given, file=file, num_random=random, seed=seed)
    if seed is not None and plan.num_random is None:
        raise InputError(f"--seed {seed} says which combinations --random draws: name both")
    _print_plan(plan)
    if dry_run:
        return
    kept = f"stopped; what is finished is kept in {brand / 'sweep'}. The same command goes on."
    with showing(kept) as emit:
        found = road.run_plan(plan, apply=apply, emit=emit)
    _print_found(found)
    for line in road.next_commands(found, plan.places):
        if not (apply and line.endswith("--apply")):
            typer.echo(f"next: {line}", err=True)
    typer.echo(str((found.root / "sweep.html").resolve()))
    if all(trial.arm is None for trial in found.trials):
        raise typer.Exit(1)


def _print_plan(plan: Plan) -> None:
    from onbrand.app.cli.render import seconds
    from onbrand.errors import counted

    total = f" of {plan.grid_size:,}" if len(plan.combinations) < plan.grid_size else ""
    typer.echo(f"{counted(len(plan.combinations), 'combination')}{total}:", err=True)
    for combination in plan.combinations[:MOST_LISTED]:
        why = f"  refused: {combination.refused}" if combination.refused else ""
        typer.echo(f"  {combination.number:>3}  {combination.label}{why}", err=True)
    if len(plan.combinations) > MOST_LISTED:
        typer.echo(f"       … and {len(plan.combinations) - MOST_LISTED:,} more", err=True)
    each = counted(plan.num_pictures_each, "picture")
    typer.echo(f"each draws {each} to be looked at", err=True)
    if not plan.trains:
        typer.echo("nothing is trained: all draw from the brand's model", err=True)
        return
    trainings = counted(plan.num_trainings - plan.num_trainings_kept, "training")
    kept = f" ({plan.num_trainings_kept} kept from before)" if plan.num_trainings_kept else ""
    estimate = plan.estimate_s
    took = "the first one will tell how long that takes"
    if estimate is not None:
        took = f"about {seconds(estimate)}, as this brand's own training went"
    seen = counted(plan.num_pictures_seen, "picture")
    typer.echo(f"{trainings}{kept}, {seen} seen: {took}", err=True)


def _print_found(found: Sweep) -> None:
    """A row per combination, the one to take in bold, those on the front marked."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from onbrand.report import measure

    out = Console(stderr=True, highlight=False)
    names = list(found.base.metrics)
    longest = max(len(trial.combination.label) for trial in found.trials)
    out.width = max(out.width, 24 + min(longest, 60) + 20 * len(names))
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", justify="right")
    table.add_column("Combination", max_width=60)
    for name in names:
        table.add_column(f"{measure(name).label} ↑", justify="right", no_wrap=True)
    table.add_column("")
    for trial in found.trials:
        number = trial.combination.number
        metrics = {} if trial.arm is None else trial.arm.metrics
        cells = [_figure(name, metrics.get(name)) for name in names]
        front = "on the front" if number in found.front else ""
        note = front if trial.state == "done" else trial.state
        chosen = trial is found.chosen
        table.add_row(
            str(number), escape(trial.combination.label), *cells,
            "take this" if chosen else note, style="bold" if chosen else None,
        )  # fmt: skip
    base = [_figure(name, found.base.metrics.get(name)) for name in names]
    table.add_row("", "untouched base", *base, "", style="dim")
    out.print(table)
    out.print(f"[bold]{escape(found.sentence)}[/] {escape(found.take.doubt)}", soft_wrap=True)


def _figure(name: str, metric: object) -> str:
    """ "0.83 (0.80–0.86)": value and interval."""
    from onbrand.artifacts import Metric
    from onbrand.report import figure, spread

    if not isinstance(metric, Metric):
        return "–"
    if metric.interval is None:
        return figure(name, metric.value)
    return f"{figure(name, metric.value)} ({spread(name, metric.interval)})"
