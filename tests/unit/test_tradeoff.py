"""The Pareto front, what a sweep takes, and how its page shows both."""

from __future__ import annotations

import dataclasses
import json
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from onbrand.artifacts import Arm, Metric
from onbrand.judging import pareto_front, take
from onbrand.report import Shown, SweepContext, SweepRow, build_sweep_page, write_sweep
from onbrand.report.tradeoff import Dot, tradeoff_svg

PROMPTS = ["waving", "sleeping"]


def figures(identity: float, alignment: float, diversity: float = 0.6) -> dict[str, list[float]]:
    spread = (-0.01, 0.0, 0.01)
    return {
        "identity": [identity + s for s in spread],
        "alignment": [alignment + s for s in spread],
        "diversity": [diversity] * 3,
    }


BASE = figures(0.5, 0.30)


def test_the_front_is_what_nothing_beats_in_both() -> None:
    """On random points: no member is beaten, every other point is, the order is by the first."""
    rng = np.random.default_rng(3)
    points = [(float(a), float(b)) for a, b in rng.integers(0, 12, (60, 2))]
    front = pareto_front(points)

    def beaten(p: tuple[float, float]) -> bool:
        return any(q != p and q[0] >= p[0] and q[1] >= p[1] for q in points)

    assert sorted(front) == [i for i, p in enumerate(points) if not beaten(p)]
    assert [points[i][0] for i in front] == sorted((points[i][0] for i in front), reverse=True)
    assert pareto_front([]) == []
    assert sorted(pareto_front([(1, 1), (1, 1), (0, 1)])) == [0, 1]


def test_the_most_alike_that_still_follows_is_taken() -> None:
    """One that lost the prompts is passed over and named; the sentence holds the figures."""
    tried = {
        "combination 1": figures(0.70, 0.29),
        "combination 2": figures(0.80, 0.28),
        "combination 3": figures(0.90, 0.20),
    }
    found = take(tried, BASE)
    assert (found.name, found.good) == ("combination 2", True)
    assert "0.80 beats combination 1's 0.70" in found.reason
    assert "combination 3 is more alike but lost 33 % of the base's alignment" in found.reason
    assert found.doubt == "", "what is passed over is no rival"


def test_directions_count_where_all_have_them() -> None:
    """A combination that shows the brand on every picture is not passed over for it; one whose
    pictures stopped differing as their prompts do is."""
    base = BASE | {"directional_alignment": [0.60] * 3}
    tried = {
        "combination 1": figures(0.80, 0.20) | {"directional_alignment": [0.58] * 3},
        "combination 2": figures(0.90, 0.30) | {"directional_alignment": [0.30] * 3},
    }
    found = take(tried, base)
    assert (found.name, found.good) == ("combination 1", True)
    assert "combination 2 is more alike but lost 50 %" in found.reason


def test_among_near_ties_the_better_aligned_is_taken() -> None:
    """Identity within 0.005 counts as equal, wherever the combination stands; doubt is said."""
    near = {"combination 1": figures(0.800, 0.31), "combination 2": figures(0.803, 0.29)}
    for tried in (near, dict(reversed(near.items()))):
        found = take(tried, BASE)
        assert found.name == "combination 1"
        assert "(identity differs by −0.003 to −0.003)" in found.doubt
    assert take({**near, "combination 2": figures(0.7, 0.29)}, BASE).doubt == ""
    noisy = {**near, "combination 2": {**near["combination 2"], "identity": [0.7, 0.8, 0.9]}}
    assert "do not tell it from combination 2 for sure" in take(noisy, BASE).doubt


