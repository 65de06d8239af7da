"""Draws a pretraining set: five pictures of each subject of a world (worlds.py), packed.

Row 5n+j is picture j of subject n. A row depends on its index alone, so a killed run goes on where
it stopped. A folder holds one set, told in set.json: another one is refused there.

    python scripts/pretrain/draw.py --subjects 14000 --processes 2
    python scripts/pretrain/draw.py --subjects 200 --first 900000 --out pretrain/drawn-held-out
    python scripts/pretrain/draw.py --world fashion --subjects 6000 --processes 2
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from worlds import PICTURES_EACH, SIZE_PX, WORLDS

from onbrand.illustrator import RESERVED_IDS, character, illustrate, random_scene
from onbrand.illustrator.skeleton import COCO_17, coco_17

__all__ = ["PICTURES_EACH", "Beside", "Drawn", "draw_shard", "open_set"]

Pixels = NDArray[np.uint8]
SHARD = 100  # subjects


def open_set(root: Path, wanted: dict[str, Any]) -> None:
    """Make the maps of the set `wanted` (world, first, subjects), or find them there.

    Raises ValueError where the folder holds another set, whose rows would be taken for this one's.
    """
    root.mkdir(parents=True, exist_ok=True)
    told, pixels = root / "set.json", root / "pixels.npy"
    there = json.loads(told.read_text("utf-8")) if told.exists() else {}
    if pixels.exists() and not there:  # drawn before sets were told
        there = {"subjects": len(np.load(pixels, mmap_mode="r")) // PICTURES_EACH}
    if any(wanted[name] != value for name, value in there.items()):
        raise ValueError(f"{root} holds {there}, not {wanted}: take another --out, or delete it")
    told.write_text(json.dumps(wanted), "utf-8")
    rows = wanted["subjects"] * PICTURES_EACH
    maps: dict[str, tuple[type, tuple[int, ...]]] = {
        "pixels": (np.uint8, (rows, SIZE_PX, SIZE_PX, 3)),
        "parts": (np.uint8, (rows, SIZE_PX, SIZE_PX)),
        "joints": (np.float32, (rows, len(COCO_17), 3)),
    }
    for name, (kind, shape) in maps.items():
        if not (root / f"{name}.npy").exists():
            np.lib.format.open_memmap(root / f"{name}.npy", "w+", kind, shape)


def draw_shard(root: Path, world: str, first: int, shard: int, num: int) -> int:
    """Draw subjects of one shard into the maps; its labels file, written last, marks it done."""
    done = root / f"labels-{shard:05d}.jsonl"
    if done.exists():
        return 0
    cv2.setNumThreads(1)
    pixels = np.load(root / "pixels.npy", mmap_mode="r+")
    parts = np.load(root / "parts.npy", mmap_mode="r+")
    joints = np.load(root / "joints.npy", mmap_mode="r+")
    lines = []
    for n in range(shard * SHARD, min(num, (shard + 1) * SHARD)):
        for j, (drawn, label) in enumerate(WORLDS[world](first + n)):
            row = PICTURES_EACH * n + j
            pixels[row], parts[row] = drawn.pixels, drawn.parts
            joints[row] = coco_17(getattr(drawn, "keypoints", {}))
            lines.append({"row": row, "subject": first + n, **label})
    pixels.flush()
    parts.flush()
    joints.flush()
    fresh = done.with_suffix(".tmp")
    fresh.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    fresh.replace(done)
    return len(lines)


class Drawn:
    """A packed set as far as it is drawn: `labels[i]` describes `pixels(i)`, `parts(i)` and
    `joints(i)`."""

    def __init__(self, root: Path) -> None:
        told = root / "set.json"
        self.root = root
        self.set_told = told.read_text("utf-8") if told.exists() else ""
        self.labels: list[dict[str, Any]] = [
            json.loads(line)
            for path in sorted(root.glob("labels-*.jsonl"))
            for line in path.read_text("utf-8").splitlines()
        ]
        self.rows = np.array([label["row"] for label in self.labels], np.int64)
        self.pixels_map: Pixels = np.load(root / "pixels.npy", mmap_mode="r")
        self.parts_map: Pixels = np.load(root / "parts.npy", mmap_mode="r")
        self.joints_map: NDArray[np.float32] = np.load(root / "joints.npy", mmap_mode="r")

    @staticmethod
    def open(root: Path) -> Drawn | None:
        """The set at root, or None while nothing is drawn there."""
        return Drawn(root) if any(root.glob("labels-*.jsonl")) else None

    def __len__(self) -> int:
        return len(self.labels)

    def pixels(self, index: int) -> Pixels:
        """[128, 128, 3] uint8."""
        return np.asarray(self.pixels_map[self.rows[index]])

    def parts(self, index: int) -> Pixels:
        """[128, 128] uint8, indices into the illustrator's PARTS; 0 is background."""
        return np.asarray(self.parts_map[self.rows[index]])

    def joints(self, index: int) -> NDArray[np.float32]:
        """COCO-17's joints, [17, 3]: x_px, y_px and 1 where seen; none of a product."""
        return np.asarray(self.joints_map[self.rows[index]])

    def crops(self, rng: np.random.Generator, num: int, crop_px: int) -> Pixels:
        """Random crops [num, crop, crop, 3], flipped half of the time."""
        out = []
        for _ in range(num):
            whole = self.pixels(int(rng.integers(len(self))))
            y, x = rng.integers(0, SIZE_PX - crop_px + 1, 2)
            crop = whole[y : y + crop_px, x : x + crop_px]
            out.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
        return np.stack(out)

    @staticmethod
    def reserved_pixels(num: int) -> Pixels:
        """Pictures of reserved characters, never trained on, [num, 128, 128, 3]."""
        out = []
        for k in list(RESERVED_IDS)[:num]:
            scene = random_scene(np.random.default_rng((k, 0xE7A1)))
            out.append(illustrate(character(k), scene, size_px=SIZE_PX, seed=k).pixels)
        return np.stack(out)


