"""`onbrand bench`: the project's claims, each a command that prints its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from onbrand.app.cli.teach import Verb, Verbs, lesson

__all__ = ["ablation", "app", "consistency", "diagnosis", "eyes", "pack", "readme", "training"]

app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help=("Measure the project's claims: figures with intervals, as a table and as JSON."),
)

Quick = Annotated[
    bool, typer.Option("--quick", help="A few minutes instead of hours; wide intervals.")
]
Json = Annotated[Path | None, typer.Option("--json", help="Also write the result to this file.")]
Work = Annotated[Path, typer.Option("--work", help="Where finished parts are kept for resuming.")]
Base = Annotated[
    str, typer.Option("--base", help="A pack's name, a hub id, or a diffusers folder.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of the pictures and of the bootstrap.")]
Characters = Annotated[int, typer.Option(min=1, help="How many reserved characters.")]
Prompts = Annotated[int, typer.Option(min=1, help="How many prompts each.")]
RecipeName = Annotated[str, typer.Option(help="A recipe's name or file.")]
Workers = Annotated[
    int, typer.Option(min=1, help="Characters at once: one for each core is quickest.")
]


def consistency(
    quick: Quick = False,
    json: Json = None,
    work: Work = Path("build/bench/consistency"),
    base: Base = "pocket",
    seed: Seed = 7,
    characters: Characters = 20,
    prompts: Prompts = 10,
    recipe: RecipeName = "demo",
    workers: Workers = 1,
    rate: Annotated[
        list[float] | None,
        typer.Option(
            min=0, help="Learning rate to try for dreambooth_lora; repeat it. One is not searched."
        ),
    ] = None,
) -> None:
    """Is the right character drawn? Our stages against both baselines, over many characters.

    Stop it at any time: finished characters are kept, and the next run goes on behind them.

    [bold]onbrand bench consistency --quick[/]

    [bold]onbrand bench consistency --json docs/benchmarks/consistency.json[/]
    """
    from onbrand import bench
    from onbrand.app.cli.render import showing

    kept = f"stopped; finished characters are kept in {work}. The same command goes on behind them."
    with showing(kept) as emit:
        result = bench.run_consistency(
            base=base,
            num_characters=characters,
            num_prompts=prompts,
            quick=quick,
            work=work,
            seed=seed,
            recipe=recipe,
            json_path=json,
            num_workers=workers,
            learning_rates=rate or bench.LEARNING_RATES,
            emit=emit,
        )
    _print(result)


def ablation(
    quick: Quick = False,
    json: Json = None,
    work: Work = Path("build/bench/ablation"),
    base: Base = "pocket",
    seed: Seed = 7,
    characters: Characters = 8,
    prompts: Prompts = 8,
    recipe: RecipeName = "demo",
    workers: Workers = 1,
    row: Annotated[
        list[str] | None,
        typer.Option(help="Only this row (and those it is compared with); repeat it."),
    ] = None,
) -> None:
    """What does each loss and each identity mode bring? A row changes what its name says.

    The same characters and seeds, and as many pictures seen, but for a row that adds a stage. Stop
    it at any time: finished rows are kept.

    [bold]onbrand bench ablation --quick[/]

    [bold]onbrand bench ablation --row pose --row attended --workers 2[/]
    """
    from rich.console import Console

    from onbrand import bench
    from onbrand.app.cli.render import showing

    with showing(_kept(work)) as emit:
        result = bench.run_ablation(
            base=base,
            num_characters=characters,
            rows=row or (),
            num_prompts=prompts,
            quick=quick,
            work=work,
            seed=seed,
            recipe=recipe,
            json_path=json,
            num_workers=workers,
            emit=emit,
        )
    _print(result)
    for drawn in bench.row_tables(result):
        Console().print(drawn)


Against = Annotated[
    Path | None,
    typer.Option("--against", help="A stored result: say what is better; fail (3) if any is worse"),
]


def pack(
    quick: Quick = False,
    json: Json = None,
    work: Work = Path("build/bench/pack"),
    base: Base = "pocket",
    seed: Seed = 7,
    likeness: Annotated[
        int | None,
        typer.Option(min=0, help="Pictures for the Fréchet distance (5,000); 0 leaves it out."),
    ] = None,
    against: Against = None,
) -> None:
    """What a pack can do before any brand: named attributes, steering, speed, size.

    [bold]onbrand bench pack --quick[/]

    [bold]onbrand bench pack --json docs/benchmarks/pack.json[/]

    [bold]onbrand bench pack --base pretrain/candidate --against docs/benchmarks/pack.json[/]
    """
    from onbrand import bench
    from onbrand.app.cli.render import showing

    stored = _stored(against, "pack", quick=quick)
    with showing(_kept(work)) as emit:
        result = bench.run_pack(
            base=base,
            quick=quick,
            work=work,
            seed=seed,
            num_likeness=likeness,
            json_path=json,
            emit=emit,
        )
    _print_against(result, stored)


def eyes(
    quick: Quick = False,
    json: Json = None,
    work: Work = Path("build/bench/eyes"),
    base: Base = "pocket",
    seed: Seed = 7,
    data: Annotated[
        Path, typer.Option(help="Where gopher, dreambooth and fluent-emoji lie; else left out.")
    ] = Path("../shared/data"),
    against: Against = None,
) -> None:
    """How well a pack's eyes see: parts, joints, faces, expressions, words, likeness; their twins.

    Looks at drawings of reserved subjects, and at real pictures where they are.

    [bold]onbrand bench eyes --quick[/]

    [bold]onbrand bench eyes --json docs/benchmarks/eyes.json[/]
    """
    from onbrand import bench
    from onbrand.app.cli.render import showing

    stored = _stored(against, "eyes", quick=quick)
    with showing(_kept(work)) as emit:
        result = bench.run_eyes(
            base=base, quick=quick, work=work, seed=seed, data=data, json_path=json, emit=emit
        )
    _print_against(result, stored)


def diagnosis(
    quick: Quick = False,
    json: Json = None,
    work: Work = Path("build/bench/diagnosis"),
    base: Base = "pocket",
    seed: Seed = 7,
    characters: Characters = 12,
    failures: Annotated[
        int, typer.Option(min=0, max=2, help="How many of them to train to fail; 0 is quick.")
    ] = 1,
) -> None:
    """Does each diagnosis see its fault, and nothing else? On planted faults and real failures.

    [bold]onbrand bench diagnosis --failures 0[/]

    [bold]onbrand bench diagnosis --json docs/benchmarks/diagnosis.json[/]
    """
    from onbrand import bench
    from onbrand.app.cli.render import showing

    with showing(_kept(work)) as emit:
        result = bench.run_diagnosis(
            base=base,
            num_characters=characters,
            num_failed=failures,
            quick=quick,
            work=work,
            seed=seed,
            json_path=json,
            emit=emit,
        )
    _print(result)
    for identity, runs in result["failures"].items():
        for run, told in runs.items():
            named = ", ".join(told["named"]) or "nothing"
            typer.echo(f"character {identity}, {run}: {named}")


def training(
    quick: Quick = False,
    json: Json = None,
    work: Work = Path("build/bench/training"),
    base: Base = "pocket",
    seed: Seed = 7,
    part: Annotated[
        list[str] | None, typer.Option(help="Only this part (kills, speed or follow); repeat it.")
    ] = None,
) -> None:
    """Is training to be trusted? Killed runs end the same; where a step's time goes.

    [bold]onbrand bench training --part kills[/]

    [bold]onbrand bench training --json docs/benchmarks/training.json[/]
    """
    from onbrand import bench
    from onbrand.app.cli.render import showing

    with showing(_kept(work)) as emit:
        result = bench.run_training(
            base=base,
            quick=quick,
            work=work,
            seed=seed,
            parts=part or bench.TRAINING_PARTS,
            json_path=json,
            emit=emit,
        )
    _print(result)


def _kept(work: Path) -> str:
    return f"stopped; finished parts are kept in {work}. The same command goes on behind them."


def _stored(against: Path | None, name: str, *, quick: bool) -> dict[str, Any] | None:
    """What is to be compared with, refused before the run that it would not fit."""
    from onbrand import bench

    if against is None:
        return None
    found = bench.read_result(against)
    bench.check_kind(found, name, quick=quick)
    return found


def _print_against(result: dict[str, Any], stored: dict[str, Any] | None) -> None:
    """The table, and what is better and worse than a stored result; exit 3 if anything is worse, or
    measured no more."""
    from onbrand import bench

    if not stored:
        _print(result)
        return
    other = bench.unlike(result, stored)
    before = {name: m for name, m in stored["metrics"].items() if name not in other}
    _print({**result, "baselines": {"before": before, **result["baselines"]}})
    found = bench.compare(result, stored)
    told = {"undecided": "undecided (no interval, or of another number of pictures)"}
    for way in ("better", "worse", "undecided", "new", "gone"):
        typer.echo(f"{told.get(way, way)}: {', '.join(getattr(found, way)) or 'nothing'}")
    if found.lost:
        raise typer.Exit(3)


def readme(
    folder: Annotated[Path, typer.Argument(help="Where the benchmarks' JSON files lie.")] = Path(
        "docs/benchmarks"
    ),
) -> None:
    """Render the folder's README.md from its JSON files, so that no figure is ever typed.

    [bold]onbrand bench readme docs/benchmarks[/]
    """
    from onbrand import bench

    typer.echo(str(bench.write_readme(folder)))


def _print(result: dict[str, object]) -> None:
    from rich.console import Console

    from onbrand import bench

    Console().print(bench.table(result))


for _bench in (consistency, ablation, pack, eyes, training, diagnosis, readme):
    app.command(cls=Verb, help=lesson(_bench))(_bench)
