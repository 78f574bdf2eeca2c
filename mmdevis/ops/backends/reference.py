"""Plain PyTorch: the definition that every other back end is tested against.

One pass over the ``T * L`` pairs of value frame and level; each pass samples for the queries of all
frames. Every step is an ordinary differentiable operator, so it runs in any floating dtype and on
any device, can be differentiated twice, and exports as it is (``grid_sample`` is ONNX GridSample).
"""

import torch.nn.functional as F
from torch import Tensor

from mmdevis.ops.layout import absolute_frames

__all__ = ['attend', 'attend_at']


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

    All tensors have one floating dtype.

    Returns:
        (B, T, Q, M*D).
    """
    locations, weights = absolute_frames(
        spatial_shapes,
        reference,
        offsets,
        logits,
        temporal_offsets,
        temporal_logits,
        instance_aware,
    )
    return attend_at(value, spatial_shapes, locations, weights)


def attend_at(
    value: Tensor,
    spatial_shapes: tuple[tuple[int, int], ...],
    locations: Tensor,
    weights: Tensor,
) -> Tensor:
    """Attend to given places, those of :func:`mmdevis.ops.layout.absolute_frames`.

    Args:
        value: (B, T, N, M, D).
        spatial_shapes: Height and width of every level.
        locations: (B, T, Q, M, S, L, P, 2).
        weights: (B, T, Q, M, S, L, P).

    Returns:
        (B, T, Q, M*D).
    """
    batch, frames, queries, heads = locations.shape[:4]
    if locations.shape[4] == 1:
        # Every query looks at its own frame only: frames are independent, hence part of the batch.
        value = value.flatten(0, 1).unsqueeze(1)
        locations, weights = locations.flatten(0, 1), weights.flatten(0, 1)
    else:
        locations, weights = locations.flatten(1, 2), weights.flatten(1, 2)
    output = _sample(value, spatial_shapes, locations, weights)
    return output.reshape(batch, frames, queries, heads * value.shape[-1])


def _sample(
    value: Tensor,
    spatial_shapes: tuple[tuple[int, int], ...],
    locations: Tensor,
    weights: Tensor,
) -> Tensor:
    """Weighted sum of bilinear samples.

    Args:
        value: (B, S, N, M, D).
        spatial_shapes: Height and width of every level.
        locations: (B, R, M, S, L, P, 2).
        weights: (B, R, M, S, L, P).

    Returns:
        (B, R, M, D).
    """
    batch, frames, _, heads, channels = value.shape
    rows, points = locations.shape[1], locations.shape[5]
    output = value.new_zeros(batch * heads, channels, rows)
    if output.numel() == 0:
        return output.view(batch, heads, channels, rows).permute(0, 3, 1, 2)
    # (B*M, S, L, R, P[, 2])
    grids = (2 * locations - 1).permute(0, 2, 3, 4, 1, 5, 6).flatten(0, 1)
    weights = weights.permute(0, 2, 3, 4, 1, 5).reshape(*grids.shape[:-1])
    start = 0
    for level, (height, width) in enumerate(spatial_shapes):
        tokens = value[:, :, start : start + height * width]
        start += height * width
        if height * width == 0 or points == 0:
            continue
        images = tokens.permute(1, 0, 3, 4, 2).reshape(frames, -1, channels, height, width)
        for frame in range(frames):
            sampled = F.grid_sample(
                images[frame],
                grids[:, frame, level],
                mode='bilinear',
                padding_mode='zeros',
                align_corners=False,
            )
            output = output + (sampled * weights[:, None, frame, level]).sum(-1)
    return output.view(batch, heads, channels, rows).permute(0, 3, 1, 2)
