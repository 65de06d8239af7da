"""What a prompt may say: words that are refused, and words that the base has never seen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onbrand.brief import Brief
from onbrand.errors import PromptError
from onbrand.events import Listener, Warned

if TYPE_CHECKING:
    from onbrand.models.packs import Pack

__all__ = ["refuse_words", "warn_of_unseen_words"]


def refuse_words(pack: Pack, texts: Sequence[str], what: str = "the prompt") -> None:
    """Raises `PromptError` for a text with a word that the pack lists as not to be shown; `what`
    says in the error what the texts are."""
    for text in texts:
        if found := pack.refused_in(text):
            reasons = ", ".join(f"'{word}' ({about})" for word, about in found.items())
            raise PromptError(
                f"{what} '{text}' is refused: {reasons} is on the word list of what must not "
                "be shown. Say it in other words, or leave it out."
            )


def warn_of_unseen_words(pack: Pack, prompts: Sequence[str], brief: Brief, emit: Listener) -> None:
    """Emits one `Warned` naming the words the base never learned; the trigger is no such word."""
    own = set(re.findall(r"[^\W\d_]+", brief.trigger.lower()))
    unseen = [
        word
        for word in dict.fromkeys(w for p in prompts for w in pack.unseen_words(p))
        if word.lower() not in own
    ]
    if unseen:
        words = ", ".join(repr(word) for word in unseen)
        them = "it" if len(unseen) == 1 else "them"
        emit(
            Warned(
                f"the base has never seen {words}: the pictures may ignore {them}. "
                "Other words for the same thing may work better."
            )
        )
