"""The ten photographed subjects of the DreamBooth benchmark, with its own prompts: brands made,
trained and reported one after the other, then one table and one sheet.

    python examples/dreambooth.py ../shared/data/dreambooth build/dreambooth --sheet OUT.webp

Of each subject's four to six photographs the last two are held out; the other nine subjects are its
look-alikes. The benchmark's first four prompts are for gates, the other 21 for the report. Stop it
at any time: finished subjects are kept. What came of it: docs/dreambooth.md.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image

import onbrand as ob
from onbrand.artifacts import Judgement, Pictures
from onbrand.errors import GateFailed
from onbrand.files import write_text_atomic
from onbrand.sheet import tiles

LIVE = ("cat", "dog")
"""Classes that the benchmark asks its other list of prompts of."""
NUM_HELD_OUT = 2
ARMS = ("base", "prompt_only", "appearance", "detail", "real")
FIGURES = ("identity", "retrieval_fraction", "alignment", "alignment_ratio", "memorised_fraction")
SHOWN = {"base": 2, "appearance": 2, "detail": 4}
"""Pictures of each arm on the sheet, the first ones."""


def prompts_of(data: Path, kind: str) -> list[str]:
    """The benchmark's 25 prompts for a class, "{subject}" for its token and class."""
    text = (data / "prompts_and_classes.txt").read_text("utf-8")
    objects, live = text.partition("Live Subject Prompts")[::2]
    found = re.findall(r"'(a .*?)'\.format", live if kind in LIVE else objects)
    return [prompt.replace("{0} {1}", "{subject}") for prompt in found]


def brief_of(name: str, data: Path) -> str:
    """The subject's brief.toml."""
    kind = (data / name / "class.txt").read_text("utf-8").strip()
    held_out = [path.name for path in sorted((data / name).glob("*.jpg"))[-NUM_HELD_OUT:]]
    facts = {
        "name": name,
        "trigger": "sks",
        "subject": kind,
        "description": f"a {name.rstrip('0123456789').replace('_', ' ')}",
        "objective": "scene",
        "prompts": prompts_of(data, kind),
        "held_out": held_out,
    }
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in facts.items())


def learned(name: str, data: Path, out: Path, recipe: str) -> Judgement:
    """The subject's report; made where it is not there yet."""
    brand = out / name
    if not (brand / "report.json").is_file():
        if not (brand / "dataset").is_dir():
            write_text_atomic(out / f"{name}.toml", brief_of(name, data))
            others = [path.parent for path in data.glob("*/class.txt") if path.parent.name != name]
            ob.new(
                brand,
                pictures=[data / name],
                lookalikes=sorted(others),
                brief=out / f"{name}.toml",
                recipe=recipe,
            )
        with suppress(GateFailed):  # the report says why
            ob.train(brand)
        ob.report(brand, num_prompts=21, num_per_prompt=1)
    return Judgement.load(brand)


def table(judged: dict[str, Judgement]) -> str:
    """Markdown: a line for each subject, the arms' figures beside each other."""
    lines = []
    for figure in FIGURES:
        lines += ["", f"| {figure} | {' | '.join(ARMS)} |", f"|---|{'---|' * len(ARMS)}"]
        rows = {name: _values(judgement, figure) for name, judgement in judged.items()}
        means = [
            sum(known) / len(known) if (known := [v for v in column if v is not None]) else None
            for column in zip(*rows.values(), strict=True)
        ]
        for name, values in {**rows, "mean": means}.items():
            told = ["–" if value is None else f"{value:.3f}" for value in values]
            lines.append(f"| {name} | {' | '.join(told)} |")
    return "\n".join(lines)


def _values(judgement: Judgement, figure: str) -> Sequence[float | None]:
    arms = {arm.name: arm.metrics for arm in (*judgement.baselines.values(), *judgement.stages)}
    found = [arms[arm].get(figure) if arm in arms else None for arm in ARMS]
    return [metric.value if metric else None for metric in found]


def sheet(out: Path, names: Sequence[str]) -> Image.Image:
    """A row for each subject: what `SHOWN` says, of the report's pictures."""
    rows = []
    for name in names:
        for arm, num in SHOWN.items():
            folder = out / name / "judged" / arm
            drawn = Pictures.load(folder) if folder.is_dir() else None
            blank = Image.new("RGB", (128, 128), "white")
            rows += [drawn.open(k) if drawn else blank for k in range(num)]
    return tiles(rows, sum(SHOWN.values()))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the benchmark's folder")
    parser.add_argument("out", type=Path, help="where the brands are made")
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--sheet", type=Path, help="draw the sheet into this file")
    parser.add_argument("--subject", action="append", help="only this one; may be repeated")
    args = parser.parse_args()
    names = sorted(path.parent.name for path in args.data.glob("*/class.txt"))
    chosen = args.subject or names
    args.out.mkdir(parents=True, exist_ok=True)
    print(table({name: learned(name, args.data, args.out, args.recipe) for name in chosen}))
    if args.sheet:
        sheet(args.out, chosen).save(args.sheet, quality=85)


if __name__ == "__main__":
    main()
