"""The command line: a file per verb. Verbs are the road's functions by the same names.

Errors become one line on stderr and an exit code (`--debug` shows the trace); Ctrl-C becomes one
line that says what is kept, and exit code 130.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from onbrand.app.cli import bench, generate, identity, new, report, sweep, train
from onbrand.app.cli.teach import Verb, Verbs, lesson

__all__ = ["EXIT_STOPPED", "app", "main"]

EXIT_WRONG_CALL = 2
EXIT_STOPPED = 130

app = typer.Typer(
    name="onbrand",
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=(
        "Begin with a folder of pictures:  [bold]onbrand new kuro --pictures photos/[/]  "
        "then  [bold]onbrand train kuro[/],  [bold]onbrand report kuro[/]."
    ),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from onbrand import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the whole trace of an error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print it.")
    ] = False,
) -> None:
    """Train an image model to know a brand, and measure whether its pictures are on brand."""


app.command(name="new", cls=Verb, help=lesson(new.command))(new.command)
app.command(name="train", cls=Verb, help=lesson(train.command))(train.command)
app.command(name="generate", cls=Verb, help=lesson(generate.command))(generate.command)
app.command(name="report", cls=Verb, help=lesson(report.command))(report.command)
app.command(name="sweep", cls=Verb, help=lesson(sweep.command))(sweep.command)
app.add_typer(identity.app, name="identity")
app.add_typer(bench.app, name="bench")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and leaves with its exit code (`SystemExit`).

    `arguments` are the words after `onbrand`, from the shell when None.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    if debug:  # accepted anywhere on the line
        words = [word for word in words if word != "--debug"]
    sys.exit(_run(words, debug=debug))


def _run(words: list[str], *, debug: bool) -> int:
    from onbrand.app.cli.render import Stopped
    from onbrand.errors import OnbrandError

    try:
        code = app(words, prog_name="onbrand", standalone_mode=False)
        if code == EXIT_STOPPED:  # Ctrl-C before or after the long part, which tells more
            _say("stopped; what was finished is kept.", debug=debug)
        return code if isinstance(code, int) else 0
    except Stopped as stopped:
        _say(str(stopped), debug=debug)
        return EXIT_STOPPED
    except OnbrandError as error:
        _say(f"error: {error}", debug=debug)
        return error.exit_code
    except Exception as error:
        if (wrong_call := _wrong_call(error)) is not None:
            if wrong_call:  # it is empty where the help was printed instead
                _say(f"error: {wrong_call}", debug=debug)
            return EXIT_WRONG_CALL
        told = _refusal(error) or f"{type(error).__name__}: {error} (a fault of onbrand's own)"
        _say(f"error: {told}{'' if debug else '; --debug shows the trace'}", debug=debug)
        return OnbrandError.exit_code


def _refusal(error: Exception) -> str:
    """What the system refuses: a closed folder, a name that no file can have, a full disk. "" for
    any other error, those that libraries derive from `OSError` among them: they have no number."""
    from onbrand.files import readable

    if not isinstance(error, OSError) or error.errno is None:
        return ""
    where = "" if error.filename is None else f"cannot use {readable(str(error.filename))!r}: "
    return f"{where}{error.strerror}"


def _wrong_call(error: Exception) -> str | None:
    """What the parser says of words it cannot use; None for any other error.

    Its exception classes are private to typer, but all of them have `format_message` and `ctx`.
    """
    told = getattr(error, "format_message", None)
    if told is None:
        return None
    message = str(told()).rstrip(".")
    path = getattr(getattr(error, "ctx", None), "command_path", "onbrand")
    return f"{message} (see  {path} --help)" if message else ""


def _say(message: str, *, debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exc()
    typer.echo(message.replace("\n", " "), err=True)
