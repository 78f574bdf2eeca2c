"""Data sets of videos."""

from .category_mapping import map_by_name
from .coco_pseudo_clip import CocoPseudoClipDataset
from .errors import AnnotationError, FrameError
from .lazy_video import LazyVideo
from .transforms import (
    ImageToClip,
    LoadFrame,
    PackLazyVideo,
    RecomputeBoxesFromMasks,
    SampleClip,
)
from .vis_clip_dataset import VISClipDataset
from .youtube_vis import (
    OVIS_CLASSES,
    OVISClipDataset,
    YouTubeVISClipDataset,
    youtube_vis_classes,
)

__all__ = [
    'AnnotationError',
    'CocoPseudoClipDataset',
    'FrameError',
    'ImageToClip',
    'LazyVideo',
    'LoadFrame',
    'OVISClipDataset',
    'OVIS_CLASSES',
    'PackLazyVideo',
    'RecomputeBoxesFromMasks',
    'SampleClip',
    'VISClipDataset',
    'YouTubeVISClipDataset',
    'map_by_name',
    'youtube_vis_classes',
]
