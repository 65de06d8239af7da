"""Evaluation twins: encoders that only judging may use, when it measures for a report or a bench.

They differ from the training-side encoders in architecture, seed and augmentation. Curation,
training and generation may not import this module: what selects a checkpoint never grades it.
"""

from __future__ import annotations

from onbrand.models.perception import (
    AlignmentScorer,
    AttributeClassifier,
    Embedder,
    ExpressionReader,
    PoseEstimator,
)

__all__ = [
    "AlignmentTwin",
    "AttributeReader",
    "ExpressionTwin",
    "IdentityTwin",
    "PoseTwin",
]


class IdentityTwin(Embedder):
    """The evaluation-only identity encoder."""

    role = "twin_identity"


class AttributeReader(AttributeClassifier):
    """Reads the attributes of mascots, products, people and places, and planted faults."""

    role = "attributes"


class PoseTwin(PoseEstimator):
    """The evaluation-only pose estimator."""

    role = "twin_pose"


class AlignmentTwin(AlignmentScorer):
    """The evaluation-only alignment scorer."""

    role = "twin_alignment"


class ExpressionTwin(ExpressionReader):
    """The evaluation-only reader of expressions. Faces are found as the training side finds them;
    what they show is read by this one alone."""

    role = "twin_expression"
