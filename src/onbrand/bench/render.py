"""docs/benchmarks/README.md from the JSON files beside it: no figure is ever typed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onbrand.bench.ablation.words import GROUPS, looked_at, row_cells, row_heads
from onbrand.bench.likeness import AT_LEAST
from onbrand.bench.record import bar_words, ours_of, printed
from onbrand.bench.summary import TRUE
from onbrand.errors import ArtifactError, InputError
from onbrand.files import write_text_atomic
from onbrand.report import arm_title
from onbrand.report.wording import measure

__all__ = ["render_readme", "render_section", "write_readme"]

HEAD = """\
# Benchmarks

Rendered by `onbrand bench readme {folder}` from the JSON files beside it. Values with bootstrap
95 % intervals. A bar that is missed stays, and says so.
"""

ABOUT = {
    "consistency": """\
Reserved characters, which the base never met, each learned from {num_train} drawings and judged on
{num_prompts} prompts × {num_per_prompt} seeds by encoders that took no part in training or in
choosing. What the recipe leaves off was first chosen by an ablation on eight of these very
characters; later ablations have others. Retrieval is among 180 identities: the character, 19
others, and 8 look-alikes of each that differ in one trait (chance {chance:.1%}). Memorised is what
lies nearer to a training picture than 99 % of new real pictures do, so one real picture in a
hundred would count, too. Intervals are resampled by character ({num_characters}).
`dreambooth_lora` saw as many pictures; its learning rate, {rate:g}, was {found}.
""",
    "ablation": """\
The same {num_characters} reserved characters, prompts and seeds for every row.
{whose}
One thing is changed at a time, or those that the row names, and as many pictures are seen as by the
row that it is compared with, but for a row that adds a stage (reconstruction to appearance, third
to both); judged by encoders that took no part in training. Differences are means over the
characters that have the figure, with intervals resampled by character; shares in points. ▲ and ▼:
the interval leaves out 0, for better or worse. Under six characters there is neither, and the count
stands instead.
""",
    "eyes": """\
Drawings of reserved subjects, 300 of each world, and the real pictures of `../shared/data`.
Joints: found within a tenth of the figure. Faces: boxes that overlap by one half. Captions: the
true one against 19 in which one attribute is another (told: best of all; beaten: one by one); of
emoji, another noun. Look-alikes differ in one trait and stand in the same scene as the picture that
they are compared with, which the right answer does not. Real pictures were never learned from, but
for the emoji: of these the things were, in other styles, and the pictures themselves were not.
“Same” compares an eye's own answers about 60 drawings before and after JPEG 85, 3 % cut off each
side and a shift by 3 %: of each role in the change that is the worst for the picture, after each
change the mean of all roles. The same must be the expression, all words, all attributes, the
caption among 20, which other drawing is the nearest, the boxes of faces (overlap of one half) and
all seen joints (within 5 % of the side); of parts it is the share of pixels, of a click the overlap
of the masks.
""",
    "diagnosis": """\
Sets of eight pictures of reserved characters, as a stage's validation pictures are, with exactly
one fault planted at three severities, against clean ones; the AUC's bar is 0.9. The first column
looks through the evaluation eyes, as reports do, “Gates' eyes” through the training side's. The
limits above which a fault is named come from other characters; those of pose, oily look, background
and drift do not lie below what the base's own sets differ by from seed to seed. Shapes and
memorised are read against the real pictures: of shapes the untouched base's own pictures may be
accused, too. The sets are true drawings, so “Clean sets accused” is of these: of generated pictures
more may be. Single pictures are told beside: a diagnosis is of a set.
""",
    "pack": """\
The built-in base before any brand. Attributes are named in the prompt and read back by a classifier
trained on ground truth; “Real pictures” is what it reads from true drawings of the same prompts.
Faults are what that classifier calls a fault, alarms on true drawings beside them; avoided is the
share of them that a negative prompt takes away. Edges are measured against the drawing that was to
be followed, and against the same prompts and seeds unguided. Emoji: the alignment twin picks the
noun among 20; nouns and styles were never seen together.
""",
    "training": """\
