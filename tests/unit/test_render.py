"""What the command line says of events, and how its figures and help are written."""

from __future__ import annotations

import pytest

from onbrand.app.cli.render import number, showing
from onbrand.brief import Brief
from onbrand.events import Event, Finished, Noted, Started, Warned
from onbrand.models.packs import Pack
from onbrand.road.words import warn_of_unseen_words


def said(capsys: pytest.CaptureFixture[str], *events: Event) -> str:
    """What stands in a log after these events."""
    with showing("stopped") as emit:
        for event in events:
            emit(event)
    return capsys.readouterr().err


@pytest.mark.parametrize(("num", "told"), [(1, "(1 picture)"), (1200, "(1,200 pictures)")])
def test_what_is_counted_agrees_with_its_number(
    num: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One picture is no plural."""
    assert f"copying {told}\n" in said(capsys, Started("copying", num, "pictures"))


def test_a_finished_line_holds_figures_and_a_note_is_a_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Words among the facts stay out of the line; sentences come as notes, whole."""
    facts = {"stages": 2, "reason": "detail is the last stage"}
    lines = said(capsys, Finished("training", facts), Noted("detail is chosen: it is best."))
    assert lines == "✓ training  stages 2\ndetail is chosen: it is best.\n"


@pytest.mark.parametrize(
    ("value", "text"), [(12, "12"), (0.0834, "0.0834"), (-0.1149, "−0.115"), (-3, "−3")]
)
def test_numbers_have_a_minus_sign(value: float, text: str) -> None:
    """Not a hyphen, as on the pages."""
    assert number(value) == text


@pytest.mark.parametrize(("prompt", "them"), [("a fox on zyx", "it"), ("bicycle on zyx", "them")])
def test_unseen_words_agree_with_their_number(prompt: str, them: str, tiny_pack: Pack) -> None:
    """Several words are no "it"."""
    told: list[Event] = []
    warn_of_unseen_words(tiny_pack, [prompt], Brief(name="Kuro", subject="fox"), told.append)
    (warning,) = (event.message for event in told if isinstance(event, Warned))
    assert f"the pictures may ignore {them}. " in warning


@pytest.mark.parametrize(
    ("value", "told"),
    [(float("nan"), "nan"), (float("-inf"), "−inf"), (2.0, "2"), (1234567.5, "1.23e+06")],
)
def test_every_number_can_be_told(value: float, told: str) -> None:
    """Those that are none, too: a loss may have become so."""
    assert number(value) == told
