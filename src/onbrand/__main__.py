"""The console script and `python -m onbrand`. Nothing is imported before Ctrl-C can be told."""

from __future__ import annotations

import io
import os
import sys

__all__ = ["main"]

SPINS = "1000"
"""Rounds that a thread of GNU OpenMP waits before it sleeps; by itself 300,000. Two threads on two
cores that something else uses, too, then take two to eight times as long (docs/log.md); on idle
cores as long as ever."""


def main() -> None:
    """Runs the command line and leaves with its exit code (`SystemExit`)."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read when torch is loaded
    for stream in (sys.stdout, sys.stderr):  # ASCII has no ✓, and a name may be no UTF-8
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    try:
        from onbrand.app.cli import main as run

        run()
    except KeyboardInterrupt:
        print("stopped; nothing was begun.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
