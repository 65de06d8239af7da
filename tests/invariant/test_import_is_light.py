"""`import onbrand` costs nothing: no model library, and well under 0.3 s."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CODE = """
import json, resource, sys
def spent():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
before = spent()
import {module}
print(json.dumps({{"seconds": spent() - before, "modules": list(sys.modules)}}))
"""
HEAVY = {"torch", "diffusers", "transformers", "peft", "accelerate", "scipy", "cv2", "matplotlib"}


def imported(module: str) -> tuple[float, set[str]]:
    """Processor seconds that the import takes in a fresh interpreter, and what it loads."""
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    return told["seconds"], set(told["modules"])


def test_importing_onbrand_is_light(record_property: pytest.RecordProperty) -> None:
    """`import onbrand` loads no model library and takes under 0.3 s of processor time."""
    seconds, modules = imported("onbrand")
    record_property("import_seconds", seconds)
    print(f"import onbrand: {seconds * 1000:.0f} ms")
    assert modules.isdisjoint(HEAVY)
    assert seconds < 0.3


@pytest.mark.parametrize(
    "module", ["onbrand.recipe", "onbrand.brief", "onbrand.artifacts", "onbrand.curation"]
)
def test_nouns_and_curation_are_light(module: str) -> None:
    """A portal can validate briefs and recipes, and ingest pictures, without a model library."""
    _, modules = imported(module)
    assert modules.isdisjoint(HEAVY)
