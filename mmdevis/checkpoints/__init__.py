"""Checkpoints from elsewhere: the official release and image models."""

from .classes import dataset_classes, map_class_rows
from .initialisation import StartReport, lacks_video_parts, start_from_image
from .official import (
    convert_official,
    is_official,
    official_names,
    rename_official,
    revert_to_official,
)
from .renaming import RenameTable

__all__ = [
    'RenameTable',
    'StartReport',
    'convert_official',
    'dataset_classes',
    'is_official',
    'lacks_video_parts',
    'map_class_rows',
    'official_names',
    'rename_official',
    'revert_to_official',
    'start_from_image',
]
