"""The rooms and what they may import, and how light the light ones stay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "diffusers", "peft", "accelerate", "scipy", "matplotlib")


def modules_after(statement: str) -> set[str]:
    """The names of the modules that a fresh interpreter holds after `statement`."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


def test_the_import_contracts_hold() -> None:
    """import-linter finds no room that imports upward, sideways, or past a contract."""
    pytest.importorskip("importlinter")
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize(
    "statement",
    [
        "import onbrand",
        "import onbrand.errors, onbrand.events, onbrand.brief, onbrand.recipe",
        "import onbrand.pixels, onbrand.artifacts",
        "import onbrand.illustrator",
        "import onbrand.road",
        "import onbrand.app.cli",
        "from onbrand import Brief, Recipe, new, train, generate, report",
    ],
)
def test_light_rooms_never_load_torch(statement: str) -> None:
    """What a portal or a shell touches first brings in no model library."""
    assert modules_after(statement).isdisjoint(HEAVY)


def test_the_package_offers_what_it_names() -> None:
    """Every name in onbrand.__all__ can be had, and dir() shows them all."""
    import onbrand

    assert set(onbrand.__all__) <= set(dir(onbrand))
    for name in onbrand.__all__:
        assert getattr(onbrand, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = onbrand.no_such_name
