"""Who may come in: the brief's words, captions and pictures, by rules that the road passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onbrand.brief import Brief
from onbrand.curation.ingest import Finding, Reject, let_in
from onbrand.errors import PromptError
from onbrand.events import Listener, Warned

__all__ = ["OPEN", "Guard", "Refuse"]

SAID = ("trigger", "subject", "description")

Refuse = Callable[[Sequence[str], str], None]
"""(texts, what they are, such as "the brief's subject") -> raises where one must not be said"""


@dataclass(frozen=True)
class Guard:
    """`refuse` stops everything at a text, `reject` leaves out a picture."""

    refuse: Refuse
    reject: Reject

    def check_words(self, brief: Brief, finding: Finding, emit: Listener) -> None:
        """Look at the brief's words, which prompts are made of, and raise as `refuse` does; what
        must never appear (`never`) may be named. Captions tell what a picture shows, in a shoe
        shop's "nude pumps": theirs are told as one `Warned`, all of them."""
        for field in SAID:
            self.refuse([getattr(brief, field)], f"the brief's {field}")
        self.refuse(brief.prompts, "the brief's prompt")
        told = []
        for found in (one for one in finding.pictures if not one.is_variant):
            try:
                self.refuse([found.caption], "the caption")
            except PromptError:
                told.append(f"the caption of {found.name} '{found.caption}'")
        if told:
            emit(
                Warned(
                    f"{'; '.join(told)}: a word in it is on the list of what must not be shown. It "
                    "is learned as it stands; prompts with it are refused."
                )
            )


def _say_anything(texts: Sequence[str], what: str) -> None:
    """Refuse nothing."""


OPEN = Guard(_say_anything, let_in)
"""Lets everything in."""
