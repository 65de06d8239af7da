"""The nouns that pass between the stages, a file per noun: folders with a manifest.

Dataset ─▶ BrandModel ─▶ Pictures ─▶ Judgement
   a few pictures ─▶ Identity ─▶ Pictures
"""

from __future__ import annotations

from onbrand.artifacts.brand_model import BrandModel, StageResult
from onbrand.artifacts.dataset import Asset, Dataset, Skip
from onbrand.artifacts.folder import (
    fingerprint_bytes,
    fingerprint_file,
    read_manifest,
    write_bytes_atomic,
    write_json_atomic,
    write_text_atomic,
)
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
    "fingerprint_bytes",
    "fingerprint_file",
    "read_manifest",
    "write_bytes_atomic",
    "write_json_atomic",
    "write_text_atomic",
]
