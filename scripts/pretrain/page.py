"""docs/pack.md: the pack as its stored scorecard, its pictures and its learning curves show it.

    make docs                          # its pictures first (examples/draw_prompts.py)
    python scripts/pretrain/page.py    # the page alone

Figures come from docs/benchmarks/{pack,eyes}.json and the pack's facts.json, never from here, and
so does what is said to work and what not. Curves are drawn from the logs of the runs in pretrain/;
a role that was not trained there keeps its old plot, whose title says of how many steps it is.
What was seen on the sheets is typed here, with the revision that was looked at.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from export import HARDWARE, POCKET, mib
from options import ROOT, WORK

from onbrand.bench import render_section
from onbrand.bench.emoji import HELD_OUT_EVERY, held_out_emoji
from onbrand.bench.record import bar_words, printed
from onbrand.report.plots import smoothed
from onbrand.report.wording import figure
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
    "expression-twin": ("right",),
    "tagger": ("f1",),
    "clicks": ("iou_drawn_1", "iou_drawn_3", "iou_emoji_3"),
    "identity": ("retrieval", "pa"),
    "identity-twin": ("retrieval", "pa"),
    "alignment": ("of_20_mascots", "of_20_products", "of_20_fashion"),
    "alignment-twin": ("of_20_mascots", "of_20_products", "of_20_fashion"),
    "vae": ("psnr_drawn",),
}
"""Per run, what of its log is worth a plot."""

SHEETS: Mapping[str, str] = {
    "mascots": "Mascots: reserved characters in scenes, by species, colour, pose, prop and place",
    "products": "Products: kind, colour, print, what they stand on",
    "fashion": "Fashion: people and mannequins in garments",
    "styles": "Every style in every world, then the emoji",
}

SEEN_IN = "12"  # the revision whose sheets were looked at
SEEN: Mapping[str, str] = {
    "mascots": """\
species, colours and places can be told in nearly all. Legs of those that dance or jump smear, some
eyes and props run together.""",
    "products": """\
most goods can be told at a glance, about seven of the 64 cannot. Prints are daubs, stripes and dots
alike.""",
    "fashion": """\
garments, colours, poses and places are there, faces are not: nearly all are blank or a smear. Eyes
can be made out in about seven of the 64, all of them close up, a mouth in none (mannequins rightly
have no face). Hands are stumps, some forearms float beside their body, prints are daubs.""",
    "styles": """\
