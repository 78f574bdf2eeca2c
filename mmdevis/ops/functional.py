"""The one entry point to temporal multi-scale deformable attention."""

import torch
from torch import Tensor

from mmdevis.utils.precision import without_autocast

from .backends import gather, mmcv
from .backends import reference as reference_backend
from .custom_op import temporal_deform_attn_op
from .dispatch import resolve_backend

__all__ = ['temporal_deform_attn']

# Back ends made of differentiable operators: autograd and exporters see through them. The others
# bring their own backward pass and go through the custom op.
_DIFFERENTIABLE = {
    'reference': reference_backend.attend,
    'mmcv': mmcv.attend,
    'gather': gather.attend,
}


def temporal_deform_attn(
    value: Tensor,
    spatial_shapes: tuple[tuple[int, int], ...],
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
    temporal_offsets: Tensor | None = None,
    temporal_logits: Tensor | None = None,
    *,
    instance_aware: bool = False,
    backend: str | None = None,
) -> Tensor:
    """Temporal multi-scale deformable attention (TMSDA; paper, eq. 3 and 4) of raw predictions.

    Every query samples its own frame and all other frames of its clip at a few points per level;
    one softmax weighs current and temporal samples together. Sampling is bilinear, zero outside a
    level, with pixel centres at +0.5, as in mmcv's ``MultiScaleDeformableAttention``.

    - 2-d reference: location = reference + offset / (w_l, h_l): offsets are in pixels of the level.
    - 4-d reference: location = centre + offset / K * size * 0.5, with Kt for temporal samples.

    It is computed in the widest dtype among the tensors and at least in float32, also under
    autocast, and returned in the dtype of ``value``.

    Args:
        value: (B, T, N, M, D) projected features: N = sum of h * w over the levels in order, M
            heads of D channels.
        spatial_shapes: Height and width of each of the L levels, plain ints. A level may be empty.
        reference: (B, T, Q, L, 2) points or (B, T, Q, L, 4) boxes (cx, cy, w, h), normalised to
            0..1, valid ratios multiplied in.
        offsets: (B, T, Q, M, L, K, 2) on the query's own frame, x before y.
        logits: (B, T, Q, M, L, K) before the softmax.
        temporal_offsets: (B, T, Q, M, T-1, L, Kt, 2); slot ``j`` of frame ``t`` is the ``j``-th
            other frame in ascending order. None for T = 1 or without temporal samples.
        temporal_logits: (B, T, Q, M, T-1, L, Kt), None exactly when ``temporal_offsets`` is.
        instance_aware: Samples on another frame start at that frame's reference of the same query
            index (the same trajectory) instead of the query's own.
        backend: A name of :data:`mmdevis.ops.BACKENDS`; None leaves the choice to
            :func:`mmdevis.ops.use_backend`, the environment variable ``MMDEVIS_ATTN_BACKEND`` and
            what is available, in that order.

    Returns:
        (B, T, Q, M*D).

    Raises:
        ValueError: If shapes do not fit together or there is no such back end.
        TypeError: If a tensor is not floating point.
        RuntimeError: If tensors lie on different devices or the back end cannot run there.
    """
    spatial_shapes = tuple((int(h), int(w)) for h, w in spatial_shapes)
    _check_shapes(
        value, spatial_shapes, reference, offsets, logits, temporal_offsets, temporal_logits
    )
    if temporal_offsets is not None and temporal_offsets.numel() == 0:
        # No other frame (T = 1) or no temporal point: the same as none given.
        temporal_offsets = temporal_logits = None
    name = resolve_backend(value.device.type, value.dtype, backend)
    output_dtype = value.dtype
    if name != 'triton':  # which reads any dtype and computes in float32 by itself
        tensors = [value, reference, offsets, logits]
        if temporal_offsets is not None and temporal_logits is not None:
            tensors += [temporal_offsets, temporal_logits]
        dtype = _compute_dtype(tensors)
        value, reference, offsets, logits, *temporal = (tensor.to(dtype) for tensor in tensors)
        temporal_offsets, temporal_logits = temporal if temporal else (None, None)

    if name in _DIFFERENTIABLE:
        with without_autocast(value.device.type):
            output = _DIFFERENTIABLE[name](
                value,
                spatial_shapes,
                reference,
                offsets,
                logits,
                temporal_offsets,
                temporal_logits,
                instance_aware,
            )
        return output.to(output_dtype)

    if temporal_offsets is None or temporal_logits is None:
        temporal_logits = logits.new_empty(*offsets.shape[:4], 0, offsets.shape[4], 0)
        temporal_offsets = offsets.new_empty(*temporal_logits.shape, 2)
    output = temporal_deform_attn_op(
        value,
        [size for shape in spatial_shapes for size in shape],
        reference,
        offsets,
        logits,
        temporal_offsets,
        temporal_logits,
        instance_aware,
        name,
    )
    return output.to(output_dtype)


