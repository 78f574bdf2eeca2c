"""Conversions between annotation formats; the command lines are in `tools/dataset_converters`."""

from .builder import YTVISBuilder
from .cvat import cvat_to_ytvis
from .labelme import labelme_to_ytvis
from .mots import mots_to_ytvis
from .split import split_videos
from .writing import write_json
from .ytvis import OCCLUSION_KEYS, compress_mask, ytvis_to_frames

__all__ = [
    'OCCLUSION_KEYS',
    'YTVISBuilder',
    'compress_mask',
    'cvat_to_ytvis',
    'labelme_to_ytvis',
    'mots_to_ytvis',
    'split_videos',
    'write_json',
    'ytvis_to_frames',
]