the five styles differ in outline, shade and sticker's edge as they should. The last four rows, the
emoji, are blobs of about the right colour: a face can be named, hardly anything else.""",
}

REAL: Mapping[str, tuple[float, str]] = {
    "pa_gopher_fraction": (
        1 / 2, "of two of the gopher's pictures and a colour variant, the two are the nearer ones",
    ),
    "gopher_faces_fraction": (
        0.0, "a face is found in the gopher's pictures; whether in the right place is not measured",
    ),
    "gopher_expressions_fraction": (
        1 / 8, "the gopher's expression, one of eight, is the one that its caption says",
    ),
    "captions_gopher_fraction": (
        1 / 20, "the gopher's own caption, its expression, props and clothes, is told among 20",
    ),
    "photographs_fraction": (
        0.083, "of a DreamBooth subject's photograph the nearest other one shows the same subject",
    ),
    "emoji_styles_fraction": (1 / 4, "an emoji's style is told among four"),
    "captions_emoji_fraction": (
        1 / 20, "an emoji's name is told among 20, in a style it was never learned in",
    ),
}  # fmt: skip
"""Per figure of `bench eyes` on real pictures: what chance gets, and what is right when it is."""

WORKS = 0.75


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
        steps = f"{run.name}: {lines[-1]['step']:,} steps"
        figure.savefig(path, metadata={"Date": None, "Title": steps})
        plt.close(figure)
    return True


def real_pictures(eyes: Mapping[str, Any]) -> str:
    """What works on real pictures and what does not, by the stored figures of `bench eyes`."""
    told: dict[str, list[str]] = {"Works": [], "In part": [], "Does not": []}
    twins = eyes["baselines"].get("twin", {})
    for name, (chance, words) in REAL.items():
        if (mine := eyes["metrics"].get(name)) is None:
            continue
        low = mine["interval"][0] if mine["interval"] else mine["value"]
        verdict = "Works" if low >= WORKS else "In part" if low > chance else "Does not"
        beside = [
            f"the twin {printed(name, twins[name])}" if name in twins else "",
            f"chance {figure(name, chance)}" if chance else "",
            f"bar {bar_words(name, mine)}" if mine["bar"] is not None else "",
        ]
        also = ", ".join(filter(None, beside))
        line = f"{words}: {printed(name, mine)}"
        told[verdict].append(f"{line} ({also})" if also else line)
    return "\n\n".join(
        "\n".join([f"**{verdict}**", "", *(f"- {line}" for line in lines)])
        for verdict, lines in told.items()
        if lines
    )


def drawn_from_real(pack: Mapping[str, Any]) -> str:
    """What the base makes of real pictures and of emoji, by the figures of `bench pack`."""
    lines = ["**Of the base**", ""]
    if mascot := pack["metrics"].get(name := "psnr_mascot_db"):
        lines.append(
            f"- The codec keeps the gopher at {printed(name, mascot)} ({bar_words(name, mascot)})."
        )
    if drawn := pack["metrics"].get(name := "emoji_nouns_fraction"):
        real = pack["baselines"].get("real", {}).get(name)
        num = drawn.get("num") or len(held_out_emoji())
        lines.append(
            f"- Emoji that the base draws are named by the alignment twin in {printed(name, drawn)}"
            f" ({f'true ones in {printed(name, real)}; ' if real else ''}{bar_words(name, drawn)}),"
            f" of {num or 'all'} pairs of name and style that it never saw together. 200 were"
            f" wanted: every {HELD_OUT_EVERY}th of the emoji was held out, which gives no more,"
            " and what was learned cannot be held out afterwards."
        )
    return "\n".join(lines)


def plots_of(facts: Mapping[str, Mapping[str, Any]], pictures: Path) -> str:
    """The curves there are, each with whose it is, and which roles have none."""
    lines, without = [], []
    for run, names in CURVES.items():
        file = pictures / f"curve-{run}.svg"
        if not file.exists():
            without.append(f"`{run}`")
            continue
        title = re.search(r"<title>.*: ([\d,]+) steps</title>", file.read_text("utf-8"))
        shown, last = title and title[1], f"{facts[run]['steps']:,}" if run in facts else ""
        which = (
            f"the last run, {last} steps"
            if shown == last
            else (
                f"an earlier run{f' of {shown} steps' if shown else ''}; the log of the last"
                f"{f', {last} steps,' if last else ''} was not kept"
            )
        )
        lines.append(
            f"`{run}` ({which}): {', '.join(names)}\n\n![Curves of {run}](pictures/{file.name})"
        )
    if without:
        lines.append(f"No curves of {', '.join(without)}: the logs of their runs were not kept.")
    return "\n\n".join(lines)


def sheets_of(pictures: Path) -> str:
    """The sheets there are, and what was seen on them."""
    return "\n\n".join(
        f"### {title}\n\n![{title}](pictures/pack-{name}.webp)\n\n"
        f"Looked at in revision {SEEN_IN}:\n{SEEN[name]}"
        for name, title in SHEETS.items()
        if (pictures / f"pack-{name}.webp").exists()
    )


def page(
    found: Sequence[Mapping[str, Any]], facts: Mapping[str, Mapping[str, Any]], docs: Path
) -> str:
    """The page, Markdown, of the stored results `found`."""
    sections = "\n".join(render_section(one) for one in found)
    by_name = {one["name"]: one for one in found}
    real = "\n\n".join(
        say(by_name[name])
        for name, say in (("eyes", real_pictures), ("pack", drawn_from_real))
        if name in by_name
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
## Real pictures: what works and what does not

Works: by its whole 95 % interval right in {100 * WORKS:.0f} % or more. Does not: by its interval
no better than chance. The evaluation twin's figure is beside.

{real}

The eyes have learned this project's drawings and emoji: of a real picture they see colour, outline
and proportions. What a brand's training makes of the gopher, with pictures: [gopher](gopher.md); of
photographs: [dreambooth](dreambooth.md), where nothing ships. For photographs take a base and eyes
from a hub ([families](families.md), [eyes](eyes.md)).

## Pictures

Uncurated: the first prompts about reserved subjects, the first seeds (`examples/draw_prompts.py`).

{sheets_of(docs / "pictures")}

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

{plots_of(facts, docs / "pictures")}

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
