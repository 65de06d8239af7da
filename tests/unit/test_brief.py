"""A brief becomes words, and refuses what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from onbrand.brief import Brief, slug
from onbrand.errors import BriefError

KURO = Brief(name="Kuro", subject="a fox mascot", description="a round orange fox with big ears")
PLAIN = Brief(name="Kuro", subject="a fox mascot")


@pytest.mark.parametrize(
    ("text", "prompt", "of_its_kind"),
    [
        ("waving at night", "kuro, a fox mascot, waving at night", "a fox mascot, waving at night"),
        ("{subject} waving", "kuro, a fox mascot, waving", "a fox mascot waving"),
        ("a poster of {subject}", "a poster of kuro, a fox mascot", "a poster of a fox mascot"),
        ("kuro waving", "kuro, a fox mascot, waving", "a fox mascot waving"),
        ("a photo of Kuro fox mascot", "a photo of kuro, a fox mascot", "a photo of a fox mascot"),
        ("kuro, a fox mascot, waving", "kuro, a fox mascot, waving", "a fox mascot, waving"),
        ("a fox mascot waving", "kuro, a fox mascot, waving", "a fox mascot waving"),
        (
            "a sketch of a fox mascot, sitting",
            "a sketch of kuro, a fox mascot, sitting",
            "a sketch of a fox mascot, sitting",
        ),
        ("a happy fox mascot", "kuro, a happy fox mascot", "a happy fox mascot"),
        ("", "kuro, a fox mascot", "a fox mascot"),
    ],
)
def test_a_text_speaks_of_the_subject_once(text: str, prompt: str, of_its_kind: str) -> None:
    """Wherever a text or caption names the subject, the phrase stands there and only there."""
    assert PLAIN.prompt(text) == prompt
    assert PLAIN.class_prompt(text) == of_its_kind


def test_a_brand_is_named_and_described() -> None:
    """The trained brand's prompt has the trigger and the description; DreamBooth's the trigger."""
    told = "kuro, a round orange fox with big ears"
    assert KURO.prompt("waving") == f"{told}, waving"
    assert KURO.prompt("a photo of kuro sitting") == f"a photo of {told}, sitting"
    assert KURO.prompt("a happy fox mascot") == f"{told}, a happy fox mascot"
    assert KURO.trigger_prompt("waving") == "a kuro fox mascot, waving"
    assert KURO.trigger_prompt("") == "a kuro fox mascot"


def test_the_description_stands_for_the_trigger() -> None:
    """description_prompt spells the traits and never says the trigger word."""
    assert KURO.description_prompt("waving") == "a round orange fox with big ears, waving"
    assert "kuro" not in KURO.description_prompt("a photo of kuro, waving")


def test_the_class_prompt_never_says_the_trigger() -> None:
    """Prior preservation and the judge see only words of the kind."""
    for text in ("kuro", "a kuro sitting", "kuro, a fox mascot, and a friend", "KURO running"):
        assert "kuro" not in KURO.class_prompt(text).lower()


def test_somebody_else_is_described_and_is_not_the_subject() -> None:
    """Their words stand where the text speaks of the subject, or before it; the subject's own with
    others among them become "one"."""
    brief = Brief(name="Kuro", subject="fox mascot", description="a round orange fox mascot")
    told = {
        "waving": "a blue cat, waving",
        "{subject} waving": "a blue cat waving",
        "a fox mascot waving": "a blue cat waving",
        "a happy fox mascot waving": "a blue cat, a happy one waving",
    }
    assert {text: brief.other_prompt(text, "a blue cat") for text in told} == told


def test_articles_fit_the_next_word() -> None:
    """a fox, an orange fox."""
    assert Brief(name="Momo", subject="orange fox").class_prompt("") == "an orange fox"


def test_defaults_come_from_name_and_subject() -> None:
    """The trigger is the name as one word, another when the subject has it already."""
    assert slug("Kuro the Fox!") == "kurothefox"
    assert Brief(name="Kuro the Fox", subject="fox").trigger == "kurothefox"
    assert Brief(name="gopher", subject="blue gopher").trigger == "gphr"
    assert Brief(name="fox", subject="fox").trigger != "fox"
    assert Brief(name="Kuro", subject="fox").description == "a fox"


def test_a_saved_brief_is_commented_and_loads_the_same(tmp_path: Path) -> None:
    """save writes a comment before every key; load gives an equal brief, from file or folder."""
    brief = KURO.model_copy(update={"palette": ["#ff8800"], "prompts": ['say "hi" — ñ'] * 9})
    file = brief.save(tmp_path)
    assert Brief.load(file) == Brief.load(tmp_path) == brief
    lines = file.read_text().splitlines()
    for key in Brief.model_fields:
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{key} = "))
        assert lines[at - 1].startswith("#")


def test_saving_keeps_what_people_wrote(tmp_path: Path) -> None:
    """A brief saved over an edited file keeps its comments and order, and changes the values."""
    file = tmp_path / "brief.toml"
    file.write_text('# ours\nsubject = "fox"  # for now\nname = "Kuro"\n')
    Brief.load(file).model_copy(update={"subject": "red fox"}).save(file)
    assert file.read_text().startswith('# ours\nsubject = "red fox"  # for now\nname = "Kuro"\n')
    assert Brief.load(file).subject == "red fox"


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ('name = "a"', "'subject' is missing"),
        ('name = "a"\nsubject = "fox"\nsubjcet = "b"', "unknown key 'subjcet'.*'subject'"),
        ('name = "a"\nsubject = "fox"\npalette = ["red"]', "'red' is no colour: write #rrggbb"),
        ('name = "a"\nsubject = "fox"\nobjective = "avatr"', "did you mean 'avatar'"),
        ('name = "f"\nsubject = "red fox"\ntrigger = "fox"', "take another, such as"),
        ("", "toml: 'name' is missing; 'subject' is missing$"),
        ('name = ""\nsubject = "fox"', "toml: 'name' is empty$"),
        ('name = "a"\nsubject = ""', "subject = '': should say what it is"),
        ('name = "!"\nsubject = "fox"', "no word can be made of the name"),
        (f'name = "a"\nsubject = "fox"\ntrigger = "{"zap" * 30}"', "90 letters long"),
        ('name = "a"\nsubject = "fox"\nprompts = [" "]', "no empty text"),
        ("name = ", "no valid TOML"),
    ],
)
def test_a_wrong_brief_is_one_line_that_helps(tmp_path: Path, toml: str, says: str) -> None:
    """Each mistake names the file, the key, and what to write instead."""
    file = tmp_path / "brief.toml"
    file.write_text(toml)
    with pytest.raises(BriefError, match=says) as raised:
        Brief.load(file)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_brief_that_is_missing_or_no_text(tmp_path: Path) -> None:
    """No file, and a file in another encoding, are told apart; a byte order mark does no harm."""
    with pytest.raises(BriefError, match="no file"):
        Brief.load(tmp_path)
    file = tmp_path / "brief.toml"
    file.write_bytes('name = "Ñandú"\nsubject = "bird"'.encode("latin-1"))
    with pytest.raises(BriefError, match="not UTF-8"):
        Brief.load(file)
    file.write_bytes('name = "Ñandú"\nsubject = "bird"'.encode("utf-8-sig"))
    assert Brief.load(file).trigger == "ñandú"


def test_short_colours_are_spelled_out() -> None:
    """#F80 is #ff8800."""
    assert Brief(name="a", subject="fox", palette=["#F80"]).palette == ["#ff8800"]


