"""The eyes: what training, selection and judging look through. A protocol per role, and `load_…`,
which returns the class that understands the pack's model of that role.

    pose        joints           segmenter over joints      hub: RT-DETR + ViTPose
    parsing     parts            semantic segmenter         hub: SegFormer, Mask2Former
    clicks      mask of a click  five-channel segmenter     hub: SAM
    faces       boxes            from the parser            hub: OpenCV's YuNet
    expression  words            classifier of face crops   hub: any image classifier
    tagger      words            attribute classifier       hub: BLIP
    identity    vector           classifier's logits        hub: CLIP's or DINOv2's vision tower
    alignment   cosine           dual encoder               hub: CLIP, SigLIP
    safety      refusal          none                       hub: Stable Diffusion's checker

The evaluation twins live in `onbrand.models.twins`; what trains or selects never sees them.
"""

from __future__ import annotations

from onbrand.models.perception.alignment import Alignment, AlignmentScorer, load_alignment
from onbrand.models.perception.clicks import Clicks, load_clicks
from onbrand.models.perception.expression import ExpressionReader, load_expression
from onbrand.models.perception.faces import FaceFinder, load_faces
from onbrand.models.perception.identity import (
    Embedder,
    Identity,
    IdentityEncoder,
    load_identity,
    mean_identity,
)
from onbrand.models.perception.network import Classifier, resize
from onbrand.models.perception.parsing import Parsing, load_parsing
from onbrand.models.perception.pose import Pose, PoseEstimator, load_pose
from onbrand.models.perception.safety import PictureCheck, load_picture_check
from onbrand.models.perception.tags import AttributeClassifier, Tagging, load_tagger

__all__ = [
    "Alignment",
    "AlignmentScorer",
    "AttributeClassifier",
    "Classifier",
    "Clicks",
    "Embedder",
    "ExpressionReader",
    "FaceFinder",
    "Identity",
    "IdentityEncoder",
    "Parsing",
    "PictureCheck",
    "Pose",
    "PoseEstimator",
    "Tagging",
    "load_alignment",
    "load_clicks",
    "load_expression",
    "load_faces",
    "load_identity",
    "load_parsing",
    "load_picture_check",
    "load_pose",
    "load_tagger",
    "mean_identity",
    "resize",
]
