"""Models: the video model, the image model and their parts."""

from . import (
    data_preprocessors,
    dense_heads,
    detectors,
    layers,
    mask_heads,
    task_modules,
    trackers,
    vis,
)

__all__ = [
    'data_preprocessors',
    'dense_heads',
    'detectors',
    'layers',
    'mask_heads',
    'task_modules',
    'trackers',
    'vis',
]
