"""Eyes whose weights come from the hub: one class per architecture that `load_…` finds named in a
role's config.json. Importing this package is light; transformers and diffusers come with the first
class that is made.
"""

from __future__ import annotations

from onbrand.models.perception.hub.alignment import ContrastiveAlignment
from onbrand.models.perception.hub.clicks import SamClicks
from onbrand.models.perception.hub.faces import YuNetFaces
from onbrand.models.perception.hub.identity import TowerIdentity
from onbrand.models.perception.hub.parsing import QueryParser
from onbrand.models.perception.hub.pose import PersonDetector, TopDownPose
from onbrand.models.perception.hub.safety import ConceptCheck
from onbrand.models.perception.hub.tags import Captioner

__all__ = [
    "Captioner",
    "ConceptCheck",
    "ContrastiveAlignment",
    "PersonDetector",
    "QueryParser",
    "SamClicks",
    "TopDownPose",
    "TowerIdentity",
    "YuNetFaces",
]
