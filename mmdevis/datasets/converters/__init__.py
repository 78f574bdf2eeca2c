"""Conversions between annotation formats; the command lines are in `tools/dataset_converters`."""

from .writing import write_json
from .ytvis import OCCLUSION_KEYS, compress_mask, ytvis_to_frames

__all__ = ['OCCLUSION_KEYS', 'compress_mask', 'write_json', 'ytvis_to_frames']
