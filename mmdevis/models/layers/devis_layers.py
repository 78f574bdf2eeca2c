"""Encoder and decoder of DeVIS on MMDetection's Deformable DETR layers."""

from functools import lru_cache

import torch
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import FFN, MultiheadAttention
from mmdet.models.layers import (
    DeformableDetrTransformerDecoder,
    DeformableDetrTransformerDecoderLayer,
    DeformableDetrTransformerEncoder,
    DeformableDetrTransformerEncoderLayer,
    inverse_sigmoid,
)
from mmdet.registry import MODELS
from mmengine.model import ModuleList
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmdevis.ops import resolve_backend
from mmdevis.utils.pieces import is_watched, prefers_pieces
from mmdevis.utils.precision import at_least_float32

from .temporal_deform_attn import TemporalMultiScaleDeformableAttention

SpatialShapes = tuple[tuple[int, int], ...]

# Pixels that an encoder layer works on at once (see DeVISEncoderLayer): what it predicts for them,
# 9 KiB each at full size, stays in the last-level cache of a usual CPU.
_PIECE = 1024


def _build_attention(cfg: dict) -> nn.Module:
    """Build an attention layer, TMSDA unless the config names another type."""
    return MODELS.build({'type': 'TemporalMultiScaleDeformableAttention', **cfg})


def _norms(norm_cfg: dict, embed_dims: int, count: int) -> ModuleList:
    return ModuleList([build_norm_layer(norm_cfg, embed_dims)[1] for _ in range(count)])


