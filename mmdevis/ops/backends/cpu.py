"""Native CPU kernels: softmax, locations, sampling and sum in one pass, forward and backward.

Nothing but the output is written in the forward pass, and nothing is kept for the backward pass
but arguments and output. Results do not depend on the number of threads (``torch.set_num_threads``
is respected). The C sources are in ``mmdevis/ops/csrc``.
"""

import ctypes
import logging

import torch
from torch import Tensor

from mmdevis.ops import native_build

__all__ = ['backward', 'forward', 'unavailable']

_SUFFIX = {torch.float32: 'f32', torch.float64: 'f64'}


def unavailable(device_type: str) -> str | None:
    """Why the kernels cannot run here (and one warning in the log), or None if they can."""
    del device_type  # the dispatcher has excluded all but the CPU
    try:
        native_build.load()
    except native_build.BuildError as error:
        logging.getLogger('mmdevis').warning(
            'The native CPU attention kernels are not available, a slower back end is used: %s',
            error,
        )
        return str(error)
    return None


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
    """Temporal deformable attention.

    Arguments are those of :func:`mmdevis.ops.temporal_deform_attn`, all float32 or all float64,
    with ``spatial_shapes`` flat (h, w, h, w, ...) and empty temporal tensors where there are none.

    Returns:
        (B, T, Q, M*D).
    """
    batch, frames, queries, heads = offsets.shape[:4]
    output = value.new_empty(batch, frames, queries, heads * value.shape[-1])
    # Whoever calls more than once for one value can lay it out as the kernel would copy it.
    by_head = not value.is_contiguous() and value.transpose(2, 3).is_contiguous()
    inputs = [
        value if by_head else value.contiguous(),
        *(
            tensor.contiguous()
            for tensor in (reference, offsets, logits, temporal_offsets, temporal_logits)
        ),
    ]
    _call('forward', spatial_shapes, inputs, [output], instance_aware, by_head)
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
    """Gradients of :func:`forward`.

    ``grad`` is that of the output, (B, T, Q, M*D); ``output`` is what forward returned. Where
    ``needs_value`` or ``needs_reference`` is false, that gradient is all zero.

    Returns:
        Gradients of value, reference, offsets, logits, temporal offsets, temporal logits.
    """
    inputs = [
        tensor.contiguous()
        for tensor in (value, reference, offsets, logits, temporal_offsets, temporal_logits)
    ]
    grads: list[Tensor] = [torch.zeros_like(tensor) for tensor in inputs[:2]]
    grads += [torch.empty_like(tensor) for tensor in inputs[2:]]
    written: list[Tensor | None] = list(grads)
    if not needs_value:
        written[0] = None
    if not needs_reference:
        written[1] = None
    extra = [output.contiguous(), grad.contiguous()]
    _call('backward', spatial_shapes, inputs, [*extra, *written], instance_aware)
    return grads


def _call(
    name: str,
    spatial_shapes: list[int],
    inputs: list[Tensor],
    others: list[Tensor | None],
    instance_aware: bool,
    by_head: bool = False,
) -> None:
    value, reference, offsets, _, temporal_offsets, _ = inputs
    batch, frames, tokens, heads, channels = value.shape
    queries, levels, points = offsets.shape[2], offsets.shape[4], offsets.shape[5]
    temporal_points = temporal_offsets.shape[6] if temporal_offsets.numel() else 0
    if offsets.numel() == 0:
        return  # no batch or no query: outputs are empty, gradients of the rest are zero
    # The order is that of `Dims` in the C source.
    dims = (ctypes.c_int64 * 13)(
        batch, frames, tokens, queries, heads, channels, levels, points, temporal_points,
        reference.shape[-1], instance_aware, torch.get_num_threads(), by_head,
    )  # fmt: skip
    shapes = (ctypes.c_int64 * len(spatial_shapes))(*spatial_shapes)
    pointers = [
        ctypes.c_void_p(None if tensor is None else tensor.data_ptr())
        for tensor in (*inputs, *others)
    ]
    function = getattr(native_build.load(), f'temporal_deform_attn_{name}_{_SUFFIX[value.dtype]}')
    if function(dims, shapes, *pointers):
        raise MemoryError('temporal_deform_attn: no memory for the scratch buffers of a thread.')
