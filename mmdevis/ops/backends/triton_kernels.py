"""Triton kernels of temporal deformable attention. Importing this module needs Triton.

One program handles a tile of queries of one frame and one head, over all frames, levels and points.
Shapes are those of :func:`mmdevis.ops.temporal_deform_attn`, all tensors contiguous; ``levels`` is
int32 (L, 3) with height, width and first token. Sizes of images and clips are run-time arguments:
a new one compiles nothing.
"""

import triton
import triton.language as tl

__all__ = ['backward_kernel', 'forward_kernel']


@triton.jit
def _maximum(logits, row, in_tile, top, count, BLOCK_S: tl.constexpr):
    """Elementwise maximum of ``top`` (q) and the rows' logits (q, count)."""
    for start in range(0, count, BLOCK_S):
        column = start + tl.arange(0, BLOCK_S)
        mask = in_tile[:, None] & (column < count)[None, :]
        x = tl.load(logits + row[:, None] * count + column[None, :], mask=mask, other=float('-inf'))
        top = tl.maximum(top, tl.max(x.to(tl.float32), 1))
    return top


@triton.jit
def _exp_sum(logits, row, in_tile, top, total, count, BLOCK_S: tl.constexpr):
    """``total`` (q) plus the sum of exp(logits - top) over each row."""
    for start in range(0, count, BLOCK_S):
        column = start + tl.arange(0, BLOCK_S)
        mask = in_tile[:, None] & (column < count)[None, :]
        x = tl.load(logits + row[:, None] * count + column[None, :], mask=mask, other=float('-inf'))
        total += tl.sum(tl.exp(x.to(tl.float32) - top[:, None]), 1)
    return total


