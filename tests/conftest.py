"""Fixtures for all tests: tiny packs of the real classes, built once; no test reaches a network."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from onbrand.models.diffusion import DiffusionModel
    from onbrand.models.packs import Pack


@pytest.fixture(scope="module")
def pretrain_scripts() -> Iterator[Path]:
    """scripts/pretrain, whose files import each other by name, as when they are run."""
    import torch

    folder = Path(__file__).resolve().parents[1] / "scripts" / "pretrain"
    threads = torch.get_num_threads()
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def tiny_pack_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a 32-px pack with every role, v-prediction, zero-terminal SNR. Read only."""
    from tiny import build_tiny_pack

    return build_tiny_pack(tmp_path_factory.mktemp("packs") / "tiny")


@pytest.fixture(scope="session")
def tiny_pack(tiny_pack_folder: Path) -> Pack:
    """The tiny pack, opened."""
    from onbrand.models.packs import open_pack

    return open_pack(tiny_pack_folder)


@pytest.fixture(scope="session")
def guided_pack(tiny_pack_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """The tiny pack with a ControlNet that does something."""
    from tiny import add_controlnet

    from onbrand.models.packs import open_pack

    root = tmp_path_factory.mktemp("packs") / "guided"
    shutil.copytree(tiny_pack_folder, root)
    add_controlnet(root)
    return open_pack(root)


@pytest.fixture(scope="session")
def following_pack_folder(tiny_pack_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny pack with an identity adapter. Read only."""
    from tiny import add_identity_adapter

    root = tmp_path_factory.mktemp("packs") / "following"
    shutil.copytree(tiny_pack_folder, root)
    add_identity_adapter(root)
    return root


@pytest.fixture(scope="session")
def tiny_hub_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain diffusers folder: noise prediction, PNDM, no pack.toml. Read only."""
    from tiny import build_hub_base

    return build_hub_base(tmp_path_factory.mktemp("packs") / "hub_base")


@pytest.fixture(scope="session")
def family_pack(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pack]:
    """Opens the tiny base of a family ("sd15", "sdxl", "sd3", "flux"), built once. Read only."""
    from tiny_families import BUILDERS

    from onbrand.models.packs import open_pack

    built: dict[str, Pack] = {}

    def opened(name: str) -> Pack:
        if name not in built:
            root = tmp_path_factory.mktemp("families") / f"tiny_{name}"
            built[name] = open_pack(BUILDERS[name](root))
        return built[name]

    return opened


@pytest.fixture
def tiny_model(tiny_pack: Pack) -> DiffusionModel:
    """The tiny pack's text-to-image part, freshly loaded for each test."""
    from onbrand.models.diffusion import load_diffusion

    return load_diffusion(tiny_pack)
