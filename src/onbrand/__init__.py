"""onbrand trains an image model to know a brand, and measures whether its pictures are on brand.

    import onbrand as ob

    brand = ob.new("kuro", pictures="photos/kuro")
    ob.train(brand)
    shots = ob.generate(["waving at a night market"], brand)
    ob.report(brand)

Names are loaded when they are first used: `import onbrand` brings in no model library.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onbrand.artifacts import BrandModel, Dataset, Identity, Judgement, Pictures
    from onbrand.brief import Brief
    from onbrand.errors import OnbrandError
    from onbrand.recipe import Recipe
    from onbrand.road import (
        compare_identities,
        curate,
        generate,
        make_identity,
        new,
        plan,
        report,
        sweep,
        train,
    )

__version__ = "0.1.0"

__all__ = [
    "BrandModel",
    "Brief",
    "Dataset",
    "Identity",
    "Judgement",
    "OnbrandError",
    "Pictures",
    "Recipe",
    "__version__",
    "compare_identities",
    "curate",
    "generate",
    "make_identity",
    "new",
    "plan",
    "report",
    "sweep",
    "train",
]

_HOMES = {
    "BrandModel": "onbrand.artifacts",
    "Brief": "onbrand.brief",
    "Dataset": "onbrand.artifacts",
    "Identity": "onbrand.artifacts",
    "Judgement": "onbrand.artifacts",
    "OnbrandError": "onbrand.errors",
    "Pictures": "onbrand.artifacts",
    "Recipe": "onbrand.recipe",
    "compare_identities": "onbrand.road",
    "curate": "onbrand.road",
    "generate": "onbrand.road",
    "make_identity": "onbrand.road",
    "new": "onbrand.road",
    "plan": "onbrand.road",
    "report": "onbrand.road",
    "sweep": "onbrand.road",
    "train": "onbrand.road",
}


class _Package(ModuleType):
    """Keeps `onbrand.report` the function: the room of that name would take its place on import."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
