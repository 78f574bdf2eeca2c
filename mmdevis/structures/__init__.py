"""Data that travels between the model, the tracker and the people who read results."""

from .clip_prediction import ClipPrediction
from .rle import RLE, decode_masks, encode_masks, rle_to_bboxes
from .tracks import FrameTracks, Track

__all__ = [
    'RLE',
    'ClipPrediction',
    'FrameTracks',
    'Track',
    'decode_masks',
    'encode_masks',
    'rle_to_bboxes',
]
