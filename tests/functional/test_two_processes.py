"""`accelerate launch` with two processes trains what one process trains."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from brand_folder import drawn_brand

import onbrand as ob
from onbrand import training
from onbrand.bench.training.kills import outcome

RECIPE = """
base = "{base}"
precision = "float32"
[lora]
rank = 2
[validation]
num_prompts = 1
num_per_prompt = 2
num_steps = 2
[prior]
num_pictures = 3
[[stage]]
kind = "appearance"
batch_size = 4
learning_rate = 1e-3
num_steps = 4
augment = {{ rotate_degrees = 4 }}
[[stage]]
kind = "detail"
batch_size = 3
learning_rate = 1e-3
num_steps = 3
losses = {{ perceptual = 0.1, identity = 0.1, prior = 1.0 }}
loss_max_timestep = 700
"""
FIELDS = ("loss", "reconstruction", "prior", "perceptual", "identity")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def launch(brand: Path, num_processes: int) -> str:
    """Train the brand as accelerate launches it; what was said."""
    words = ["--num_processes", num_processes, "--num_machines", 1, "--mixed_precision", "no"]
    words += ["--dynamo_backend", "no", "--main_process_port", free_port()]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"),
            *(str(word) for word in words),
            *("-m", "onbrand", "train", str(brand)),
        ],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the launched processes have: the last bits of a sum depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def brand(tmp_path_factory: pytest.TempPathFactory, tiny_pack_folder: Path) -> Path:
    """A brand of four training pictures on the tiny pack."""
    recipe = RECIPE.format(base=tiny_pack_folder)
    return drawn_brand(tmp_path_factory.mktemp("launched"), recipe)


def copy_of(brand: Path, name: str) -> Path:
    return Path(shutil.copytree(brand, brand.parent / name))


def test_two_processes_follow_one(brand: Path) -> None:
    """Same global batch: every loss of both stages to 1e-5, class pictures and odd batches
    included; one process writes and speaks; two micro-batches alone end at the very same bytes."""
    one, two, parts = (copy_of(brand, name) for name in ("one", "two", "parts"))
    ob.train(one)
    said = launch(two, 2)
    assert said.count("next: onbrand report") == 1
    ours, theirs = (training.loss_curves(folder / "model") for folder in (one, two))
    assert list(ours) == list(theirs) == ["appearance", "detail"]
    for stage, lines in ours.items():
        assert len(lines) == len(theirs[stage])
        for a, b in zip(lines, theirs[stage], strict=True):
            for name in FIELDS:
                assert b.get(name) == pytest.approx(a.get(name), abs=1e-5), (stage, name)

    recipe = parts / "recipe.toml"
    cut = recipe.read_text().replace("batch_size", "gradient_accumulation = 2\nbatch_size")
    recipe.write_text(cut)
    ob.train(parts)
    assert outcome(parts / "model") == outcome(two / "model")

    launch(two, 2)  # finished: called again it changes nothing
    assert outcome(parts / "model") == outcome(two / "model")