def test_a_lead_is_clear_over_the_next_best_or_not_at_all() -> None:
    """The runner-up counts, not the weakest; a lead that every prompt shows, but that is a tie, is
    doubted; one whose interval reaches below zero as well."""
    tried = {
        "combination 1": figures(0.800, 0.31),
        "combination 2": figures(0.797, 0.29),
        "combination 3": figures(0.600, 0.29),
    }
    found = take(tried, BASE)
    assert found.name == "combination 1"
    assert "tell it from combination 2 for sure (identity differs by +0.003 to" in found.doubt
    torn = tried | {"combination 2": figures(0.7, 0.29) | {"identity": [0.60, 0.67, 0.83]}}
    assert "tell it from combination 2 for sure (identity differs by −0.0" in take(torn, BASE).doubt


def test_of_two_that_follow_alike_the_more_alike_is_taken() -> None:
    """However little more, and wherever it stands."""
    alike = {"combination 1": figures(0.803, 0.30), "combination 2": figures(0.800, 0.30)}
    for tried in (alike, dict(reversed(alike.items()))):
        assert take(tried, BASE).name == "combination 1"


def test_nothing_is_taken_when_nothing_is_good() -> None:
    """All broken, all astray, or none more alike than the base: said, and not good."""
    assert take({}, BASE).name is None
    assert not take({"combination 1": figures(0.9, 0.1)}, BASE).good
    assert "nothing was learned" in take({"combination 1": figures(0.4, 0.3)}, BASE).reason


def dots(num: int) -> list[Dot]:
    rng = np.random.default_rng(num)
    values = [(float(a), float(b)) for a, b in rng.uniform(0.2, 0.9, (num, 2))]
    front = pareto_front(values)
    return [
        Dot(
            str(i + 1), f"rank {i} · <b>", x, y, (x - 0.1, x + 0.1), None, i in front, i == front[0]
        )
        for i, (x, y) in enumerate(values)
    ]


@pytest.mark.parametrize("num", [1, 2, 9, 40])
def test_the_plot_is_whole_and_its_labels_can_be_read(num: int) -> None:
    """Well-formed, inside its box, a dot for each, and the front's labels never overlap."""
    shown = dots(num)
    svg = tradeoff_svg(shown, Dot("", "untouched base", 0.5, 0.5), "alignment", "identity")
    tree = ET.fromstring(svg)
    assert len(tree.findall(".//g[@class]/circle")) == num
    _, _, width, height = map(float, tree.attrib["viewBox"].split())
    for circle in tree.iter("circle"):
        assert 0 < float(circle.attrib["cx"]) < width
        assert 0 < float(circle.attrib["cy"]) < height
    names = [t for t in tree.iter("text") if t.attrib.get("class", "").startswith("name")]
    assert len(names) == sum(dot.front for dot in shown)
    places = sorted(float(name.attrib["y"]) for name in names)
    assert all(b - a >= 15 for a, b in pairwise(places))
    assert "&lt;b&gt;" in svg
    assert tradeoff_svg([], None, "x", "y") == ""


def test_the_base_is_in_the_plot_and_its_axes_are_those_of_cosines() -> None:
    """A base far off stands at the edge with its figures; no tick beyond 1, none with a hyphen."""
    shown = [Dot("1", "a", -0.12, 0.98), Dot("2", "b", -0.02, 0.98)]
    svg = tradeoff_svg(shown, Dot("", "untouched base", 0.4, 0.2), "alignment", "identity")
    assert "untouched base (farther off: 0.40 and 0.20)" in svg
    ticks = re.findall(r">(-?−?\d\.\d+)</text>", svg)
    assert "−0.10" in ticks
    assert "1.00" in ticks
    assert not [tick for tick in ticks if tick.startswith("-") or float(tick.strip("−")) > 1]
    beside = tradeoff_svg(shown, Dot("", "untouched base", -0.1, 0.99), "alignment", "identity")
    assert "untouched base</text>" in beside


def arm(name: str, identity: float, alignment: float) -> Arm:
    def metric(value: float) -> Metric:
        return Metric(value, (value - 0.02, value + 0.03))

    return Arm(name, 10, {"identity": metric(identity), "alignment": metric(alignment)})


