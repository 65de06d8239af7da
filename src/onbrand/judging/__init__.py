"""Pictures → Judgement: what the report measures, who a brand could be mistaken for, what to ship.

Light at import: torch enters only through `open_eyes` and `training_scorer`.
"""

from __future__ import annotations

from onbrand.judging.choose import CHOSEN_BY, Choice, Verdict, choose, diagnose, verdict, with_bars
from onbrand.judging.diagnosis import Diagnoser, Finding, excesses, findings
from onbrand.judging.eyes import Eyes, open_eyes
from onbrand.judging.gallery import OWN, Gallery, character_gallery, folder_gallery
from onbrand.judging.intervals import bootstrap
from onbrand.judging.prompts import evaluation_prompts
from onbrand.judging.protocol import ArmPictures, Judge, Measured, PictureScore, References
from onbrand.judging.tradeoff import Take, pareto_front, take
from onbrand.judging.training_side import TrainingScorer, scorer, training_scorer

__all__ = [
    "CHOSEN_BY",
    "OWN",
    "ArmPictures",
    "Choice",
    "Diagnoser",
    "Eyes",
    "Finding",
    "Gallery",
    "Judge",
    "Measured",
    "PictureScore",
    "References",
    "Take",
    "TrainingScorer",
    "Verdict",
    "bootstrap",
    "character_gallery",
    "choose",
    "diagnose",
    "evaluation_prompts",
    "excesses",
    "findings",
    "folder_gallery",
    "open_eyes",
    "pareto_front",
    "scorer",
    "take",
    "training_scorer",
    "verdict",
    "with_bars",
]
