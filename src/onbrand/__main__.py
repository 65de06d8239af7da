"""The console script and `python -m onbrand`. Nothing is imported before Ctrl-C can be told."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command line and leaves with its exit code (`SystemExit`)."""
    try:
        from onbrand.app.cli import main as run

        run()
    except KeyboardInterrupt:
        print("stopped; nothing was begun.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