def context() -> SweepContext:
    rows = []
    for number, (identity, alignment) in enumerate([(0.8, 0.3), (0.7, 0.35), (0.6, 0.2)], 1):
        pictures = [
            Shown(Image.new("RGB", (32, 32), (number * 60, 90, 40)), f"no. {number}: {prompt}")
            for prompt in PROMPTS
        ]
        rows.append(
            SweepRow(
                number, f"rank {2**number}", arm(str(number), identity, alignment),
                chosen=number == 1, front=number < 3, pictures=pictures, cost="80 pictures seen",
            )
        )  # fmt: skip
    rows.append(SweepRow(4, "rank 16", None, note="broken: the loss is NaN", usable=False))
    base = SweepRow(0, "untouched base", arm("base", 0.5, 0.31), usable=False)
    return SweepContext(
        "kuro", "Take rank 2", "combination 1's identity 0.80 beats combination 2's 0.70.",
        rows, base, PROMPTS, ["Look at the sheet."], [("lora.rank", "2, 4, 8, 16")],
        ["onbrand sweep kuro --set lora.rank=2,4,8,16 --apply"],
    )  # fmt: skip


def test_the_page_needs_nothing_and_says_what_to_take_first() -> None:
    """Self-contained, the sentence as heading, the failed one's reason, words for pictures."""
    html = build_sweep_page(context())
    assert not re.findall(r"https?://|<script|<link|@import", html)
    assert html.index("Take rank\u00a02:") < html.index("<main>")
    assert "broken: the loss is NaN" in html
    assert "<li>Look at the sheet.</li>" in html
    pictures = re.findall(r"<img [^>]*>", html)
    assert len(pictures) == 6
    assert all(re.search(r'alt="no. \d: \w+"', one) and "width=" in one for one in pictures)
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    row = html.split("1 · rank 2</th>")[1].split("</tr>")[0]
    assert re.findall(r'class="number best"><b>([^<]+)', row) == ["0.80"]
    assert "take this" in row
    assert ">Training</th>" in html


def test_the_heading_is_whole_whatever_the_settings_hold() -> None:
    """A colon in a style is no end of what to take."""
    took = dataclasses.replace(context(), lead="Take style close-up: hero, rank 2", reason="it is.")
    html = build_sweep_page(took)
    lead = "Take style close-up:\u00a0hero, rank\u00a02:"
    assert f'<h1><span class="lead">{lead}</span> it is.</h1>' in html


def test_the_chosen_ones_name_is_cut_earlier_for_it_is_bold() -> None:
    """Both fit beside the plot."""
    name = "a long name of settings with all their values, and more"
    shown = [Dot("1", name, 0.1, 0.2, front=True), Dot("2", name, 0.2, 0.1, None, None, True, True)]
    names = re.findall(r'class="name (\w+)".*?</tspan> ([^<]+)<', tradeoff_svg(shown, None, "", ""))
    lengths = {kind: len(text) for kind, text in names}
    assert lengths["chosen"] < lengths["best"] < len(name)


def test_a_sweep_of_one_that_trains_nothing_has_no_words_for_it() -> None:
    """No empty column, and nothing of the best of a column that has one row."""
    (first, *_), whole = context().rows, context()
    alone = dataclasses.replace(whole, rows=[dataclasses.replace(first, cost="")])
    html = build_sweep_page(alone)
    assert ">Training</th>" not in html
    assert "is coloured" not in html


def test_what_is_written_beside_the_page(tmp_path: Path) -> None:
    """sweep.json as given, the plot as a file that a viewer opens, a row per combination."""
    page = write_sweep(tmp_path, context(), {"name": "sweep"})
    assert page == tmp_path / "sweep.html"
    assert json.loads((tmp_path / "sweep.json").read_text()) == {"name": "sweep"}
    svg = (tmp_path / "tradeoff.svg").read_text("utf-8")
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(--" not in svg
    assert ".dot.chosen circle" in svg
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width >= len(PROMPTS) * 192
        assert sheet.height >= 3 * 192
