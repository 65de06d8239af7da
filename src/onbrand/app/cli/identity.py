"""`onbrand identity`: a character as a vector, made from a few pictures, looked at and compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onbrand.app.cli.teach import Verb, Verbs

if TYPE_CHECKING:
    from onbrand.artifacts.identity import IdentityPicture

__all__ = ["app"]

UNLIKE = 0.5  # cosine of a picture to the mean of the others

app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="A character as a vector: make it from one to five pictures or so, look at it, compare. "
    "What generation needs to follow a new character without training.",
)


@app.command(cls=Verb)
def make(
    out: Annotated[Path, typer.Argument(help="The folder to write; its last part is the name.")],
    pictures: Annotated[
        list[Path], typer.Argument(help="Pictures of one character, or folders of them.")
    ],
    name: Annotated[str | None, typer.Option(help="Another name than the folder's.")] = None,
    description: Annotated[
        str | None,
        typer.Option(
            help="Who it is, in words that the base knows, where that is not the brand's own "
            "subject: 'a red penguin mascot in a sweater'."
        ),
    ] = None,
    base: Annotated[
        str, typer.Option(help="The base it is for: a pack's name, hub id or folder.")
    ] = "pocket",
) -> None:
    """Make an identity from pictures of one character, in different scenes if there are some.

    [bold]onbrand identity make kuro/identity photos/kuro[/]

    then: [bold]onbrand generate "waving" --brand kuro --identity kuro/identity[/]
    """
    from onbrand import road
    from onbrand.app.cli.render import showing
    from onbrand.errors import counted

    kept = "stopped; no identity was written. Run the same command again to make it."
    with showing(kept) as emit:
        identity = road.make_identity(
            out, pictures, name=name, description=description, base=base, emit=emit
        )
    parts = ", ".join(identity.parts) or "no part"
    made = counted(len(identity.pictures), "picture")
    typer.echo(f"{identity.name}: {made}, parts found: {parts}", err=True)
    for warning in _odd_ones(identity.pictures):
        typer.echo(warning, err=True)
    typer.echo(str(identity.root))


@app.command(cls=Verb)
def show(
    folder: Annotated[Path, typer.Argument(help="A folder that identity make wrote.")],
) -> None:
    """What an identity was made of, and how well its pictures agree.

    A picture far from the others shows another character, or an odd view: leave it out.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from onbrand.artifacts.identity import Identity
    from onbrand.report import figure

    identity = Identity.load(folder)
    who = f"{identity.name}, {identity.description}" if identity.description else identity.name
    title = escape(f"{who}, for the base {identity.base}")
    table = Table(title=title, title_justify="left")
    table.add_column("picture")
    table.add_column("cosine to the others", justify="right")
    for picture in identity.pictures:
        told = "–" if picture.cosine is None else figure("identity", picture.cosine)
        table.add_row(escape(picture.source), told)
    Console().print(table)
    typer.echo(
        f"parts: {', '.join(sorted(identity.parts)) or 'none found'}; "
        f"{identity.who.shape[0]} numbers by the encoder {identity.encoder}"
    )
    for warning in _odd_ones(identity.pictures):
        typer.echo(warning, err=True)


@app.command(cls=Verb)
def compare(
    one: Annotated[Path, typer.Argument(help="A folder that identity make wrote.")],
    two: Annotated[Path, typer.Argument(help="Another.")],
) -> None:
    """How alike two identities are: cosines of the whole and of each part, 1 is the same."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from onbrand import road
    from onbrand.artifacts.identity import Identity
    from onbrand.report import figure

    first, second = Identity.load(one), Identity.load(two)
    found = road.compare_identities(first, second)
    title = escape(f"{first.name} and {second.name}")
    table = Table(title=title, title_justify="left")
    table.add_column("part")
    table.add_column("cosine", justify="right")
    table.add_row("whole", figure("identity", found.whole))
    for part, cosine in found.parts.items():
        table.add_row(part, figure("identity", cosine))
    Console().print(table)


def _odd_ones(pictures: Sequence[IdentityPicture]) -> list[str]:
    """A line for each picture that is far from the others."""
    return [
        f"{p.source} is unlike the others ({p.cosine:.2f}): another character, or an odd view?"
        for p in pictures
        if p.cosine is not None and p.cosine < UNLIKE
    ]
