"""Where the queries of a clip look: recording and pictures (paper, figures 2 and A.5)."""

from .clip_attention import ClipAttention, record_clip
from .figures import SamplingRow, mask_attention_figure, sampling_figure
from .recorder import AttentionCall, AttentionRecorder
from .samples import QuerySamples, query_samples, sampling_points

__all__ = [
    'AttentionCall',
    'AttentionRecorder',
    'ClipAttention',
    'QuerySamples',
    'SamplingRow',
    'mask_attention_figure',
    'query_samples',
    'record_clip',
    'sampling_figure',
    'sampling_points',
]
