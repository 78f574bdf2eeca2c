"""Conversions between annotation formats; the command lines are in `tools/dataset_converters`."""

from .ytvis import compress_mask, ytvis_to_frames

__all__ = ['compress_mask', 'ytvis_to_frames']
