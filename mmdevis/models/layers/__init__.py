"""Attention layers and position encodings."""

from .devis_layers import DeVISDecoder, DeVISEncoder
from .full_attention import ClipFullAttention
from .padding import clear_padding, frame_padding
from .positional_encoding import ClipPositionalEncoding
from .temporal_deform_attn import TemporalMultiScaleDeformableAttention

__all__ = [
    'ClipFullAttention',
    'ClipPositionalEncoding',
    'DeVISDecoder',
    'DeVISEncoder',
    'TemporalMultiScaleDeformableAttention',
    'clear_padding',
    'frame_padding',
]
