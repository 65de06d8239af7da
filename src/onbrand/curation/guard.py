"""Who may come in: the brief's words, captions and pictures, by rules that the road passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onbrand.brief import Brief
from onbrand.curation.ingest import Finding, Reject, let_in

__all__ = ["OPEN", "Guard", "Refuse"]

SAID = ("trigger", "subject", "description")

Refuse = Callable[[Sequence[str], str], None]
"""(texts, what they are, such as "the brief's subject") -> raises where one must not be said"""


@dataclass(frozen=True)
class Guard:
    """`refuse` stops everything at a text, `reject` leaves out a picture."""

    refuse: Refuse
    reject: Reject

    def check_words(self, brief: Brief, finding: Finding) -> None:
        """Look at all that prompts are made of: the brief's words and the captions found. What
        must never appear (`never`) may be named. Raises as `refuse` does."""
        for field in SAID:
            self.refuse([getattr(brief, field)], f"the brief's {field}")
        self.refuse(brief.prompts, "the brief's prompt")
        for found in finding.pictures:
            if not found.is_variant:
                self.refuse([found.caption], f"the caption of {found.name}")


def _say_anything(texts: Sequence[str], what: str) -> None:
    """Refuse nothing."""


OPEN = Guard(_say_anything, let_in)
"""Lets everything in."""
