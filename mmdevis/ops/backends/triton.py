"""Fused GPU kernels in Triton: launch code for :mod:`mmdevis.ops.backends.triton_kernels`.

Values may be float32, bfloat16 or float16; coordinates, softmax and sums are float32. Nothing is
saved for the backward pass but arguments and output. The gradient of the value is summed with
atomic additions, so its last bits depend on the order in which they happen.

With ``TRITON_INTERPRET=1`` set before the start, the kernels run on a CPU in Triton's interpreter:
slow, for tests.
"""

import os
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ['backward', 'forward', 'unavailable']

# Channels times queries of one program: enough independent loads to hide their latency.
_TILE = 2048


def unavailable(device_type: str) -> str | None:
    """Why the kernels cannot run on a device type, or None if they can."""
    interpreted = os.environ.get('TRITON_INTERPRET') == '1'
    if device_type != 'cuda' and not (device_type == 'cpu' and interpreted):
        return 'it runs on cuda only (elsewhere in the interpreter, with TRITON_INTERPRET=1)'
    try:
        import triton  # noqa: F401
    except ImportError:
        return 'Triton is not installed (pip install triton)'
    if device_type == 'cuda' and not torch.cuda.is_available():
        return 'torch sees no GPU'
    if device_type == 'cuda' and not interpreted and torch.version.hip is None:
        major, minor = torch.cuda.get_device_capability()
        if major < 7:
            return f'Triton needs compute capability 7.0, this GPU has {major}.{minor}'
    return None


@lru_cache(maxsize=64)
def _levels(spatial_shapes: tuple[int, ...], device: torch.device) -> Tensor:
    """Height, width and first token of every level, int32 (L, 3); copied to a device once."""
    rows, start = [], 0
    for height, width in zip(spatial_shapes[::2], spatial_shapes[1::2]):
        rows.append([height, width, start])
        start += height * width
    return torch.tensor(rows, dtype=torch.int32).to(device, non_blocking=True)


def _sizes(value: Tensor, reference: Tensor, offsets: Tensor, temporal_offsets: Tensor) -> dict:
    """Arguments that both kernels share, tile sizes included."""
    import triton

    channels, queries = value.shape[-1], offsets.shape[2]
    levels, points = offsets.shape[4:6]
    temporal_points = temporal_offsets.shape[6] if temporal_offsets.numel() else 0
    block_d = triton.next_power_of_2(channels)
    block_q = min(max(_TILE // block_d, 16), 64, max(triton.next_power_of_2(queries), 16))
    others = (value.shape[1] - 1) * temporal_points
    return dict(
        frames=value.shape[1],
        tokens=value.shape[2],
        queries=queries,
        num_levels=levels,
        HEADS=value.shape[3],
        CHANNELS=channels,
        LEVELS=levels,
        POINTS=points,
        TEMPORAL_POINTS=temporal_points,
        BOXES=reference.shape[-1] == 4,
        BLOCK_Q=block_q,
        BLOCK_D=block_d,
        BLOCK_S=min(triton.next_power_of_2(levels * max(points, others)), 64),
        num_warps=4 if block_q * block_d >= _TILE else 2,
    )


def _grid(offsets: Tensor, sizes: dict) -> tuple[int, int, int]:
    batch, frames, queries, heads = offsets.shape[:4]
    blocks = -(-queries // sizes['BLOCK_Q'])
    # Queries first: programs that run side by side share a head's neighbourhood of the value.
    return blocks, heads, batch * frames


def forward(
    value: Tensor,
    spatial_shapes: list[int],
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
    temporal_offsets: Tensor,
    temporal_logits: Tensor,
    instance_aware: bool,
) -> Tensor:
    """Temporal deformable attention; arguments as in :mod:`mmdevis.ops.backends.cpu`.

    Tensors may have different dtypes, none of them float64.

    Returns:
        (B, T, Q, M*D) in the dtype of ``value``.
    """
    from .triton_kernels import forward_kernel

    batch, frames, queries, heads = offsets.shape[:4]
    output = value.new_empty(batch, frames, queries, heads * value.shape[-1])
    if output.numel() == 0:
        return output
    tensors = (value, reference, offsets, logits, temporal_offsets, temporal_logits)
    value, *rest = (tensor.contiguous() for tensor in tensors)
    levels = _levels(tuple(spatial_shapes), value.device)
    sizes = _sizes(value, reference, offsets, temporal_offsets)
    forward_kernel[_grid(offsets, sizes)](
        value, levels, *rest, output, AWARE=instance_aware, **sizes
    )
    return output


def backward(
    grad: Tensor,
    output: Tensor,
    value: Tensor,
    spatial_shapes: list[int],
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
    temporal_offsets: Tensor,
    temporal_logits: Tensor,
    instance_aware: bool,
    needs_value: bool,
    needs_reference: bool,
) -> list[Tensor]:
    """Gradients of :func:`forward`; arguments and result as in :mod:`mmdevis.ops.backends.cpu`."""
    from .triton_kernels import backward_kernel

    tensors = (value, reference, offsets, logits, temporal_offsets, temporal_logits)
    value, *rest = (tensor.contiguous() for tensor in tensors)
    # Sums of many programs, in float32 whatever the dtype of the tensors is.
    sums = [torch.zeros_like(tensor, dtype=torch.float32) for tensor in (value, rest[0])]
    grads = [torch.empty_like(tensor) for tensor in rest[1:]]
    if output.numel():
        levels = _levels(tuple(spatial_shapes), value.device)
        sizes = _sizes(value, reference, offsets, temporal_offsets)
        backward_kernel[_grid(offsets, sizes)](
            value,
            levels,
            *rest,
            output.contiguous(),
            grad.contiguous(),
            *sums,
            *grads,
            AWARE=instance_aware,
            NEEDS_VALUE=needs_value,
            NEEDS_REFERENCE=needs_reference,
            **sizes,
        )
    return [sums[0].to(value.dtype), sums[1].to(reference.dtype), *grads]
