"""mmcv's multi-scale deformable attention, called once for all ``T * L`` pairs of frame and level.

On CUDA it is mmcv's compiled operator, elsewhere mmcv's PyTorch function (slow and hungry; it is
there so that the layout is tested without a GPU). The operator computes coordinates in the dtype of
the value and has no bfloat16: inputs come in float32 or float64.
"""

import torch
from torch import Tensor

from mmdevis.ops.layout import absolute_frames

__all__ = ['attend', 'unavailable']

# The operator's kernels go over the batch in steps that must divide it; any step up to this works.
_IM2COL_STEP = 64


def unavailable(device_type: str) -> str | None:
    """Why mmcv cannot serve a device type, or None if it can."""
    try:
        from mmcv.ops import multi_scale_deform_attn  # noqa: F401
    except ImportError as error:
        return f'mmcv.ops does not import ({error})'
    if device_type == 'cuda':
        from mmcv.ops import get_compiling_cuda_version

        if get_compiling_cuda_version() == 'not available':
            return 'mmcv was built without CUDA operators'
    return None


def attend(
    value: Tensor,
    spatial_shapes: tuple[tuple[int, int], ...],
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
    temporal_offsets: Tensor | None,
    temporal_logits: Tensor | None,
    instance_aware: bool,
) -> Tensor:
    """Temporal deformable attention; arguments as :func:`mmdevis.ops.temporal_deform_attn`.

    Returns:
        (B, T, Q, M*D).
    """
    from mmcv.ops.multi_scale_deform_attn import (
        MultiScaleDeformableAttnFunction,
        multi_scale_deformable_attn_pytorch,
    )

    batch, frames, queries, heads = offsets.shape[:4]
    channels = value.shape[-1]
    locations, weights = absolute_frames(
        spatial_shapes,
        reference,
        offsets,
        logits,
        temporal_offsets,
        temporal_logits,
        instance_aware,
    )
    if locations.shape[4] == 1:
        value = value.flatten(0, 1)
        locations, weights = locations.flatten(0, 1), weights.flatten(0, 1)
        shapes = list(spatial_shapes)
    else:
        value = value.flatten(1, 2)
        locations, weights = locations.flatten(1, 2), weights.flatten(1, 2)
        shapes = list(spatial_shapes) * frames
    # (B, R, M, S*L, P[, 2])
    locations, weights = locations.flatten(3, 4), weights.flatten(3, 4)
    filled = [i for i, (h, w) in enumerate(shapes) if h * w]
    if len(filled) < len(shapes):
        locations, weights = locations[..., filled, :, :], weights[..., filled, :]
        shapes = [shapes[i] for i in filled]
    if not shapes or not locations.numel():
        return value.new_zeros(batch, frames, queries, heads * channels)
    # Made on the host and copied without waiting for the device.
    sizes = torch.tensor(shapes)
    if value.device.type == 'cuda':
        areas = sizes.prod(1)
        starts = areas.cumsum(0) - areas
        step = max(s for s in range(1, _IM2COL_STEP + 1) if value.shape[0] % s == 0)
        output = MultiScaleDeformableAttnFunction.apply(
            value.contiguous(),
            sizes.to(value.device, non_blocking=True),
            starts.to(value.device, non_blocking=True),
            locations.contiguous(),
            weights.contiguous(),
            step,
        )
    else:
        output = multi_scale_deformable_attn_pytorch(value, sizes, locations, weights)
    return output.reshape(batch, frames, queries, heads * channels)
