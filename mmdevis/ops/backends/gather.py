"""Bilinear sampling as a weighted gather, in plain PyTorch: the CPU path without a C compiler.

A value token of one head is a row of D numbers, and a query's output is a weighted sum of four rows
per sample: ``embedding_bag`` with per-sample weights. Queries are handled in chunks, so that row
numbers and factors stay small; the backward pass computes them again.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmdevis.ops.layout import absolute_frames

__all__ = ['attend']

# Rows gathered at once: 2 ** 15 rows of 32 float32 channels are 4 MiB, which stay in the cache and
# whose memory is reused rather than returned to the system after each chunk.
_ROWS_PER_CHUNK = 2**15

# Pixels of zeros around each level: a sample may lie up to two pixels outside.
_BORDER = 2

_Shapes = tuple[tuple[int, int], ...]


def attend(
    value: Tensor,
    spatial_shapes: _Shapes,
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
    temporal_offsets: Tensor | None,
    temporal_logits: Tensor | None,
    instance_aware: bool,
) -> Tensor:
    """Temporal deformable attention; arguments as :func:`mmdevis.ops.temporal_deform_attn`.

    All tensors are float32 or all are float64.

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
    if locations.shape[4] == 1:
        # Every query looks at its own frame only: frames are independent, hence part of the batch.
        sampled = _Gather.apply(
            value.flatten(0, 1).unsqueeze(1),
            locations.flatten(0, 1),
            weights.flatten(0, 1),
            spatial_shapes,
        )
    else:
        sampled = _Gather.apply(
            value, locations.flatten(1, 2), weights.flatten(1, 2), spatial_shapes
        )
    return sampled.reshape(*offsets.shape[:3], sampled.shape[-1])


