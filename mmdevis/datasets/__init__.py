"""Data sets of videos."""

from .lazy_video import LazyVideo
from .transforms import (
    FrameError,
    LoadFrame,
    PackLazyVideo,
    RecomputeBoxesFromMasks,
    SampleClip,
)
from .validation import AnnotationError
from .vis_clip_dataset import VISClipDataset
from .youtube_vis import (
    OVIS_CLASSES,
    OVISClipDataset,
    YouTubeVISClipDataset,
    youtube_vis_classes,
)

__all__ = [
    'AnnotationError',
    'FrameError',
    'LazyVideo',
    'LoadFrame',
    'OVISClipDataset',
    'OVIS_CLASSES',
    'PackLazyVideo',
    'RecomputeBoxesFromMasks',
    'SampleClip',
    'VISClipDataset',
    'YouTubeVISClipDataset',
    'youtube_vis_classes',
]
