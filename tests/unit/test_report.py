"""The report page: self-contained, readable by everyone, honest about what was missed."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from report_sample import sample

from onbrand.artifacts import Arm, Metric
from onbrand.report import Curve, Shown, build_page, write_report
from onbrand.report.page import typeset
from onbrand.report.plots import curve_svg, interval_svg, round_ticks, smoothed, tick_texts
from onbrand.report.wording import figure, spread


class Page(HTMLParser):
    """Every tag with its attributes, the open ones at the end, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "line", "circle", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def html() -> str:
    return build_page(sample(num_prompts=2))


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_page_needs_nothing_from_outside(html: str) -> None:
    """No script, link, font or address: every picture is inside the file."""
    page = Page(html)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not re.findall(r"https?://|url\(|@import", html)
    sources = [attrs["src"] for tag, attrs in page.tags if tag == "img"]
    assert sources
    for source in sources:
        Image.open(io.BytesIO(base64.b64decode(str(source).split(",", 1)[1]))).verify()


def test_page_is_well_formed(html: str) -> None:
    """Every opened tag is closed in order, and ids are unique."""
    page = Page(html)
    assert page.open == []
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_every_picture_has_words_and_a_size(html: str) -> None:
    """Alt text on every picture; width and height so that nothing jumps while loading."""
    pictures = [attrs for tag, attrs in Page(html).tags if tag == "img"]
    assert all(attrs["alt"] and attrs["width"] and attrs["height"] for attrs in pictures)


def test_colours_have_contrast(html: str) -> None:
    """Every text colour reaches 4.5 to 1 on both grounds (WCAG 2 AA)."""
    tokens = dict(re.findall(r"--(ink|quiet|accent|paper|wash): (#[0-9a-f]{6})", html))
    assert len(tokens) == 5
    for text in ("ink", "quiet", "accent"):
        for ground in ("paper", "wash"):
            pair = sorted((luminance(tokens[text]), luminance(tokens[ground])))
            assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (text, ground)


def test_one_accent_and_one_type_scale(html: str) -> None:
    """Styles use the tokens alone: no other colour, and no text size off the scale."""
    rules = html.split("<style>")[1].split("</style>")[0].split("}", 1)[1].split("@media print")[0]
    assert not re.findall(r"#[0-9a-fA-F]{3,6}\b", rules)
    sizes = set(re.findall(r"font-size: ([^;]+);", rules))
    assert {s for s in sizes if not s.startswith("var(--step-")} <= {"13px", "18px"}


def test_verdict_comes_first_and_the_best_is_marked(html: str) -> None:
    """The sentence is the heading; the best value per row and the shipped column stand out."""
    page = Page(html)
    assert "Ship detail: its identity 0.87 beats" in page.text
    heading = html.index("<h1>")
    assert heading < html.index("The brand") < html.index("Figures")
    row = html.split("Retrieval <abbr")[1].split("</tr>")[0]
    best = re.findall(r'class="number best"><b>([^<]+)</b>', row)
    assert best == ["94\u202f%"]
    assert '</b><span class="unseen"> (best)</span>' in row  # for who hears the page
    assert "hidden>" not in html
    assert "chance 0.6\u202f%" in row


def test_lent_judges_are_told_beside_the_figures() -> None:
    """The caveat stands right under the sentence on who measured, and only where there is one."""
    context = sample(num_prompts=1)
    told = "The pack pocket's encoders look instead."
    lent = Page(build_page(dataclasses.replace(context, borrowed=told)))
    own = Page(build_page(context))
    assert told in lent.text.partition("took no part in training")[2].partition("Measure")[0]
    assert told not in own.text


def test_a_missed_bar_stays_on_the_page() -> None:
    """Nothing is embellished: a report without a winner names the miss and marks no column."""
    html = build_page(sample(num_prompts=1, good=False))
    assert "Ship nothing yet" in Page(html).text
    assert "memorised</figcaption>" in html
    assert 'class="head chosen"' not in html
    assert "train less or augment more" in html


def test_figures_are_of_the_stage_that_the_sentence_speaks_of() -> None:
    """Also when nothing ships and a later stage was trained."""
    context = sample(num_prompts=1, good=False)
    ship = {**context.judgement.ship, "chosen": "appearance"}
    html = build_page(
        dataclasses.replace(context, judgement=dataclasses.replace(context.judgement, ship=ship))
    )
    assert "Appearance, measured" in Page(html).text
    assert "The bar is Appearance’s" in Page(html).text


