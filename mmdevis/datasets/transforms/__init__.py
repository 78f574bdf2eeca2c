"""Transforms of clips and videos."""

from .image_to_clip import ImageToClip
from .instances import RecomputeBoxesFromMasks
from .load_frame import LoadFrame
from .pack_lazy_video import PackLazyVideo
from .sample_clip import SampleClip, back_and_forth

__all__ = [
    'ImageToClip',
    'LoadFrame',
    'PackLazyVideo',
    'RecomputeBoxesFromMasks',
    'SampleClip',
    'back_and_forth',
]
