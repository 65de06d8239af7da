"""Coverage, palette and names are read from captions and pixels."""

from __future__ import annotations

import numpy as np
import pytest
from brand_folder import draw_picture
from PIL import Image

from onbrand.curation.coverage import coverage, tags_of
from onbrand.curation.naming import STARTING_PROMPTS, guess_subject
from onbrand.curation.palette import propose_palette


@pytest.mark.parametrize(
    ("caption", "tags"),
    [
        (
            "kuro sitting sadly in a park, holding a red balloon",
            {"expression:sad", "pose:sitting", "prop:red balloon"},
        ),
        ("kuro laughing with closed eyes, side view", {"expression:laughing", "view:side"}),
        ("a fox with an umbrella under a tree", {"prop:umbrella", "prop:tree"}),
        ("", set()),
    ],
)
def test_captions_become_tags(caption: str, tags: set[str]) -> None:
    """Expression, pose, view and props are read from plain English; body parts are no props."""
    assert set(tags_of(caption)) == tags


def test_holes_are_sentences() -> None:
    """What no caption shows, and what never comes together, is said in words."""
    captions = ["kuro happy, standing"] * 6 + ["kuro sad, sitting"] * 3 + [""]
    told = coverage(captions, [tags_of(caption) for caption in captions])
    assert told["expression"] == {"happy": 6, "sad": 3}
    assert told["num_without_caption"] == 1
    assert "1 of 10 pictures have no caption" in told["holes"]
    assert "no caption tells of the expression angry or surprised" in told["holes"]
    assert "it is never happy while sitting" in told["holes"]


@pytest.mark.parametrize(("num", "told"), [(9, False), (10, True)])
def test_a_single_picture_is_few_only_among_many(num: int, told: bool) -> None:
    """One sad picture of nine is as it comes; one of ten is a hole."""
    captions = ["kuro happy, standing"] * (num - 1) + ["kuro sad, standing"]
    holes = coverage(captions, [tags_of(caption) for caption in captions])["holes"]
    assert ("a single picture shows the expression sad" in holes) is told


def test_what_is_rare_by_itself_is_not_missed_in_pairs() -> None:
    """Two common ones that never meet are a hole; one of them seen once is not told again."""
    captions = ["kuro happy, standing"] * 6 + ["kuro sad, sitting"]
    holes = coverage(captions, [tags_of(caption) for caption in captions])["holes"]
    assert not [hole for hole in holes if "never" in hole]


def test_what_is_seen_most_comes_first() -> None:
    """Counts fall; of equal ones the alphabet decides."""
    captions = ["kuro sad"] * 3 + ["kuro angry"] + ["kuro calm"] + ["kuro happy"] * 2
    told = coverage(captions, [tags_of(caption) for caption in captions])
    assert list(told["expression"]) == ["sad", "happy", "angry", "calm"]


@pytest.mark.parametrize("told", ["with its eyes closed", "with a wide smile", "with the arms up"])
def test_a_part_of_the_body_is_no_prop(told: str) -> None:
    """Nobody has to draw another mascot for want of props when it shows its own arms."""
    assert not [tag for tag in tags_of(f"kuro {told}") if tag.startswith("prop:")]


def test_without_captions_nothing_is_claimed() -> None:
    """No caption at all is one hole, not a list of guesses."""
    (hole,) = coverage(["", ""], [[], []])["holes"]
    assert "none of the 2 pictures has a caption" in hole


def test_a_palette_is_what_the_subject_always_wears() -> None:
    """The mascot's orange is found on changing grounds, opaque or cut out; the grounds are not."""
    for cut_out in (False, True):
        images = [draw_picture(i, size_px=64, cut_out=cut_out) for i in range(10)]
        first, *rest = propose_palette(images)
        colour = [int(first[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.abs(np.subtract(colour, (235, 120, 40))).max() < 12
        assert len(rest) <= 2


def test_a_palette_is_deterministic_and_copes_with_little() -> None:
    """Twice the same pictures, twice the same colours; one flat picture, one colour."""
    images = [draw_picture(i, size_px=64) for i in range(6)]
    assert propose_palette(images) == propose_palette(images)
    assert propose_palette([Image.new("RGB", (32, 32), (0, 128, 255))]) == ["#0080ff"]
    assert propose_palette([]) == []


@pytest.mark.parametrize(
    ("captions", "subject"),
    [
        (["a blue gopher laughing", "a blue gopher with a hat"], "blue gopher"),
        (["a flat illustration of an orange fox, waving", "an orange fox, sitting"], "orange fox"),
        (["the small red fox on a hill", "a small red fox"], "small red fox"),
        (["a blue gopher"] * 2 + ["a gopher"], "blue gopher"),
        (["a blue gopher"] * 2 + [""] * 3, "blue gopher"),
        (["a dog", "a cat", "a bird"], None),
        (["", ""], None),
    ],
)  # fmt: skip
def test_the_subject_is_guessed_from_captions(captions: list[str], subject: str | None) -> None:
    """The phrase that most captions call it by, without verbs and kinds of picture."""
    assert guess_subject(captions) == subject


def test_the_subject_is_found_behind_the_trigger() -> None:
    """Captions of kohya folders ("kuro fox") and of trained brands name the subject too."""
    assert guess_subject(["kuro fox"] * 3, trigger="kuro") == "fox"
    assert (
        guess_subject(["Kuro, a red fox, waving", "kuro, a red fox"], trigger="kuro") == "red fox"
    )
    assert guess_subject(["a photo of sks dog"] * 3, trigger="sks") == "dog"


def test_starting_prompts_differ_and_name_no_subject() -> None:
    """A fresh brief asks for at least eight different things."""
    assert len(set(STARTING_PROMPTS)) == len(STARTING_PROMPTS) >= 8