def test_words_from_users_are_escaped() -> None:
    """A brand or prompt that holds markup is printed, not run."""
    nasty = '<img src=x onerror="1">'
    context = sample(num_prompts=1)
    context = dataclasses.replace(context, brand=nasty, prompts=[nasty], skipped=[(nasty, nasty)])
    assert nasty not in build_page(context)
    assert "&lt;img" in build_page(context)


def test_a_column_must_show_every_prompt() -> None:
    """A hole in the grid would shift pictures under the wrong prompt: refused."""
    context = sample(num_prompts=2)
    short = dataclasses.replace(context.columns[0], rows=context.columns[0].rows[:1])
    with pytest.raises(ValueError, match="1 rows, but there are 2 prompts"):
        build_page(dataclasses.replace(context, columns=[short]))


def test_sections_without_content_are_left_out() -> None:
    """A first, bare report has no empty headings."""
    context = sample(num_prompts=1)
    bare = dataclasses.replace(
        context, references=[], lookalikes=[], curves=[], neighbours=[], coverage_holes=[],
        skipped=[], facts=[], lineage=[], commands=[], recipe_toml="",
    )  # fmt: skip
    headings = re.findall(r"<h2>([^<]+)</h2>", build_page(bare))
    assert headings == ["Same prompts, same seeds", "Figures"]


def test_written_report_has_the_designs_json(tmp_path: Path) -> None:
    """report.json holds stages, baselines and ship, with the bench's metric objects."""
    page, figures = write_report(tmp_path, sample(num_prompts=1))
    assert page.read_text("utf-8").startswith("<!doctype html>")
    read = json.loads(figures.read_text("utf-8"))
    assert read["ship"]["stage"] == "detail"
    assert [stage["name"] for stage in read["stages"]] == ["appearance", "detail"]
    metric = read["stages"][1]["metrics"]["retrieval_fraction"]
    assert metric == {
        "value": 0.94, "interval": pytest.approx([0.88, 0.99]), "bar": 0.9, "holds": True,
        "better": "higher",
    }  # fmt: skip
    assert set(read["baselines"]) == {"base", "prompt_only", "dreambooth_lora"}


def test_the_grid_lies_beside_the_page_as_one_picture(tmp_path: Path) -> None:
    """All arms' pictures of all prompts, at least 192 px each, under the arms' names."""
    context = sample(num_prompts=2)
    write_report(tmp_path, context)
    grid = Image.open(tmp_path / "report.png")
    num = sum(len(column.rows[0]) for column in context.columns)
    assert grid.width >= num * 192
    assert grid.height >= 2 * 192
    head = grid.convert("L").crop((0, 0, grid.width, 40))
    assert head.getextrema()[0] < 100  # ink: the titles


def test_pictures_are_shrunk_but_never_enlarged() -> None:
    """A 1,000-px reference is embedded small; a 20-px one keeps its size."""
    context = dataclasses.replace(
        sample(num_prompts=1),
        references=[Shown(Image.new("RGB", (s, s), "red"), f"{s} px") for s in (1000, 20)],
    )
    tags = [attrs for tag, attrs in Page(build_page(context)).tags if tag == "img"]
    assert [attrs["width"] for attrs in tags[:2]] == ["160", "20"]


def test_curves_survive_gaps_and_spikes() -> None:
    """NaN is left out, one spike does not flatten the plot, too few points draw nothing."""
    svg = curve_svg("a & b", [0, 1, 2, 3], [1.0, float("nan"), 0.5, 0.4])
    assert "nan" not in svg
    assert "a &amp; b" in svg
    assert curve_svg("x", [0], [1.0]) == ""
    assert smoothed([1.0, 2.0, 3.0]) == [1.5, 2.0, 2.5]


