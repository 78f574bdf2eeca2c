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

# Rows gathered at once: 2 ** 18 rows of 32 float32 channels are 32 MiB.
_ROWS_PER_CHUNK = 2**18

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
        table = value.reshape(-1, channels)
        output = value.new_zeros(*locations.shape[:3], channels)
        if table.shape[0]:
            for chunk in _chunks(locations):
                rows, wy, wx, _ = _corners(value.shape, spatial_shapes, locations[:, chunk])
                factors = wy * wx * weights[:, chunk, ..., None, None]
                sums = F.embedding_bag(
                    rows.reshape(-1, rows[0, 0, 0].numel()),
                    table,
                    per_sample_weights=factors.reshape(-1, rows[0, 0, 0].numel()),
                    mode='sum',
                )
                output[:, chunk] = sums.view(value.shape[0], -1, heads, channels)
        return output.flatten(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        value, locations, weights = ctx.saved_tensors
        heads, channels = value.shape[3:]
        table = value.reshape(-1, channels)
        grad_table = torch.zeros_like(table)
        grad_locations, grad_weights = torch.zeros_like(locations), torch.zeros_like(weights)
        grad = grad.unflatten(-1, (heads, channels))
        if table.shape[0]:
            for chunk in _chunks(locations):
                rows, wy, wx, inside = _corners(
                    value.shape, ctx.spatial_shapes, locations[:, chunk]
                )
                weight = weights[:, chunk]
                # One row per corner against the gradient of its query: (B, r, M, S*L*P*4, D).
                grad_rows = grad[:, chunk].unsqueeze(3)
                products = (table[rows.flatten(3)] * grad_rows).sum(-1).view(rows.shape)
                grad_weights[:, chunk] = (products * wy * wx).sum((-2, -1))
                slopes = products * inside
                along_x = ((slopes[..., 1] - slopes[..., 0]) * wy.squeeze(-1)).sum(-1)
                along_y = ((slopes[..., 1, :] - slopes[..., 0, :]) * wx.squeeze(-2)).sum(-1)
                grad_pixels = torch.stack([along_x, along_y], -1) * weight.unsqueeze(-1)
                grad_locations[:, chunk] = grad_pixels * _sizes(ctx.spatial_shapes, value)
                if ctx.needs_input_grad[0]:
                    factors = (wy * wx * weight[..., None, None]).flatten(3).unsqueeze(-1)
                    index = rows.reshape(-1, 1).expand(-1, channels)
                    grad_table.scatter_add_(0, index, (factors * grad_rows).reshape(-1, channels))
        return grad_table.view(value.shape), grad_locations, grad_weights, None


def _chunks(locations: Tensor) -> list[slice]:
    """Slices of the R queries of (B, R, M, S, L, P, 2)."""
    queries = locations.shape[1]
    rows_per_query = 2 * locations[:, :1].numel()
    size = max(_ROWS_PER_CHUNK // max(rows_per_query, 1), 1)
    return [slice(start, min(start + size, queries)) for start in range(0, queries, size)]


def _sizes(spatial_shapes: _Shapes, like: Tensor) -> Tensor:
    """Width and height of every level: (L, 1, 2)."""
    return like.new_tensor([[[w, h]] for h, w in spatial_shapes])


def _corners(
    value_shape: torch.Size, spatial_shapes: _Shapes, locations: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four pixels around every sample.

    Args:
        value_shape: B, S, N, M, D.
        spatial_shapes: Height and width of every level.
        locations: (B, R, M, S, L, P, 2).

    Returns:
        - Long (B, R, M, S, L, P, 2, 2), y before x: rows of ``value.view(-1, D)``.
        - Bilinear factors along y (..., 2, 1) and x (..., 1, 2); 0 for pixels outside.
        - Whether the pixel is inside (..., 2, 2), as a number.
    """
    batch, frames, tokens, heads, _ = value_shape
    device = locations.device
    sizes = _sizes(spatial_shapes, locations)
    pixels = locations * sizes - 0.5
    # Far outside or just outside is the same; the bounds keep the conversion to integers exact.
    pixels = torch.minimum(pixels.clamp(min=-2), sizes)
    low = pixels.floor()
    fraction = pixels - low
    both = torch.stack([low, low + 1], -1)  # (..., 2 for x and y, 2)
    inside = ((both >= 0) & (both < sizes.unsqueeze(-1))).to(locations.dtype)
    factors = torch.stack([1 - fraction, fraction], -1) * inside
    # Pixels outside have factor 0 and are replaced by one that can be read.
    both = torch.minimum(both.nan_to_num(0).clamp(min=0), (sizes - 1).clamp(min=0).unsqueeze(-1))
    both = both.long()

    areas = torch.tensor([h * w for h, w in spatial_shapes], device=device)
    widths = torch.tensor([w for _, w in spatial_shapes], device=device)
    starts = areas.cumsum(0) - areas
    shape = (-1, 1, 1, 1)  # levels against (..., L, P, 2, 2)
    token = starts.view(shape) + both[..., 1, :, None] * widths.view(shape) + both[..., 0, None, :]
    token = token.clamp(max=tokens - 1)  # where the last levels are empty
    clip = torch.arange(batch, device=device).view(-1, *[1] * 7) * frames
    frame = torch.arange(frames, device=device).view(-1, 1, 1, 1, 1)
    head = torch.arange(heads, device=device).view(-1, 1, 1, 1, 1, 1)
    rows = ((clip + frame) * tokens + token) * heads + head
    wy, wx = factors[..., 1, :, None], factors[..., 0, None, :]
    return rows, wy, wx, inside[..., 1, :, None] * inside[..., 0, None, :]