Kills: `onbrand train` on a reserved character, 12 + 8 steps, ended by SIGKILL at seeded moments (at
steps, while a checkpoint or an export is written, during validation, between stages; some runs
twice) and called again; exports, checkpoints, pictures and figures are compared with an unbroken
run's by hash. Speed: processor time of steps of the recipe `mascot`, taken in turns in one process
with a loop written as diffusers' LoRA example does it; ratios are of one turn's steps, intervals
over turns. Above 1 our step is the quicker one. Detail is compared per picture with a plain step.
Followed: reserved characters told by three pictures alone (the pack's identity adapter), against
the same prompts and seeds with all traits in words, and with the kind of subject alone.
""",
}

OTHERS = "The consistency bench grades others."
SHARED = "This result is of before they were others than those that the consistency bench grades."

SUMMED = ("ablation", "consistency")
"""Benches whose seconds are the sum of the characters' own, kept with their records."""

FEW = f" Its bar is for {AT_LEAST:,}: fewer flatter it."


def write_readme(folder: Path) -> Path:
    """Writes the page into README.md of `folder`, and returns its path. Raises InputError for no
    folder, one without a result, and a README.md that somebody wrote; and what `render_readme`
    does."""
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: name the one that the benchmarks' JSON files lie in")
    if not any(folder.glob("*.json")):
        raise InputError(
            f"no result lies in {folder}: write one with `onbrand bench NAME --json FILE`"
        )
    path, ours = folder / "README.md", HEAD.partition("{")[0]
    if path.is_file() and not path.read_text("utf-8", "replace").startswith(ours):
        raise InputError(f"{path} was not rendered from results: move it away first")
    write_text_atomic(path, render_readme(folder))
    return path


def render_readme(folder: Path) -> str:
    """The page for all *.json of `folder`, by name. Raises ArtifactError for one that is none."""
    parts = [HEAD.format(folder=folder.as_posix())]
    for file in sorted(folder.glob("*.json")):
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            parts.append(render_section(found))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(
                f"{file} is not a benchmark's result ({type(error).__name__}: {error}): "
                "write it with `onbrand bench NAME --json FILE`"
            ) from error
    return "\n".join(parts)


def render_section(found: Mapping[str, Any]) -> str:
    """A result as Markdown: what it is, its table, how it was made."""
    lines = [f"## {found['name']}", ""]
    if found.get("quick"):
        lines += ["**A quick run: it shows that the bench works; the figures say nothing.**", ""]
    lines += [_about(found), _table(found["metrics"], found["baselines"], ours_of(found))]
    if found.get("stages"):
        lines += ["### Stage by stage", "", _table({}, found["stages"]), _shipped(found)]
    if found.get("failures"):
        lines += ["### Real failures", "", "Told, not graded: nobody planted them.", ""]
        lines += [_failures(found["failures"])]
    if found.get("rows"):
        lines += _rows(found)
    if found.get("steps"):
        lines += ["### By sampling steps", "", _by_steps(found["steps"])]
    if found.get("profiles"):
        lines += [_profiles(found["profiles"])]
    return "\n".join([*lines, _where(found), ""])


def _about(found: Mapping[str, Any]) -> str:
    text = ABOUT.get(str(found["name"]), "")
    if found.get("num_likeness"):
        num = found["num_likeness"]
        text += (
            f"The Fréchet distance is that of the classifier's logits over {num:,} pictures of\n"
            "all worlds to as many true drawings of other prompts, over that of two such sets of\n"
            "true drawings: 1 is as near as these are to each other."
            f"{FEW if num < AT_LEAST else ''}\n"
        )
    if TRUE in found["baselines"]:
        text += (
            "“True drawings” are the illustrator's own of the very prompts, the most that can be\n"
            "reached; “Real pictures” are the held-out ones, in any view, beside each other.\n"
        )
    if "settings" not in found:
        return text
    known = found["settings"]
    searched = len(known["learning_rates"]) > 1
    return text.format(
        num_train=known["num_train"],
        num_prompts=known["num_prompts"],
        num_per_prompt=known["num_per_prompt"],
        chance=found.get("chance", 0.0),
        num_characters=found["num_characters"],
        rate=found.get("learning_rate", 0.0),
        found="searched on other characters" if searched else "given, not searched",
        whose=OTHERS if "ids" in found else SHARED,
    )


def _table(
    ours: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]], title: str = "onbrand"
) -> str:
    """A Markdown table: a row per metric; ours first and the bar last where there are any."""
    columns = ({title: ours} if ours else {}) | dict(others)
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    heads = ["", *(arm_title(arm) for arm in columns), *(["Bar"] if ours else [])]
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for name in names:
        better = next(c[name]["better"] for c in columns.values() if name in c)
        row = [f"{measure(name).label} {'↑' if better == 'higher' else '↓'}"]
        row += [printed(name, c[name]) if name in c else "" for c in columns.values()]
        if ours:
            row.append(bar_words(name, ours[name]) if name in ours else "")
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _shipped(found: Mapping[str, Any]) -> str:
    chosen = ", ".join(f"{arm_title(arm)} {num}×" for arm, num in found["shipped"].items())
    return f"Shipped, by training-side figures alone: {chosen}.\n"