class _Gather(torch.autograd.Function):
    """Weighted sum of bilinear samples: (B, S, N, M, D) at (B, R, M, S, L, P, 2) -> (B, R, M*D)."""

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, locations: Tensor, weights: Tensor, spatial_shapes: _Shapes
    ) -> Tensor:
        ctx.save_for_backward(value, locations, weights)
        ctx.spatial_shapes = spatial_shapes
        heads, channels = value.shape[3:]
        table = _pad(value, spatial_shapes).view(-1, channels)
        output = value.new_empty(*locations.shape[:3], channels)
        for chunk in _chunks(locations):
            rows, fx, fy = _corners(value.shape, spatial_shapes, locations[:, chunk])
            factors = _factors(fx, fy, weights[:, chunk])
            samples = factors[0, 0, 0].numel()
            sums = F.embedding_bag(
                rows.reshape(-1, samples),
                table,
                per_sample_weights=factors.reshape(-1, samples),
                mode='sum',
            )
            output[:, chunk] = sums.view(value.shape[0], -1, heads, channels)
        return output.flatten(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        value, locations, weights = ctx.saved_tensors
        heads, channels = value.shape[3:]
        padded = _pad(value, ctx.spatial_shapes)
        table = padded.view(-1, channels)
        grad_table = torch.zeros_like(table)
        grad_locations, grad_weights = torch.empty_like(locations), torch.empty_like(weights)
        grad = grad.unflatten(-1, (heads, channels))
        sizes = _sizes(ctx.spatial_shapes, value)
        for chunk in _chunks(locations):
            rows, fx, fy = _corners(value.shape, ctx.spatial_shapes, locations[:, chunk])
            weight = weights[:, chunk]
            # All corners of a query and head against its gradient: (bags, rows, D) x (bags, D, 1).
            grad_bags = grad[:, chunk].reshape(-1, channels, 1)
            bags = rows.reshape(len(grad_bags), -1)
            products = torch.bmm(F.embedding(bags, table), grad_bags)
            p00, p01, p10, p11 = products.reshape(rows.shape).unbind(-1)
            along_x, along_y = torch.lerp(p01 - p00, p11 - p10, fy), torch.lerp(p10, p11, fx)
            upper = torch.lerp(p00, p01, fx)
            grad_weights[:, chunk] = torch.lerp(upper, along_y, fy)
            torch.mul(along_x * weight, sizes[..., 0], out=grad_locations[:, chunk, ..., 0])
            torch.mul(
                (along_y - upper) * weight, sizes[..., 1], out=grad_locations[:, chunk, ..., 1]
            )
            if ctx.needs_input_grad[0]:
                factors = _factors(fx, fy, weight).reshape(*bags.shape, 1)
                shares = torch.bmm(factors, grad_bags.transpose(1, 2)).reshape(-1, channels)
                index = bags.reshape(-1, 1).expand(-1, channels)
                grad_table.scatter_add_(0, index, shares)
        grad_value = _crop(grad_table.view_as(padded), ctx.spatial_shapes)
        return grad_value, grad_locations, grad_weights, None


def _chunks(locations: Tensor) -> list[slice]:
    """Slices of the R queries of (B, R, M, S, L, P, 2)."""
    queries = locations.shape[1]
    rows_per_query = 2 * locations[:, :1].numel()
    size = max(_ROWS_PER_CHUNK // max(rows_per_query, 1), 1)
    if rows_per_query == 0:
        return []
    return [slice(start, min(start + size, queries)) for start in range(0, queries, size)]


def _sizes(spatial_shapes: _Shapes, like: Tensor) -> Tensor:
    """Width and height of every level: (L, 1, 2)."""
    return like.new_tensor([[[w, h]] for h, w in spatial_shapes])


def _pad(value: Tensor, spatial_shapes: _Shapes) -> Tensor:
    """Put a border of zeros around every level, so that every sample has four pixels to read.

    Args:
        value: (B, S, N, M, D).
        spatial_shapes: Height and width of every level.

    Returns:
        (B, S, N', M, D) with N' = sum of (h + 4) * (w + 4).
    """
    levels, start = [], 0
    for height, width in spatial_shapes:
        level = value[:, :, start : start + height * width]
        start += height * width
        level = level.unflatten(2, (height, width))
        border = (0, 0, 0, 0, _BORDER, _BORDER, _BORDER, _BORDER)
        levels.append(F.pad(level, border).flatten(2, 3))
    return torch.cat(levels, 2)


def _crop(padded: Tensor, spatial_shapes: _Shapes) -> Tensor:
    """Undo :func:`_pad`."""
    levels, start = [], 0
    for height, width in spatial_shapes:
        tall, wide = height + 2 * _BORDER, width + 2 * _BORDER
        level = padded[:, :, start : start + tall * wide].unflatten(2, (tall, wide))
        start += tall * wide
        level = level[:, :, _BORDER : _BORDER + height, _BORDER : _BORDER + width]
        levels.append(level.flatten(2, 3))
    return torch.cat(levels, 2)


def _corners(
    value_shape: torch.Size, spatial_shapes: _Shapes, locations: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The four pixels around every sample.

    Args:
        value_shape: B, S, N, M, D.
        spatial_shapes: Height and width of every level.
        locations: (B, R, M, S, L, P, 2).

    Returns:
        - Long (B, R, M, S, L, P, 4): rows of ``_pad(value).view(-1, D)``; upper left, upper right,
          lower left, lower right.
        - Where the sample lies between left and right, and between upper and lower, each
          (B, R, M, S, L, P).
    """
    batch, frames, _, heads, _ = value_shape
    device = locations.device
    sizes = _sizes(spatial_shapes, locations)
    # Far outside or just outside is the same: both meet the border only.
    pixels = torch.minimum((locations * sizes).sub_(0.5).clamp_(min=-_BORDER), sizes)
    low = pixels.floor()
    fraction = pixels.sub_(low)
    wide = sizes[..., 0] + 2 * _BORDER  # (L, 1), as all below against (..., L, P)
    areas = torch.tensor(
        [(h + 2 * _BORDER) * (w + 2 * _BORDER) for h, w in spatial_shapes], device=device
    )
    starts = (areas.cumsum(0) - areas).view(-1, 1)
    # Exact in float32 up to 2 ** 24 pixels of a level. NaN stays in the fractions.
    token = torch.addcmul(low[..., 0], low[..., 1], wide).add_((wide + 1) * _BORDER)
    token = token.nan_to_num_(0).long()
    clip = torch.arange(batch, device=device).view(-1, 1, 1, 1, 1, 1) * frames
    frame = torch.arange(frames, device=device).view(-1, 1, 1)
    head = torch.arange(heads, device=device).view(-1, 1, 1, 1)
    first = ((clip + frame) * areas.sum() + starts) * heads + head
    step = wide.long().unsqueeze(-1) * torch.tensor([0, 0, 1, 1], device=device)
    step = (step + torch.tensor([0, 1, 0, 1], device=device)) * heads  # (L, 1, 4)
    rows = token.mul_(heads).add_(first).unsqueeze(-1) + step
    return rows, fraction[..., 0], fraction[..., 1]


def _factors(fx: Tensor, fy: Tensor, weight: Tensor) -> Tensor:
    """Weights of the four corners, (..., 4), of attention weights (...)."""
    lower = weight * fy
    upper = weight - lower
    right_lower, right_upper = lower * fx, upper * fx
    return torch.stack([upper - right_upper, right_upper, lower - right_lower, right_lower], -1)