@pytest.mark.parametrize(
    ("fields", "text", "prompt"),
    [
        ({"trigger": "<kuro>"}, "a photo of <kuro> waving", "a photo of <kuro>, a fox, waving"),
        ({"trigger": "kuro!"}, "kuro! waving", "kuro!, a fox, waving"),
        ({"subject": "fox (chibi)"}, "a fox (chibi) waving", "kuro, a fox (chibi), waving"),
        ({}, "{subject} hugs {Subject}", "kuro, a fox, hugs the fox"),
    ],
)
def test_every_way_to_speak_of_the_subject(fields: dict[str, str], text: str, prompt: str) -> None:
    """Signs in the words do not hide them, and {subject} may stand twice."""
    assert Brief(**{"name": "Kuro", "subject": "fox", **fields}).prompt(text) == prompt


def test_somebody_else_may_stand_twice() -> None:
    """In both places it is they, and never the brand's subject."""
    brief = Brief(name="Kuro", subject="fox")
    assert brief.other_prompt("{subject} hugs {subject}", "a cat") == "a cat hugs a cat"


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        ("unicorn mascot", "a unicorn mascot"),
        ("unimpressed owl", "an unimpressed owl"),
        ("one-eyed cat", "a one-eyed cat"),
        ("used car", "a used car"),
        ("European hare", "a European hare"),
        ("ukulele", "a ukulele"),
        ("hourglass", "an hourglass"),
        ("honest fox", "an honest fox"),
        ("umbrella", "an umbrella"),
        ("horse", "a horse"),
        ("onesie", "a onesie"),
        ("8-bit fox", "an 8-bit fox"),
    ],
)
def test_articles_go_by_sound(subject: str, told: str) -> None:
    """What begins as "you" or "won" takes "a", a silent h "an"."""
    assert Brief(name="Kuro", subject=subject).class_prompt("") == told


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "   ", "trigger": "kuro"}, "'name' is empty"),
        ({"trigger": False}, "trigger = False: should be a valid string"),
        ({"trigger": []}, "trigger = \\[\\]: should be a valid string"),
        ({"description": 0}, "description = 0: should be a valid string"),
        ({"description": "a {subject} in red"}, "plain words, without braces"),
        ({"subject": "{subject}"}, "plain words, without braces"),
        ({"subject": "fox\udce9"}, "is no text in UTF-8"),
        ({"prompts": ["waving", "\ud83d"]}, "is no text in UTF-8"),
    ],
)
def test_wrong_words_are_refused(fields: dict[str, object], says: str) -> None:
    """Nothing is taken for left out that is of another kind, or no text."""
    with pytest.raises(BriefError, match=says):
        Brief.parse({"name": "Kuro", "subject": "fox", **fields})


def test_words_that_are_blank_are_left_out() -> None:
    """An empty trigger or description in a file means its default."""
    brief = Brief.parse({"name": "Kuro", "subject": "fox", "trigger": " ", "description": ""})
    assert (brief.trigger, brief.description) == ("kuro", "a fox")


def test_brackets_without_end_are_no_toml(tmp_path: Path) -> None:
    """Nesting that no reader follows is one line, too."""
    (tmp_path / "brief.toml").write_text("a = " + "[" * 5000)
    with pytest.raises(BriefError, match="nested too deep"):
        Brief.load(tmp_path)