class Beside:
    """Several packed sets read as one, in their order; `digest` tells them from other sets, and
    from what was drawn of them before."""

    def __init__(self, sets: Sequence[Drawn]) -> None:
        told = [(one.set_told, len(one)) for one in sets]
        self.digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
        self.places = [(one, i) for one in sets for i in range(len(one))]
        self.labels = [label for one in sets for label in one.labels]

    @staticmethod
    def open(root: Path) -> Beside:
        """The set at root and those of other worlds beside it (root-products and so on), as far as
        they are drawn."""
        roots = [root, *(root.with_name(f"{root.name}-{world}") for world in WORLDS)]
        return Beside([one for one in map(Drawn.open, roots) if one is not None])

    def __len__(self) -> int:
        return len(self.places)

    def pixels(self, index: int) -> Pixels:
        """[128, 128, 3] uint8."""
        one, i = self.places[index]
        return one.pixels(i)

    def parts(self, index: int) -> Pixels:
        """[128, 128] uint8, indices into the illustrator's PARTS."""
        one, i = self.places[index]
        return one.parts(i)

    def joints(self, index: int) -> NDArray[np.float32]:
        """[17, 3]: x_px, y_px and 1 where seen."""
        one, i = self.places[index]
        return one.joints(i)


def main(arguments: list[str] | None = None) -> None:
    """Draw what is missing."""
    p = argparse.ArgumentParser(
        prog="pretrain draw",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--world", choices=tuple(WORLDS), default="mascots")
    p.add_argument("--subjects", type=int, default=10_000, help="characters, products or people")
    p.add_argument("--first", type=int, default=0, help="index of the first one")
    p.add_argument("--processes", type=int, default=2)
    p.add_argument("--out", type=Path, help="pretrain/drawn, or pretrain/drawn-WORLD")
    options = p.parse_args(arguments)
    place = "drawn" if options.world == "mascots" else f"drawn-{options.world}"
    root = options.out or Path(__file__).resolve().parents[2] / "pretrain" / place
    num = options.subjects
    try:
        open_set(root, {"world": options.world, "first": options.first, "subjects": num})
    except ValueError as error:
        p.error(str(error))
    shards = range((num + SHARD - 1) // SHARD)
    jobs = [(root, options.world, options.first, s, num) for s in shards]
    began, total = time.monotonic(), 0
    with contextlib.ExitStack() as stack:
        counts: Iterator[int] = map(_draw_job, jobs)
        if options.processes > 1:  # fresh processes: a fork of a program with threads may hang
            pool = multiprocessing.get_context("spawn").Pool(options.processes)
            counts = stack.enter_context(pool).imap_unordered(_draw_job, jobs)
        for done in counts:
            total += done
            if done:
                seconds = time.monotonic() - began
                print(f"{total} pictures, {total / seconds:.0f} a second", flush=True)


def _draw_job(job: tuple[Path, str, int, int, int]) -> int:
    return draw_shard(*job)


if __name__ == "__main__":
    main()