def _compute_dtype(tensors: list[Tensor]) -> torch.dtype:
    """The widest dtype among the tensors, at least float32."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def _check_shapes(
    value: Tensor,
    spatial_shapes: tuple[tuple[int, int], ...],
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
    temporal_offsets: Tensor | None,
    temporal_logits: Tensor | None,
) -> None:
    """Raise where arguments of :func:`temporal_deform_attn` do not fit together."""
    if (temporal_offsets is None) != (temporal_logits is None):
        given, absent = 'temporal_offsets', 'temporal_logits'
        if temporal_offsets is None:
            given, absent = absent, given
        raise ValueError(f'`{given}` is given but `{absent}` is None: give both or neither.')
    if value.dim() != 5:
        raise ValueError(f'`value` must be (B, T, N, M, D), got {tuple(value.shape)}.')
    if offsets.dim() != 7:
        raise ValueError(f'`offsets` must be (B, T, Q, M, L, K, 2), got {tuple(offsets.shape)}.')
    batch, frames, tokens, heads, _ = value.shape
    levels = len(spatial_shapes)
    if sum(h * w for h, w in spatial_shapes) != tokens or any(
        h < 0 or w < 0 for h, w in spatial_shapes
    ):
        raise ValueError(
            f'`value` {tuple(value.shape)} has {tokens} tokens per frame, but the levels '
            f'{spatial_shapes} have {sum(h * w for h, w in spatial_shapes)}.'
        )
    queries, points = offsets.shape[2], offsets.shape[5]
    if points == 0 or levels == 0:
        raise ValueError(
            f'There must be at least one level and one point per level: L = {levels}, K = {points}.'
        )
    expected = {
        'reference': (reference, (batch, frames, queries, levels, reference.shape[-1])),
        'offsets': (offsets, (batch, frames, queries, heads, levels, points, 2)),
        'logits': (logits, (batch, frames, queries, heads, levels, points)),
    }
    if temporal_offsets is not None and temporal_logits is not None:
        if temporal_offsets.dim() != 8:
            raise ValueError(
                '`temporal_offsets` must be (B, T, Q, M, T-1, L, Kt, 2), got '
                f'{tuple(temporal_offsets.shape)}.'
            )
        temporal = (batch, frames, queries, heads, frames - 1, levels, temporal_offsets.shape[6])
        expected['temporal_offsets'] = (temporal_offsets, (*temporal, 2))
        expected['temporal_logits'] = (temporal_logits, temporal)
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f'`{name}` is {tuple(tensor.shape)} but must be {shape}: `value` is '
                f'{tuple(value.shape)}, (B, T, N, M, D); `spatial_shapes` has L = {levels} levels; '
                f'`offsets` has Q = {queries} queries and K = {points} points.'
            )
        if not tensor.is_floating_point():
            raise TypeError(f'`{name}` must be floating point, got {tensor.dtype}.')
        if tensor.device != value.device:
            raise RuntimeError(
                f'`{name}` lies on {tensor.device}, `value` on {value.device}: move one of them.'
            )
    if not value.is_floating_point():
        raise TypeError(f'`value` must be floating point, got {value.dtype}.')
    if reference.shape[-1] not in (2, 4):
        raise ValueError(
            f'`reference` must end in 2 (points) or 4 (boxes), got {tuple(reference.shape)}.'
        )
