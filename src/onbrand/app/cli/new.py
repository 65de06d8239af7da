"""`onbrand new`: a brand's folder from a folder of pictures."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


def command(
    name: Annotated[str, typer.Argument(help="The folder to make; its last part names the brand.")],
    pictures: Annotated[
        list[Path],
        typer.Option(
            "--pictures", "-p", help="Folder of pictures, or one picture; may be repeated."
        ),
    ],
    lookalikes: Annotated[
        list[Path] | None,
        typer.Option(
            "--lookalikes",
            "-l",
            help="What it must not be mistaken for (colour variants, rivals); may be repeated. "
            "A picture named here is never trained on.",
        ),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(help="What it is, in words the base knows: 'fox mascot', 'blue gopher'."),
    ] = None,
    trigger: Annotated[
        str | None, typer.Option(help="A word the base never saw; the brand's name by default.")
    ] = None,
    description: Annotated[
        str | None, typer.Option(help="Its fixed traits in words; the report's baseline uses it.")
    ] = None,
    brief: Annotated[
        Path | None, typer.Option(help="Begin from this brief.toml instead of a fresh one.")
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="A recipe's name (demo, mascot, large) or a recipe.toml file.")
    ] = "mascot",
    base: Annotated[
        str | None,
        typer.Option(
            help="The model to start from: a pack's name, a hub id, or a diffusers folder."
        ),
    ] = None,
) -> None:
    """Make a brand's folder: pictures checked and re-encoded, a brief and a recipe to edit.

    Captions are read from name.txt or name.caption beside each picture, or from metadata.jsonl
    or metadata.csv, or are the words of a folder called as trainers have it, 10_kuro fox.
    Pictures that cannot be used are listed with the reason, and the rest is kept.

    [bold]onbrand new kuro --pictures photos/kuro --subject "fox mascot"[/]

    [bold]onbrand new gopher -p photos/gopher -l photos/gopher/variants --recipe demo[/]
    """
    from onbrand import road
    from onbrand.app.cli.render import showing

    kept = f"stopped; nothing was made. Run the same command again to make {name}."
    with showing(kept) as emit:
        folder = road.new(
            name,
            pictures=pictures,
            lookalikes=lookalikes or (),
            subject=subject,
            trigger=trigger,
            description=description,
            brief=brief,
            recipe=recipe,
            base=base,
            emit=emit,
        )
    _summarise(folder)


def _summarise(folder: Path) -> None:
    from rich.console import Console
    from rich.markup import escape

    from onbrand.artifacts import Dataset
    from onbrand.brief import Brief
    from onbrand.errors import counted

    dataset = Dataset.load(folder / "dataset")
    brief = Brief.load(folder)
    console = Console(stderr=True, highlight=False)
    found, skipped = len(dataset.assets), len(dataset.skipped)
    captions = sum(bool(asset.caption) for asset in dataset.assets)
    command = escape(f"onbrand train {shlex.quote(str(folder))}")
    lines = [
        f"\n[bold]{escape(str(folder))}[/]: found {counted(found, 'picture')} "
        f"({len(dataset.train)} to learn from, {len(dataset.held_out)} held out to measure on, "
        f"{captions or 'none'} with a caption)" + (f", skipped {skipped}" if skipped else ""),
        f"  called   {escape(brief.prompt(''))}",
        f"  next     look over {escape(str(folder / 'brief.toml'))}, then: [bold]{command}[/]",
    ]
    if brief.palette:
        swatch = "[on {0}]  [/] {0}" if console.color_system else "{0}"
        swatches = " ".join(swatch.format(colour) for colour in brief.palette)
        lines.insert(2, f"  palette  {swatches}")
    for line in lines:
        console.print(line, soft_wrap=True)
    typer.echo(str(folder))
