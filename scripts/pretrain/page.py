"""docs/pack.md: the pack as its stored scorecard, its pictures and its learning curves show it.

    make docs                          # its pictures first (examples/draw_prompts.py)
    python scripts/pretrain/page.py    # the page alone

Figures come from docs/benchmarks/{pack,eyes}.json and the pack's facts.json, never from here.
Curves are drawn from the logs of the runs in pretrain/; a role that was not trained there keeps its
old plot.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from export import HARDWARE, POCKET, mib
from options import ROOT, WORK

from onbrand.bench import render_section
from onbrand.report.plots import smoothed
from onbrand.training.engine import read_log

__all__ = ["curves", "main", "page"]

DOCS = ROOT / "docs"
INK, ACCENT, FAINT = "#2b2836", "#c2553d", "#d9d4cc"

CURVES: Mapping[str, tuple[str, ...]] = {
    "unet": ("crisp", "noisy"),
    "controlnet": ("error",),
    "identity_adapter": ("error",),
    "attributes": ("mean", "faults_named", "false_alarms"),
    "parsing": ("iou_garments", "iou_people", "iou_mean"),
    "pose": ("pck_5", "pck_10", "seen"),
    "pose-twin": ("pck_5", "pck_10", "seen"),
    "expression": ("right",),
    "tagger": ("f1",),
    "clicks": ("iou_drawn_1", "iou_drawn_3", "iou_emoji_3"),
    "identity": ("retrieval", "pa"),
    "identity-twin": ("retrieval", "pa"),
    "alignment": ("of_20_mascots", "of_20_products", "of_20_emoji"),
    "alignment-twin": ("of_20_mascots", "of_20_products", "of_20_emoji"),
    "vae": ("psnr_drawn",),
}
"""Per run, what of its log is worth a plot."""

SHEETS: Mapping[str, str] = {
    "mascots": "Mascots: reserved characters in scenes, by species, colour, pose, prop and place",
    "products": "Products: kind, colour, print, what they stand on",
    "fashion": "Fashion: people and mannequins in garments",
    "styles": "Every style in every world, then the emoji",
}


def curves(run: Path, names: Sequence[str], path: Path) -> bool:
    """Plot the named numbers of a run's log over its steps; False when it has none."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    lines = read_log(run)
    rows = {n: [(line["step"], line[n]) for line in lines if n in line] for n in names}
    rows = {name: found for name, found in rows.items() if len(found) > 1}
    if not rows:
        return False
    with plt.rc_context({"font.size": 9, "svg.hashsalt": "onbrand", "text.color": INK}):
        figure, axes = plt.subplots(figsize=(5.6, 2.2), layout="constrained")
        for shade, (name, found) in zip((ACCENT, INK, "#5b7f95"), rows.items(), strict=False):
            steps, values = np.array(found).T
            axes.plot(steps, values, color=shade, alpha=0.25, linewidth=0.8)
            axes.plot(steps, smoothed(list(values)), color=shade, linewidth=1.6, label=name)
        axes.set_xlabel("step")
        axes.grid(color=FAINT, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
    return True


def page(
    found: Sequence[Mapping[str, Any]], facts: Mapping[str, Mapping[str, Any]], docs: Path
) -> str:
    """The page, Markdown, of the stored results `found`."""
    sections = "\n".join(render_section(one) for one in found)
    pictures = "\n\n".join(
        f"### {title}\n\n![{title}](pictures/pack-{name}.webp)"
        for name, title in SHEETS.items()
        if (docs / "pictures" / f"pack-{name}.webp").exists()
    )
    plots = "\n\n".join(
        f"`{run}`: {', '.join(names)}\n\n![Curves of {run}'s last run](pictures/curve-{run}.svg)"
        for run, names in CURVES.items()
        if (docs / "pictures" / f"curve-{run}.svg").exists()
    )
    runs = "\n".join(
        f"| {run} | {f['steps']:,} | {f['seconds'] / 60:.0f} | {f.get('pictures seen', '')} |"
        for run, f in facts.items()
    )
    sizes = "\n".join(
        f"| {folder.relative_to(POCKET)} | {mib(folder):.2f} |"
        for folder in sorted({file.parent for file in POCKET.rglob("*.safetensors")})
    )
    return f"""# The pocket pack

What ships inside the package so that everything runs without a GPU or a network: a text-to-image
base of 128 px in diffusers' format and the eyes that judge it. Rendered by `make docs` from the
stored scorecard, the pack's own facts and the logs of its training; how each weight is made:
[scripts/pretrain](../scripts/pretrain/README.md), what was tried: [log](log.md).

Before a weight is replaced, `onbrand bench pack --against docs/benchmarks/pack.json` (and, for the
eyes, `bench eyes --against`) says what is better and worse beyond chance; where something worse was
taken for much that is better, the [log](log.md) says so.

{sections}
## Pictures

Uncurated: the first prompts about reserved subjects, the first seeds (`examples/draw_prompts.py`).

{pictures}

## Size, MiB
fp16; the eyes' matrices and kernels are float8 (e4m3).

| part | MiB |
|---|---|
{sizes}
| all | {mib(POCKET):.2f} of 48 |

## How it was trained

{HARDWARE} Each row is
that role's last run, which most went on from earlier ones.

| run | steps | minutes | pictures seen, all runs |
|---|---|---|---|
{runs}

{plots}

## Data and licences

- Drawn by `onbrand.illustrator` (this project, Apache-2.0): mascots, products, fashion, and
  pictures with planted faults; never a reserved subject or its double: [how](worlds.md).
- Fluent Emoji by Microsoft, MIT licence, https://github.com/microsoft/fluentui-emoji.
- The gopher (CC0) and the DreamBooth subjects are measured on, never trained on.
- The weights: Apache-2.0.
"""


def main(arguments: list[str] | None = None) -> None:
    """Draw the curves there are logs for and write the page."""
    p = argparse.ArgumentParser(
        prog="pretrain page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--work", type=Path, default=WORK)
    p.add_argument("--docs", type=Path, default=DOCS)
    options = p.parse_args(arguments)
    (options.docs / "pictures").mkdir(parents=True, exist_ok=True)
    for run, names in CURVES.items():
        curves(options.work / run, names, options.docs / "pictures" / f"curve-{run}.svg")
    stored = (options.docs / "benchmarks" / f"{name}.json" for name in ("pack", "eyes"))
    found = [json.loads(file.read_text("utf-8")) for file in stored if file.exists()]
    facts = json.loads((POCKET / "facts.json").read_text("utf-8"))
    (options.docs / "pack.md").write_text(page(found, facts, options.docs), "utf-8")
    print(options.docs / "pack.md")


if __name__ == "__main__":
    main()
