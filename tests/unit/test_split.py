"""What is held out: whom the brief's names mean, and what is said of few."""

from __future__ import annotations

import pytest

from onbrand.curation.split import named, split_of
from onbrand.events import Event, Warned


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("kuro [9].png", {0}),
        ("kuro [9]", {0}),
        ("kuro [*", {0}),
        ("side/*", {1}),
        ("kuro 9.png", {2}),
        ("zz.png", {2}),
        ("*.png", {0, 1, 2}),
        ("zz.jpg", {2}),
        ("gone.png", set()),
    ],
)
def test_whom_a_pattern_means(pattern: str, meant: set[int]) -> None:
    """Names with brackets mean themselves; a picture is meant by its copies' names, too."""
    called = [["kuro [9].png"], ["side/01.png"], ["kuro 9.png", "more/zz.png"]]
    assert named(called, pattern) == meant


def test_a_copy_that_is_named_holds_its_twin_out() -> None:
    """The copy was dropped; the picture is the same, and is not trained on."""
    names, aliases = ["1.png", "2.png", "3.png"], [[], ["zz.png"], []]
    splits = split_of(names, [], ["zz.png"], lambda event: None, aliases=aliases)
    assert splits == ["train", "held_out", "train"]


@pytest.mark.parametrize(("num_alike", "warns"), [(19, True), (2, False)])
def test_few_held_out_are_told(num_alike: int, warns: bool) -> None:
    """Where nearly all pictures are like another, one is held out, and a warning says why."""
    heard: list[Event] = []
    near = [(0, i) for i in range(1, num_alike)]
    split_of([f"{i}.png" for i in range(20)], near, [], heard.append)
    said = [event.message for event in heard if isinstance(event, Warned)]
    assert any("only 1 of 20 pictures can be held out" in message for message in said) is warns


def test_brackets_mean_themselves_before_they_mean_characters() -> None:
    """A name that has them is meant first; else they stand for one of what is in them."""
    assert named([["kuro [9].png"], ["kuro 9.png"]], "kuro [9].png") == {0}
    assert named([["0.png"], ["1.png"], ["7.png"]], "[0-2].png") == {0, 1}


def test_a_pattern_of_another_format_means_no_more_than_names() -> None:
    """a.jpg may be there as a.png; all of a folder that is not there is nothing."""
    assert named([["a.png"], ["b.png"]], "a.jpg") == {0}
    assert named([["a.png"], ["b.png"]], "gone/*.jpg") == set()


@pytest.mark.parametrize(
    ("num", "near", "held"),
    [
        (2, [], [1]),
        (4, [], [1, 3]),
        (9, [], [1, 8]),
        (10, [], [4, 9]),
        (4, [(1, 2)], [3]),
        (3, [(0, 1), (1, 2)], [2]),
    ],
)
def test_few_pictures_hold_out_what_they_can(
    num: int, near: list[tuple[int, int]], held: list[int]
) -> None:
    """Two of four and more, one of fewer; one though all are alike, for without it nothing is
    measured."""
    splits = split_of([f"{i}.png" for i in range(num)], near, [], lambda event: None)
    assert [i for i, split in enumerate(splits) if split == "held_out"] == held


def test_one_of_ten_held_out_is_no_word_worth() -> None:
    """Fewer are."""
    for num, warns in ((10, False), (11, True)):
        heard: list[Event] = []
        near = [(0, i) for i in range(1, num - 1)]
        split_of([f"{i}.png" for i in range(num)], near, [], heard.append)
        assert any("can be held out" in e.message for e in heard if isinstance(e, Warned)) is warns
