"""Sampling points and weights of temporal deformable attention, from what a layer was given."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmdevis.models.layers import TemporalMultiScaleDeformableAttention
from mmdevis.ops.layout import absolute_frames


@dataclass(frozen=True)
class QuerySamples:
    """Where one query index of a clip looks from each frame ``t`` on each frame ``s``.

    Positions are normalised to the frame without padding: 0..1 is inside.

    Attributes:
        locations: (T, S, M, L, P, 2) sampled positions, x before y, S = T.
        weights: (T, S, M, L, P); those of a frame t and a head sum to 1. Places that do not exist
            (padding of the shorter kind of samples, other frames without temporal attention) have
            weight 0.
        own: (T, 2), reference point of the query on its own frame: where it would look on the
            other frames, too, without alignment.
        aligned: (T, S, 2), reference point used on frame s: that of the same trajectory there
            where the layer is instance-aware, else ``own``.
    """

    locations: Tensor
    weights: Tensor
    own: Tensor
    aligned: Tensor

    def share(self) -> Tensor:
        """(T, S), part of the attention from frame t that frame s gets; rows sum to 1."""
        return self.weights.sum((3, 4)).mean(2)


def sampling_points(
    layer: TemporalMultiScaleDeformableAttention,
    query: Tensor,
    reference_points: Tensor,
    spatial_shapes: tuple[tuple[int, int], ...],
) -> tuple[Tensor, Tensor]:
    """All sampling locations and weights of a layer.

    Args:
        layer: The attention layer.
        query: (B, T * Q, C), frame-major, with the positional part added.
        reference_points: (B, T * Q, L, 2 or 4) as the layer got them.
        spatial_shapes: L pairs (h, w).

    Returns:
        Locations (B, T, Q, M, S, L, P, 2) and weights (B, T, Q, M, S, L, P), see
        :func:`mmdevis.ops.layout.absolute_frames`.
    """
    frames = layer.num_frames
    reference = reference_points.unflatten(1, (frames, -1))
    raw = layer.predict_samples(query.unflatten(1, (frames, -1)))
    return absolute_frames(spatial_shapes, reference, *raw, layer.instance_aware)


@torch.no_grad()
def query_samples(
    layer: TemporalMultiScaleDeformableAttention,
    query: Tensor,
    reference_points: Tensor,
    spatial_shapes: tuple[tuple[int, int], ...],
    index: int,
    valid_ratios: Tensor | None = None,
    clip: int = 0,
) -> QuerySamples:
    """Samples of one query index, on all frames of its clip.

    Only the rows of this index are computed, so it also works for the pixels of an encoder.

    Args:
        layer: The attention layer.
        query: (B, T * Q, C), frame-major, with the positional part added.
        reference_points: (B, T * Q, L, 2 or 4) as the layer got them.
        spatial_shapes: L pairs (h, w).
        index: Trajectory in 0..Q-1; in an encoder a pixel in 0..N-1.
        valid_ratios: (B, L, 2), valid part of width and height of each level; None without padding.
        clip: Which clip of the batch.

    Returns:
        Where it looks.

    Raises:
        IndexError: If there is no such query or clip.
    """
    frames = layer.num_frames
    count = query.shape[1] // frames
    if not 0 <= index < count or not 0 <= clip < len(query):
        raise IndexError(
            f'query {index} of clip {clip}: there are {count} queries per frame and '
            f'{len(query)} clips'
        )
    query = query[clip : clip + 1].unflatten(1, (frames, -1))[:, :, index]
    reference = reference_points[clip : clip + 1].unflatten(1, (frames, -1))[:, :, index]
    locations, weights = sampling_points(layer, query, reference, spatial_shapes)
    # (T, M, S, L, P[, 2]) to (T, S, M, L, P[, 2])
    locations, weights = locations[0, :, 0].transpose(1, 2), weights[0, :, 0].transpose(1, 2)
    if locations.shape[1] != frames:
        locations, weights = _only_own_frame(locations, weights)
    # A level's own share of padding: levels differ where sizes do not divide.
    ratios = torch.ones_like(reference[0, 0, :, :2])
    if valid_ratios is not None:
        ratios = valid_ratios[clip].to(ratios)
    own = reference[0, :, 0, :2] / ratios[0]
    aligned = own[None] if layer.instance_aware else own[:, None]
    return QuerySamples(
        locations=locations / ratios[:, None],
        weights=weights,
        own=own,
        aligned=aligned.expand(frames, frames, 2),
    )


def _only_own_frame(locations: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """(T, 1, ...) of attention without other frames as (T, T, ...), weight 0 elsewhere."""
    frames = len(weights)
    own = torch.eye(frames, dtype=weights.dtype, device=weights.device)
    weights = weights * own.view(frames, frames, *[1] * (weights.dim() - 2))
    return locations.expand(-1, frames, *locations.shape[2:]), weights
