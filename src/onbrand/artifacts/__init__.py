"""The nouns that pass between the stages, a file per noun: folders with a manifest.

Dataset ─▶ BrandModel ─▶ Pictures ─▶ Judgement
   a few pictures ─▶ Identity ─▶ Pictures
"""

from __future__ import annotations

from onbrand.artifacts.brand_model import BrandModel, StageResult
from onbrand.artifacts.dataset import Asset, Dataset, Skip
from onbrand.artifacts.identity import Identity, IdentityPicture
from onbrand.artifacts.judgement import Arm, Judgement, Metric, alignment_name
from onbrand.artifacts.pictures import Picture, Pictures

__all__ = [
    "Arm",
    "Asset",
    "BrandModel",
    "Dataset",
    "Identity",
    "IdentityPicture",
    "Judgement",
    "Metric",
    "Picture",
    "Pictures",
    "Skip",
    "StageResult",
    "alignment_name",
]