class DeVISEncoderLayer(DeformableDetrTransformerEncoderLayer):
    """Deformable DETR encoder layer whose self-attention is taken from the registry."""

    def _init_layers(self) -> None:
        self.self_attn = _build_attention(self.self_attn_cfg)
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = FFN(**self.ffn_cfg)
        self.norms = _norms(self.norm_cfg, self.embed_dims, 2)

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        key_padding_mask: Tensor | None,
        *,
        reference_points: Tensor,
        spatial_shapes: SpatialShapes,
        **kwargs,
    ) -> Tensor:
        """Let every pixel look at its clip.

        Args:
            query: (B, T * N, C).
            query_pos: (B, T * N, C).
            key_padding_mask: (B, T * N) bool or None.
            reference_points: (B, T * N, L, 2).
            spatial_shapes: L pairs (h, w).
            **kwargs: Passed on to the attention.

        Returns:
            (B, T * N, C).
        """
        if not self.training and prefers_pieces(query) and self._samples_in_c(query):
            return self._in_pieces(
                query, query_pos, key_padding_mask, reference_points, spatial_shapes
            )
        return super().forward(
            query,
            query_pos,
            key_padding_mask,
            reference_points=reference_points,
            spatial_shapes=spatial_shapes,
            **kwargs,
        )

    def _samples_in_c(self, query: Tensor) -> bool:
        """Whether the C kernels run; other back ends prepare the value anew in each call."""
        attention = self.self_attn
        if not isinstance(attention, TemporalMultiScaleDeformableAttention):
            return False
        if is_watched(attention):
            return False
        return resolve_backend(query.device.type, query.dtype, attention.backend) == 'cpu'

    def _in_pieces(
        self,
        query: Tensor,
        query_pos: Tensor,
        key_padding_mask: Tensor | None,
        reference_points: Tensor,
        spatial_shapes: SpatialShapes,
    ) -> Tensor:
        """:meth:`forward` for some pixels of all frames after the other."""
        attention = self.self_attn
        value = attention.project_value(query, key_padding_mask)
        # Dtype and order that the kernels sample in, made once instead of in each call.
        value = at_least_float32(value).transpose(2, 3).contiguous().transpose(2, 3)

        def by_frame(x: Tensor) -> Tensor:
            return x.unflatten(1, (attention.num_frames, -1))

        query, query_pos, reference_points = map(by_frame, (query, query_pos, reference_points))
        output = torch.empty_like(query)
        size = max(_PIECE // (query.shape[0] * query.shape[1]), 1)
        for start in range(0, query.shape[2], size):
            part = slice(start, start + size)
            x = query[:, :, part]
            attended = attention.attend(
                x + query_pos[:, :, part], value, reference_points[:, :, part], spatial_shapes
            )
            output[:, :, part] = self.norms[1](self.ffn(self.norms[0](attended + x)))
        return output.flatten(1, 2)


class DeVISDecoderLayer(DeformableDetrTransformerDecoderLayer):
    """Decoder layer: joint self-attention of all queries of a clip, then TMSDA."""

    def _init_layers(self) -> None:
        self.self_attn = MultiheadAttention(**self.self_attn_cfg)
        self.cross_attn = _build_attention(self.cross_attn_cfg)
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = FFN(**self.ffn_cfg)
        self.norms = _norms(self.norm_cfg, self.embed_dims, 3)


def encoder_reference_points(spatial_shapes: SpatialShapes, valid_ratios: Tensor) -> Tensor:
    """Pixel centres of every level, seen from every level.

    Args:
        spatial_shapes: L pairs (h, w).
        valid_ratios: (B, L, 2), valid part of width and height of each level.

    Returns:
        (B, N, L, 2) in 0..1 of the padded map, N = sum of h * w.
    """
    make = _kept_centres
    # Graphs hold the computation itself, and what is no plain tensor must not outlive its context.
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or type(valid_ratios) is not Tensor:
        make = _centres
    centres = make(tuple(spatial_shapes), valid_ratios.device)
    own_ratios = torch.cat(
        [
            valid_ratios[:, level, None].expand(-1, height * width, -1)
            for level, (height, width) in enumerate(spatial_shapes)
        ],
        dim=1,
    )
    return (centres / own_ratios)[:, :, None] * valid_ratios[:, None]


def _centres(spatial_shapes: SpatialShapes, device: torch.device) -> Tensor:
    """(N, 2) pixel centres x, y of all levels, in 0..1 of the map of each."""
    # Made under inference mode, they could not be used in training later.
    with torch.inference_mode(False):
        centres = []
        for height, width in spatial_shapes:
            y = (torch.arange(height, dtype=torch.float32, device=device) + 0.5) / height
            x = (torch.arange(width, dtype=torch.float32, device=device) + 0.5) / width
            grid = torch.stack((x.expand(height, -1), y[:, None].expand(-1, width)), dim=-1)
            centres.append(grid.flatten(0, 1))
        return torch.cat(centres)


# The frames of a video have one size: their centres are made once.
_kept_centres = lru_cache(maxsize=8)(_centres)


class DeVISEncoder(DeformableDetrTransformerEncoder):
    """Encoder over the pixels of all frames and levels of a clip.

    Args:
        num_frames: T.
        with_cp: Recompute each layer in the backward pass to save memory.
        **kwargs: ``num_layers`` and ``layer_cfg`` as in MMDetection.
    """

    def __init__(self, *args, num_frames: int = 1, with_cp: bool = False, **kwargs) -> None:
        self.num_frames = num_frames
        self.with_cp = with_cp
        super().__init__(*args, **kwargs)

    def _init_layers(self) -> None:
        self.layers = ModuleList(
            [DeVISEncoderLayer(**self.layer_cfg) for _ in range(self.num_layers)]
        )
        self.embed_dims = self.layers[0].embed_dims

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        key_padding_mask: Tensor | None,
        spatial_shapes: SpatialShapes,
        valid_ratios: Tensor,
    ) -> Tensor:
        """Encode the pixels of each clip.

        Args:
            query: (B, T * N, C) features, frame-major.
            query_pos: (B, T * N, C).
            key_padding_mask: (B, T * N) bool or None.
            spatial_shapes: L pairs (h, w).
            valid_ratios: (B, L, 2); all frames of a clip have one size.

        Returns:
            (B, T * N, C).
        """
        reference_points = encoder_reference_points(spatial_shapes, valid_ratios)
        reference_points = reference_points.repeat(1, self.num_frames, 1, 1)
        options = dict(reference_points=reference_points, spatial_shapes=spatial_shapes)
        for layer in self.layers:
            if self.with_cp and torch.is_grad_enabled():
                query = checkpoint(
                    layer, query, query_pos, key_padding_mask, use_reentrant=False, **options
                )
            else:
                query = layer(query, query_pos, key_padding_mask, **options)
        return query


