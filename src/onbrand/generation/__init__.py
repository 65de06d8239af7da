"""BrandModel + prompts → Pictures: the one sampler, for previews, gates and shipped pictures."""

from __future__ import annotations

from onbrand.generation.control import edge_drawing, pose_drawing
from onbrand.generation.sample import sample

__all__ = ["edge_drawing", "pose_drawing", "sample"]
