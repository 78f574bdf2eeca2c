"""Full attention to all pixels of a clip, as in VisTR: the baseline that TMSDA replaces."""

import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class ClipFullAttention(BaseModule):
    """Multi-head attention of every query to every pixel of all frames and levels.

    It stands in the place of :class:`TemporalMultiScaleDeformableAttention` ("K = All" in the
    paper's Table 1) and takes the same arguments. Cost and memory grow with the square of the
    number of pixels.

    Args:
        embed_dims: C.
        num_heads: M.
        dropout: Of the attention weights and of the output.
        **kwargs: ``num_frames``, ``num_levels`` and ``batch_first``, which every attention of a
            clip is given and this one does not need.

    Raises:
        TypeError: For any other argument.
    """

    def __init__(
        self, embed_dims: int = 256, num_heads: int = 8, dropout: float = 0.1, **kwargs
    ) -> None:
        unknown = set(kwargs) - {'num_frames', 'num_levels', 'batch_first'}
        if unknown:
            raise TypeError(f'ClipFullAttention takes no {", ".join(sorted(unknown))}')
        super().__init__()
        self.embed_dims = embed_dims
        self.attn = nn.MultiheadAttention(embed_dims, num_heads, dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def init_weights(self) -> None:
        """Xavier, as DETR."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_pos: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        **kwargs,
    ) -> Tensor:
        """Attend to all pixels of the clip that are no padding.

        Args:
            query: (B, T * Q, C).
            key: Unused: keys are the values with their positions.
            value: (B, T * N, C) pixels; ``query`` when None.
            identity: Added to the output, shape of ``query``; ``query`` when None.
            query_pos: Added to ``query``.
            key_pos: (B, T * N, C), added to ``value`` for the keys; ``query_pos`` where queries and
                pixels are the same.
            key_padding_mask: (B, T * N) bool, True in padding.
            **kwargs: Reference points and spatial shapes, which full attention has no use for.

        Returns:
            (B, T * Q, C).
        """
        identity = query if identity is None else identity
        if value is None or value is query:
            value, key_pos = query, query_pos if key_pos is None else key_pos
        keys = value if key_pos is None else value + key_pos
        queries = query if query_pos is None else query + query_pos
        out, _ = self.attn(
            queries, keys, value, key_padding_mask=key_padding_mask, need_weights=False
        )
        return identity + F.dropout(out, self.dropout.p, self.training)