class DeVISDecoder(DeformableDetrTransformerDecoder):
    """Decoder with joint self-attention over T * Q queries and box refinement.

    Args:
        detach_references: Stop the gradient between the references of consecutive layers
            (COCO stage and early ablations). The final video recipes let it flow.
        refine_references: Let every layer start from the boxes of the layer before it. Without
            it every layer predicts relative to the initial reference points.
        with_cp: Recompute each layer in the backward pass to save memory.
        **kwargs: ``num_layers`` and ``layer_cfg`` as in MMDetection.
    """

    def __init__(
        self,
        *args,
        detach_references: bool = True,
        refine_references: bool = True,
        with_cp: bool = False,
        **kwargs,
    ) -> None:
        self.detach_references = detach_references
        self.refine_references = refine_references
        self.with_cp = with_cp
        super().__init__(*args, **kwargs)

    def _init_layers(self) -> None:
        self.layers = ModuleList(
            [DeVISDecoderLayer(**self.layer_cfg) for _ in range(self.num_layers)]
        )
        self.embed_dims = self.layers[0].embed_dims
        if self.post_norm_cfg is not None:
            raise ValueError('DeVISDecoder has no post norm, set decoder.post_norm_cfg=None')

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None,
        reference_points: Tensor,
        spatial_shapes: SpatialShapes,
        valid_ratios: Tensor,
        reg_branches: nn.ModuleList,
        key_pos: Tensor | None = None,
        query_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode trajectories.

        Args:
            query: (B, T * Q, C), frame-major.
            query_pos: (B, T * Q, C).
            value: (B, T * N, C) encoded features.
            key_padding_mask: (B, T * N) bool or None.
            reference_points: (B, T * Q, 2 or 4), normalised to the valid area.
            spatial_shapes: L pairs (h, w).
            valid_ratios: (B, L, 2).
            reg_branches: One box branch per layer.
            key_pos: (B, T * N, C), positions of the pixels, for attention with keys.
            query_mask: (T * Q, T * Q) bool, True where self-attention must not look, or None.

        Returns:
            - hidden states, (layers, B, T * Q, C)
            - refined references, i.e. the boxes of every layer, (layers, B, T * Q, 4) cxcywh
        """
        states, boxes = [], []
        reference_points = at_least_float32(reference_points)
        for layer, branch in zip(self.layers, reg_branches):
            ratios = valid_ratios
            if reference_points.shape[-1] == 4:
                ratios = torch.cat([valid_ratios, valid_ratios], -1)
            options = dict(
                value=value,
                query_pos=query_pos,
                key_pos=key_pos,
                self_attn_mask=query_mask,
                key_padding_mask=key_padding_mask,
                reference_points=reference_points[:, :, None] * ratios[:, None],
                spatial_shapes=spatial_shapes,
            )
            if self.with_cp and torch.is_grad_enabled():
                query = checkpoint(layer, query, use_reentrant=False, **options)
            else:
                query = layer(query, **options)
            delta = at_least_float32(branch(query))
            anchor = inverse_sigmoid(reference_points)
            if anchor.shape[-1] == 2:
                anchor = torch.cat([anchor, torch.zeros_like(anchor)], -1)
            refined = (delta + anchor).sigmoid()
            states.append(query)
            boxes.append(refined)
            if self.refine_references:
                reference_points = refined.detach() if self.detach_references else refined
        return torch.stack(states), torch.stack(boxes)
