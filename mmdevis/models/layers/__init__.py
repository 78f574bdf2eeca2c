"""Attention layers and position encodings."""

from .devis_layers import DeVISDecoder, DeVISEncoder
from .positional_encoding import ClipPositionalEncoding
from .temporal_deform_attn import TemporalMultiScaleDeformableAttention

__all__ = [
    'ClipPositionalEncoding',
    'DeVISDecoder',
    'DeVISEncoder',
    'TemporalMultiScaleDeformableAttention',
]