def test_a_curves_note_and_its_plot_leave_out_the_same() -> None:
    """A loss that overflowed once is no part of either."""
    broken = Curve("detail", [1, 2, 3, 4], [1.0, float("inf"), float("nan"), 0.5])
    text = Page(build_page(dataclasses.replace(sample(num_prompts=1), curves=[broken]))).text
    assert "0.75 → 0.75 in 4 steps" in text
    assert "training loss from 0.75 to 0.75 over 4 steps" in text


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.8712, 0.8727, ["0.8715", "0.8720", "0.8725"]),
        (1.0, 1.014, ["1.000", "1.005", "1.010"]),
        (-0.1, 0.3, ["−0.1", "0.0", "0.1", "0.2", "0.3"]),
        (150_000, 260_000, ["150,000", "200,000", "250,000"]),
    ],
)
def test_ticks_are_told_apart(low: float, high: float, texts: list[str]) -> None:
    """As many digits as their step has, the same for all, thousands parted."""
    assert tick_texts(round_ticks(low, high)) == texts


def test_interval_plot_stays_inside_its_box() -> None:
    """Values and intervals are clamped to the row's scale; a flat scale does not divide by zero."""
    for svg in (
        interval_svg(5.0, (-1.0, 9.0), (0.0, 4.0), best=True),
        interval_svg(0.0, None, (0.0, 0.0), best=False),
    ):
        assert all(0 <= float(x) <= 96 for x in re.findall(r'(?:x1|x2|cx)="([\d.]+)"', svg))


def test_figures_are_printed_for_people() -> None:
    """Shares as per cent, cosines with two digits, colour differences with one."""
    assert figure("retrieval_fraction", 0.934) == "93\u202f%"
    assert figure("identity", 0.8712) == "0.87"
    assert figure("identity_error", 0.0412) == "0.041"
    assert figure("palette_distance", 6.234) == "6.2"
    assert figure("oiliness", -0.003) == "0.00"
    assert figure("retrieval_fraction", -0.0) == "0\u202f%"
    assert spread("oiliness", (-0.004, 0.2)) == "0.00–0.20"


def test_quotation_marks_are_curly_on_both_sides() -> None:
    """An apostrophe is none; what the tables say is set like the heading."""
    assert typeset("the base's, say 'on a wall' where 5 % ('x') is") == (
        "the base’s, say ‘on a wall’ where 5\u202f% (‘x’) is"
    )
    text = Page(build_page(sample(num_prompts=1, good=False))).text
    assert "the brief’s palette" in text
    assert "the right the base’s" in text


def test_the_ratio_says_which_alignment_it_is_of() -> None:
    """Of directions where the arms have one; arms of one prompt have none, real pictures may."""
    whole = sample(num_prompts=1)
    ratio = "as a share of the untouched base’s on the same prompts"
    assert ratio in Page(build_page(whole)).text
    assert f"of directions, {ratio}" not in Page(build_page(whole)).text
    directions = {"directional_alignment": Metric(0.7)}
    for name, told in (("real", False), ("detail", True)):
        judgement = dataclasses.replace(
            whole.judgement,
            baselines={**whole.judgement.baselines, "real": Arm("real", 0, directions, [])},
            stages=[
                dataclasses.replace(arm, metrics={**arm.metrics, **directions})
                if arm.name == name
                else arm
                for arm in whole.judgement.stages
            ],
        )
        text = Page(build_page(dataclasses.replace(whole, judgement=judgement))).text
        assert (f"of directions, {ratio}" in text) is told


def test_intervals_are_printed_in_one_way() -> None:
    """The per cent sign once, a dash between figures, a word beside a minus sign."""
    assert spread("retrieval_fraction", (0.8, 0.861)) == "80–86\u202f%"
    assert spread("identity", (-0.144, 0.11)) == "−0.14 to 0.11"
    assert spread("identity", ()) == ""


def test_what_is_wrong_is_shown_with_its_worst_pictures() -> None:
    """Each fault has its heading and its pictures beside what they are compared with; a page
    without faults has no such section."""
    page = Page(build_page(sample(num_prompts=4, good=False)))
    assert page.open == []
    assert "What is wrong" in page.text
    assert "Empty background" in page.text
    assert "seed 3 · on the right the base’s" in page.text
    assert "What is wrong" not in Page(build_page(sample(num_prompts=1))).text
    alone = sample(num_prompts=1, good=False)
    nothing_beside = [dataclasses.replace(e, pairs=[(e.pairs[0][0], None)]) for e in alone.evidence]
    page = Page(build_page(dataclasses.replace(alone, evidence=nothing_beside)))
    assert "seed 0 · on the right" not in page.text