def _failures(failures: Mapping[str, Mapping[str, Any]]) -> str:
    """What was named in each run of each character, with the excesses and the likeness."""
    faults = list(dict.fromkeys(f for runs in failures.values() for told in runs.values()
                                for f in told["excesses"]))  # fmt: skip
    heads = ["Character, run", "Named", *faults, "identity"]
    rows = [heads, ["---"] * 2 + ["---:"] * (len(heads) - 2)]
    for identity, runs in failures.items():
        for run, told in runs.items():
            values = [f"{told['excesses'][f]:.2f}" if f in told["excesses"] else "" for f in faults]
            named = ", ".join(told["named"]) or "nothing"
            rows.append([f"{identity}, {run}", named, *values, f"{told['identity']:.2f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows).replace("-0.", "−0.") + "\n"


def _rows(found: Mapping[str, Any]) -> list[str]:
    """The ablation's tables."""
    lines = []
    for title, names in GROUPS.items():
        heads = row_heads(found, names)
        rows = [heads, ["---"] * 2 + ["---:"] * (len(heads) - 2), *row_cells(found, names)]
        lines += [f"### {title}", "", *(f"| {' | '.join(row)} |" for row in rows), ""]
        lines += [looked_at(found, names), ""]
    return lines


def _by_steps(steps: Mapping[str, Mapping[str, Any]]) -> str:
    return _table({}, {f"{count} steps": figures for count, figures in steps.items()})


def _profiles(profiles: Mapping[str, Mapping[str, float]]) -> str:
    """Where the time of a step goes, a line per stage."""
    return "\n".join(
        f"Where a step of `{name}` goes: "
        + ", ".join(f"{phase} {share:.0%}" for phase, share in shares.items() if share >= 0.01)
        + ".\n"
        for name, shares in profiles.items()
    )


def _where(found: Mapping[str, Any]) -> str:
    machine = found["machine"]
    hours = float(found["seconds"]) / 3600
    took = f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"
    at = found.get("measured_at", {})
    earlier = ""
    for name, code in at.items():
        processor = found.get("measured_on", {}).get(name, machine["processor"])
        elsewhere = f" on {processor}" if processor != machine["processor"] else ""
        earlier += f"; {measure(name).label.lower()} by {code}{elsewhere}"
    accelerator = "" if machine["accelerator"] == "none" else f", {machine['accelerator']}"
    kept = "what earlier runs had finished was kept and is not counted"
    if found["name"] in SUMMED:
        kept = "of all its characters together, in the runs that finished them"
    return (
        f"Made by onbrand {found['version']} ({found['commit']}{earlier}), seed {found['seed']}, "
        f"in {took} ({kept}) "
        f"on {machine['processor']} ({machine['cores']} cores, {machine['memory_gib']} GiB"
        f"{accelerator}), torch {machine['torch']}.\n"
    )
