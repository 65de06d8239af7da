"""`onbrand generate`: pictures of the brand doing what the prompts say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]

Edges = Annotated[Path | None, typer.Option(help="Follow the edges of this picture (Canny).")]
Drawing = Annotated[
    Path | None,
    typer.Option(help="Follow this drawing: white edges or an OpenPose figure, on black."),
]
Strength = Annotated[
    float | None, typer.Option(min=0.0, help="How strictly to follow --edges or --drawing (1).")
]
Identities = Annotated[
    list[Path] | None,
    typer.Option(
        "--identity",
        "-i",
        help="Show the character of this folder (onbrand identity make), without training; "
        "repeat it for several, who stand side by side in a wider picture.",
    ),
]
Masks = Annotated[
    list[Path] | None,
    typer.Option(
        help="Where each identity may be in a square picture: white on black, in order. Several "
        "take a base that draws several figures, which the built-in one does not."
    ),
]
IdentityStrength = Annotated[
    float | None, typer.Option(min=0.0, help="How strongly to show the identity (1).")
]


def command(
    prompts: Annotated[
        list[str], typer.Argument(help="What it does and where: 'waving at a night market'.")
    ],
    brand: Annotated[Path, typer.Option("--brand", "-b", help="The brand's folder.")] = Path(),
    num: Annotated[int, typer.Option("--num", "-n", min=1, help="Pictures per prompt.")] = 4,
    seed: Annotated[
        int, typer.Option(help="The first picture's seed; the next ones count up.")
    ] = 7,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Sampling steps.")] = 20,
    guidance: Annotated[
        float, typer.Option(min=1.0, help="How strictly to follow the words.")
    ] = 4.0,
    negative: Annotated[
        str, typer.Option(help="What to stay away from, besides the brief's 'never'.")
    ] = "",
    sampler: Annotated[
        str, typer.Option(help="dpm, ddim, unipc or euler; the base's own by default.")
    ] = "",
    stage: Annotated[
        str | None,
        typer.Option(help="Use this stage's checkpoint, or 'base', instead of the one to ship."),
    ] = None,
    edges: Edges = None,
    drawing: Drawing = None,
    strength: Strength = None,
    identity: Identities = None,
    mask: Masks = None,
    identity_strength: IdentityStrength = None,
) -> None:
    """Make pictures from prompts; the brand's name is put in for you.

    Each call makes a new numbered folder under generated/ with the pictures, their settings, and
    sheet.png, all of them on one page. Words that the base has never seen are warned of.

    [bold]onbrand generate "waving at a night market" --brand kuro[/]

    [bold]onbrand generate "sleeping on a sofa" "holding {subject}'s red balloon" -b kuro -n 2[/]

    [bold]onbrand generate "in a snowy forest" -b kuro --edges sketch.png --strength 0.8[/]

    [bold]onbrand generate "waving" -b kuro --identity kuro/identity[/]  (nothing need be trained)
    """
    from onbrand import road
    from onbrand.app.cli.render import showing
    from onbrand.errors import counted

    kept = "stopped; finished pictures are kept, and the same command goes on behind them."
    with showing(kept) as emit:
        shots = road.generate(
            prompts,
            brand,
            num_per_prompt=num,
            seed=seed,
            num_steps=steps,
            guidance=guidance,
            negative_prompt=negative,
            sampler=sampler,
            stage=stage,
            edges=edges,
            drawing=drawing,
            strength=strength,
            identities=identity or (),
            masks=mask or (),
            identity_strength=identity_strength,
            emit=emit,
        )
    made = counted(len(shots.items), "picture")
    typer.echo(f"{made}, together on {shots.root / 'sheet.png'}", err=True)
    typer.echo(str(shots.root))