@triton.jit
def _softmax_stats(
    logits, temporal_logits, row, in_tile, frames,
    LEVELS: tl.constexpr, POINTS: tl.constexpr, TEMPORAL_POINTS: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    """Maximum and 1 / sum of the joint softmax of every query: (q), (q)."""
    own = LEVELS * POINTS
    other = (frames - 1) * LEVELS * TEMPORAL_POINTS
    top = tl.full((BLOCK_Q,), float('-inf'), tl.float32)
    top = _maximum(logits, row, in_tile, top, own, BLOCK_S)
    if TEMPORAL_POINTS > 0:
        top = _maximum(temporal_logits, row, in_tile, top, other, BLOCK_S)
    # Rows beyond the queries are all -inf: keep them from becoming NaN.
    top = tl.where(in_tile, top, 0.0)
    total = tl.zeros((BLOCK_Q,), tl.float32)
    total = _exp_sum(logits, row, in_tile, top, total, own, BLOCK_S)
    if TEMPORAL_POINTS > 0:
        total = _exp_sum(temporal_logits, row, in_tile, top, total, other, BLOCK_S)
    return top, 1.0 / tl.where(in_tile, total, 1.0)


@triton.jit
def _reference(reference, row, in_tile, level, LEVELS: tl.constexpr, BOXES: tl.constexpr):
    """Centre and size of the references of a level, (q) each; sizes are 0 for points."""
    size: tl.constexpr = 4 if BOXES else 2
    at = reference + (row * LEVELS + level) * size
    x = tl.load(at, mask=in_tile, other=0.0).to(tl.float32)
    y = tl.load(at + 1, mask=in_tile, other=0.0).to(tl.float32)
    w = tl.zeros_like(x)
    h = tl.zeros_like(x)
    if BOXES:
        w = tl.load(at + 2, mask=in_tile, other=0.0).to(tl.float32)
        h = tl.load(at + 3, mask=in_tile, other=0.0).to(tl.float32)
    return x, y, w, h


@triton.jit
def _pixel(centre, extent, offset, size, POINTS: tl.constexpr, BOXES: tl.constexpr):
    """Position in pixels along one axis, pixel centres at integers; NaN stays NaN."""
    if BOXES:
        x = (centre + offset * extent * (0.5 / POINTS)) * size - 0.5
    else:
        x = centre * size + offset - 0.5
    # Far outside or just outside is the same; this keeps integers in range.
    x = tl.where(x < -2, -2.0, x)
    return tl.where(x > size, size.to(tl.float32), x)


@triton.jit
def _corner(x, y, width, height, in_tile, CHANNELS: tl.constexpr, HEADS: tl.constexpr, column):
    """Offsets from the level's first token, and which of them may be read: (q, D), (q, D)."""
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & in_tile
    token = (y * width + x) * (HEADS * CHANNELS)
    return token[:, None] + column[None, :], inside[:, None] & (column < CHANNELS)[None, :]


@triton.jit
def _forward_segment(
    total, value, levels, num_levels, reference, offsets, logits, reference_row, sample_row, top,
    scale, in_tile, column,
    HEADS: tl.constexpr, CHANNELS: tl.constexpr, LEVELS: tl.constexpr, POINTS: tl.constexpr,
    BOXES: tl.constexpr,
):  # fmt: skip
    """``total`` (q, D) plus the samples of one frame."""
    for level in range(0, num_levels):
        height = tl.load(levels + 3 * level)
        width = tl.load(levels + 3 * level + 1)
        start = tl.load(levels + 3 * level + 2).to(tl.int64)
        base = value + start * (HEADS * CHANNELS)
        rx, ry, rw, rh = _reference(reference, reference_row, in_tile, level, LEVELS, BOXES)
        for point in range(POINTS):
            at = (sample_row * LEVELS + level) * POINTS + point
            logit = tl.load(logits + at, mask=in_tile, other=0.0).to(tl.float32)
            dx = tl.load(offsets + 2 * at, mask=in_tile, other=0.0).to(tl.float32)
            dy = tl.load(offsets + 2 * at + 1, mask=in_tile, other=0.0).to(tl.float32)
            weight = tl.exp(logit - top) * scale
            x = _pixel(rx, rw, dx, width, POINTS, BOXES)
            y = _pixel(ry, rh, dy, height, POINTS, BOXES)
            x0, y0 = tl.floor(x), tl.floor(y)
            fx, fy = x - x0, y - y0
            ix, iy = x0.to(tl.int32), y0.to(tl.int32)
            c00, m00 = _corner(ix, iy, width, height, in_tile, CHANNELS, HEADS, column)
            c01, m01 = _corner(ix + 1, iy, width, height, in_tile, CHANNELS, HEADS, column)
            c10, m10 = _corner(ix, iy + 1, width, height, in_tile, CHANNELS, HEADS, column)
            c11, m11 = _corner(ix + 1, iy + 1, width, height, in_tile, CHANNELS, HEADS, column)
            v00 = tl.load(base + c00, mask=m00, other=0.0).to(tl.float32)
            v01 = tl.load(base + c01, mask=m01, other=0.0).to(tl.float32)
            v10 = tl.load(base + c10, mask=m10, other=0.0).to(tl.float32)
            v11 = tl.load(base + c11, mask=m11, other=0.0).to(tl.float32)
            total += (weight * (1 - fy) * (1 - fx))[:, None] * v00
            total += (weight * (1 - fy) * fx)[:, None] * v01
            total += (weight * fy * (1 - fx))[:, None] * v10
            total += (weight * fy * fx)[:, None] * v11
    return total


@triton.jit
def forward_kernel(
    value, levels, reference, offsets, logits, temporal_offsets, temporal_logits, output,
    frames, tokens, queries, num_levels,
    HEADS: tl.constexpr, CHANNELS: tl.constexpr, LEVELS: tl.constexpr, POINTS: tl.constexpr,
    TEMPORAL_POINTS: tl.constexpr, BOXES: tl.constexpr, AWARE: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    """Grid: (tiles of queries, heads, clips * frames)."""
    query = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    head = tl.program_id(1)
    bt = tl.program_id(2).to(tl.int64)
    t = (bt % frames).to(tl.int32)
    first = bt - t  # the clip's first frame
    in_tile = query < queries
    column = tl.arange(0, BLOCK_D)
    row = bt * queries + query  # over (B, T, Q), int64
    head_row = row * HEADS + head
    frame_size = tokens.to(tl.int64) * (HEADS * CHANNELS)
    clip = value + first * frame_size + head * CHANNELS
    top, scale = _softmax_stats(
        logits, temporal_logits, head_row, in_tile, frames,
        LEVELS, POINTS, TEMPORAL_POINTS, BLOCK_Q, BLOCK_S,
    )  # fmt: skip
    total = tl.zeros((BLOCK_Q, BLOCK_D), tl.float32)
    total = _forward_segment(
        total, clip + t * frame_size, levels, num_levels, reference, offsets, logits, row,
        head_row, top, scale, in_tile, column, HEADS, CHANNELS, LEVELS, POINTS, BOXES,
    )  # fmt: skip
    if TEMPORAL_POINTS > 0:
        for slot in range(0, frames - 1):
            frame = slot + (slot >= t).to(tl.int32)
            reference_row = row
            if AWARE:
                reference_row = (first + frame) * queries + query
            total = _forward_segment(
                total, clip + frame * frame_size, levels, num_levels, reference, temporal_offsets,
                temporal_logits, reference_row, head_row * (frames - 1) + slot, top, scale,
                in_tile, column, HEADS, CHANNELS, LEVELS, TEMPORAL_POINTS, BOXES,
            )  # fmt: skip
    tl.store(
        output + head_row[:, None] * CHANNELS + column[None, :],
        total.to(output.dtype.element_ty),
        mask=in_tile[:, None] & (column < CHANNELS)[None, :],
    )


@triton.jit
def _backward_segment(
    grad, delta, value, levels, num_levels, reference, offsets, logits, grad_value, grad_reference,
    grad_offsets, grad_logits, reference_row, sample_row, top, scale, in_tile, column,
    HEADS: tl.constexpr, CHANNELS: tl.constexpr, LEVELS: tl.constexpr, POINTS: tl.constexpr,
    BOXES: tl.constexpr, NEEDS_VALUE: tl.constexpr, NEEDS_REFERENCE: tl.constexpr,
):  # fmt: skip
    """Gradients of everything that belongs to the samples of one frame; ``grad`` is (q, D)."""
    for level in range(0, num_levels):
        height = tl.load(levels + 3 * level)
        width = tl.load(levels + 3 * level + 1)
        start = tl.load(levels + 3 * level + 2).to(tl.int64) * (HEADS * CHANNELS)
        rx, ry, rw, rh = _reference(reference, reference_row, in_tile, level, LEVELS, BOXES)
        sum_x, sum_y = tl.zeros_like(rx), tl.zeros_like(rx)
        sum_w, sum_h = tl.zeros_like(rx), tl.zeros_like(rx)
        for point in range(POINTS):
            at = (sample_row * LEVELS + level) * POINTS + point
            logit = tl.load(logits + at, mask=in_tile, other=0.0).to(tl.float32)
            dx = tl.load(offsets + 2 * at, mask=in_tile, other=0.0).to(tl.float32)
            dy = tl.load(offsets + 2 * at + 1, mask=in_tile, other=0.0).to(tl.float32)
            weight = tl.exp(logit - top) * scale
            x = _pixel(rx, rw, dx, width, POINTS, BOXES)
            y = _pixel(ry, rh, dy, height, POINTS, BOXES)
            x0, y0 = tl.floor(x), tl.floor(y)
            fx, fy = x - x0, y - y0
            ix, iy = x0.to(tl.int32), y0.to(tl.int32)
            c00, m00 = _corner(ix, iy, width, height, in_tile, CHANNELS, HEADS, column)
            c01, m01 = _corner(ix + 1, iy, width, height, in_tile, CHANNELS, HEADS, column)
            c10, m10 = _corner(ix, iy + 1, width, height, in_tile, CHANNELS, HEADS, column)
            c11, m11 = _corner(ix + 1, iy + 1, width, height, in_tile, CHANNELS, HEADS, column)
            base = value + start
            # <gradient, corner>; 0 for corners outside, so that they have no slope either.
            p00 = tl.sum(tl.load(base + c00, mask=m00, other=0.0).to(tl.float32) * grad, 1)
            p01 = tl.sum(tl.load(base + c01, mask=m01, other=0.0).to(tl.float32) * grad, 1)
            p10 = tl.sum(tl.load(base + c10, mask=m10, other=0.0).to(tl.float32) * grad, 1)
            p11 = tl.sum(tl.load(base + c11, mask=m11, other=0.0).to(tl.float32) * grad, 1)
            if NEEDS_VALUE:
                to = grad_value + start
                upper, lower = weight * (1 - fy), weight * fy
                tl.atomic_add(to + c00, (upper * (1 - fx))[:, None] * grad, mask=m00, sem='relaxed')
                tl.atomic_add(to + c01, (upper * fx)[:, None] * grad, mask=m01, sem='relaxed')
                tl.atomic_add(to + c10, (lower * (1 - fx))[:, None] * grad, mask=m10, sem='relaxed')
                tl.atomic_add(to + c11, (lower * fx)[:, None] * grad, mask=m11, sem='relaxed')
            upper = p00 + (p01 - p00) * fx
            lower = p10 + (p11 - p10) * fx
            grad_logit = weight * (upper + (lower - upper) * fy - delta)
            # Per pixel, then per unit of the map, then per unit of the offset.
            gx = weight * ((p01 - p00) * (1 - fy) + (p11 - p10) * fy)
            gy = weight * (lower - upper)
            sum_x += gx * width
            sum_y += gy * height
            if BOXES:
                half = 0.5 / POINTS
                sum_w += gx * width * dx * half
                sum_h += gy * height * dy * half
                gx = gx * width * rw * half
                gy = gy * height * rh * half
            kind = grad_logits.dtype.element_ty
            tl.store(grad_logits + at, grad_logit.to(kind), mask=in_tile)
            kind = grad_offsets.dtype.element_ty
            tl.store(grad_offsets + 2 * at, gx.to(kind), mask=in_tile)
            tl.store(grad_offsets + 2 * at + 1, gy.to(kind), mask=in_tile)
        if NEEDS_REFERENCE:
            size: tl.constexpr = 4 if BOXES else 2
            to = grad_reference + (reference_row * LEVELS + level) * size
            tl.atomic_add(to, sum_x, mask=in_tile, sem='relaxed')
            tl.atomic_add(to + 1, sum_y, mask=in_tile, sem='relaxed')
            if BOXES:
                tl.atomic_add(to + 2, sum_w, mask=in_tile, sem='relaxed')
                tl.atomic_add(to + 3, sum_h, mask=in_tile, sem='relaxed')


@triton.jit
def backward_kernel(
    value, levels, reference, offsets, logits, temporal_offsets, temporal_logits, output,
    grad_output, grad_value, grad_reference, grad_offsets, grad_logits, grad_temporal_offsets,
    grad_temporal_logits, frames, tokens, queries, num_levels,
    HEADS: tl.constexpr, CHANNELS: tl.constexpr, LEVELS: tl.constexpr, POINTS: tl.constexpr,
    TEMPORAL_POINTS: tl.constexpr, BOXES: tl.constexpr, AWARE: tl.constexpr,
    NEEDS_VALUE: tl.constexpr, NEEDS_REFERENCE: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    """Grid as forward. ``grad_value`` and ``grad_reference`` are float32 and come zeroed."""
    query = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    head = tl.program_id(1)
    bt = tl.program_id(2).to(tl.int64)
    t = (bt % frames).to(tl.int32)
    first = bt - t
    in_tile = query < queries
    column = tl.arange(0, BLOCK_D)
    row = bt * queries + query
    head_row = row * HEADS + head
    frame_size = tokens.to(tl.int64) * (HEADS * CHANNELS)
    clip = first * frame_size + head * CHANNELS
    top, scale = _softmax_stats(
        logits, temporal_logits, head_row, in_tile, frames,
        LEVELS, POINTS, TEMPORAL_POINTS, BLOCK_Q, BLOCK_S,
    )  # fmt: skip
    cells = head_row[:, None] * CHANNELS + column[None, :]
    mask = in_tile[:, None] & (column < CHANNELS)[None, :]
    grad = tl.load(grad_output + cells, mask=mask, other=0.0).to(tl.float32)
    # What softmax's backward subtracts from every sample.
    delta = tl.sum(tl.load(output + cells, mask=mask, other=0.0).to(tl.float32) * grad, 1)
    here = clip + t * frame_size
    _backward_segment(
        grad, delta, value + here, levels, num_levels, reference, offsets, logits,
        grad_value + here, grad_reference, grad_offsets, grad_logits, row, head_row, top, scale,
        in_tile, column, HEADS, CHANNELS, LEVELS, POINTS, BOXES, NEEDS_VALUE, NEEDS_REFERENCE,
    )  # fmt: skip
    if TEMPORAL_POINTS > 0:
        for slot in range(0, frames - 1):
            frame = slot + (slot >= t).to(tl.int32)
            reference_row = row
            if AWARE:
                reference_row = (first + frame) * queries + query
            there = clip + frame * frame_size
            _backward_segment(
                grad, delta, value + there, levels, num_levels, reference, temporal_offsets,
                temporal_logits, grad_value + there, grad_reference, grad_temporal_offsets,
                grad_temporal_logits, reference_row, head_row * (frames - 1) + slot, top, scale,
                in_tile, column, HEADS, CHANNELS, LEVELS, TEMPORAL_POINTS, BOXES, NEEDS_VALUE,
                NEEDS_REFERENCE,
            )  # fmt: skip
