"""From raw offsets and logits to sampling locations and weights in absolute frame order.

The temporal projections of TMSDA predict samples for *the other* frames of a clip: slot ``j`` of
frame ``t`` is the ``j``-th other frame in ascending order. Put back in absolute order, with the
query's own frame at its place, a clip of ``T`` frames with ``L`` levels is one deformable attention
over ``T * L`` "levels", because one softmax runs over all samples (paper, eq. 3 and 4).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ['absolute_frames', 'frame_order', 'joint_softmax', 'sampling_scale']


def frame_order(num_frames: int, device: torch.device | str) -> Tensor:
    """Where absolute frame ``s`` lies in ``[own frame, slot 0, slot 1, ...]`` of frame ``t``.

    Args:
        num_frames: Frames of the clip, ``T``.
        device: Where the result is made. Nothing is copied from the host.

    Returns:
        Long tensor (T, T); entry ``[t, s]`` is 0 for ``s == t``, else 1 + the slot of ``s``.
    """
    frames = torch.arange(num_frames, device=device)
    query, target = frames[:, None], frames[None, :]
    slot = torch.where(target < query, target + 1, target)
    return torch.where(target == query, torch.zeros_like(slot), slot)


def joint_softmax(logits: Tensor, temporal_logits: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """One softmax over the current and the temporal samples of every query and head.

    Args:
        logits: (B, T, Q, M, L, K).
        temporal_logits: (B, T, Q, M, T-1, L, Kt) or None.

    Returns:
        Weights in the shapes of the arguments; together they sum to 1 over all samples.
    """
    if temporal_logits is None:
        return logits.flatten(-2).softmax(-1).view(logits.shape), None
    current = logits.flatten(-2)
    weights = torch.cat([current, temporal_logits.flatten(-3)], -1).softmax(-1)
    own, other = weights.split([current.shape[-1], weights.shape[-1] - current.shape[-1]], -1)
    return own.reshape(logits.shape), other.reshape(temporal_logits.shape)


def sampling_scale(
    reference: Tensor, spatial_shapes: tuple[tuple[int, int], ...], num_points: int
) -> Tensor:
    """What an offset is multiplied with to become a normalised shift.

    Args:
        reference: (B, T, Q, L, 2) points or (B, T, Q, L, 4) boxes as centre and size.
        spatial_shapes: Height and width of every level.
        num_points: Samples per level, ``K`` or ``Kt``; it divides offsets of 4-d references.

    Returns:
        (L, 2) for points (one pixel), (B, T, Q, L, 2) for boxes (half the box over the points).
    """
    if reference.shape[-1] == 4:
        return reference[..., 2:] * (0.5 / num_points)
    # A level without pixels gets no weight from anyone; 1 keeps its locations finite.
    sizes = [[1.0 / max(w, 1), 1.0 / max(h, 1)] for h, w in spatial_shapes]
    return reference.new_tensor(sizes)


def _locate(center: Tensor, scale: Tensor, offsets: Tensor) -> Tensor:
    """Locations (..., L, K, 2) of ``offsets`` (B, T, Q, M, [S], L, K, 2).

    ``center`` and ``scale`` are (B, T, Q, [S], L, 2), or (L, 2) for a scale that all share; heads
    and points are added here.
    """
    center = center.unsqueeze(3).unsqueeze(-2)
    scale = scale.unsqueeze(-2) if scale.dim() == 2 else scale.unsqueeze(3).unsqueeze(-2)
    return center + offsets * scale


def absolute_frames(
    spatial_shapes: tuple[tuple[int, int], ...],
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
    temporal_offsets: Tensor | None,
    temporal_logits: Tensor | None,
    instance_aware: bool,
) -> tuple[Tensor, Tensor]:
    """Sampling locations and attention weights, samples in absolute frame order.

    Args are those of :func:`mmdevis.ops.temporal_deform_attn`.

    Returns:
        - Locations (B, T, Q, M, S, L, P, 2), normalised to 0..1 over each level.
        - Weights (B, T, Q, M, S, L, P).

        With temporal samples ``S = T`` and ``P = max(K, Kt)``: the shorter of the two kinds is
        padded with samples of weight zero. Without, ``S = 1`` is the query's own frame and
        ``P = K``.
    """
    num_points = offsets.shape[-2]
    weights, temporal_weights = joint_softmax(logits, temporal_logits)
    center = reference[..., :2]
    scale = sampling_scale(reference, spatial_shapes, num_points)
    locations = _locate(center, scale, offsets)
    if temporal_offsets is None or temporal_weights is None:
        return locations.unsqueeze(4), weights.unsqueeze(4)

    num_frames, temporal_points = offsets.shape[1], temporal_offsets.shape[-2]
    order = frame_order(num_frames, offsets.device)
    rows = torch.arange(num_frames, device=offsets.device)[:, None]
    temporal_scale = sampling_scale(reference, spatial_shapes, temporal_points)
    if instance_aware:
        # The same trajectory's reference on the frame that is looked at: (B, 1, Q, S, L, 2). Slots
        # are still relative to the query's frame here, hence (B, T, Q, T-1, L, 2).
        others = _other_frames(num_frames, offsets.device)
        center = center[:, others].transpose(2, 3)
        if temporal_scale.dim() > 2:
            temporal_scale = temporal_scale[:, others].transpose(2, 3)
    else:
        center = center.unsqueeze(3)
        if temporal_scale.dim() > 2:
            temporal_scale = temporal_scale.unsqueeze(3)
    temporal_locations = _locate(center, temporal_scale, temporal_offsets)

    width = max(num_points, temporal_points)
    locations = F.pad(locations, (0, 0, 0, width - num_points))
    weights = F.pad(weights, (0, width - num_points))
    temporal_locations = F.pad(temporal_locations, (0, 0, 0, width - temporal_points))
    temporal_weights = F.pad(temporal_weights, (0, width - temporal_points))
    locations = torch.cat([locations.unsqueeze(4), temporal_locations], 4)
    weights = torch.cat([weights.unsqueeze(4), temporal_weights], 4)
    # Indexing dimensions 1 and 4 together puts the two results first: (T, S, B, Q, M, L, P[, 2]).
    locations = locations[:, rows, :, :, order].permute(2, 0, 3, 4, 1, 5, 6, 7)
    weights = weights[:, rows, :, :, order].permute(2, 0, 3, 4, 1, 5, 6)
    return locations, weights


def _other_frames(num_frames: int, device: torch.device) -> Tensor:
    """Absolute frame of every slot: long tensor (T, T-1)."""
    slot = torch.arange(num_frames - 1, device=device)[None, :]
    query = torch.arange(num_frames, device=device)[:, None]
    return slot + (slot >= query)
