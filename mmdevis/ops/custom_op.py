"""The op as PyTorch sees it: ``mmdevis::temporal_deform_attn`` with fake and autograd rules.

One pair of operators (forward and backward) serves all back ends; which one runs is an argument, so
that a compiled or exported graph keeps the choice. Temporal tensors are never None here: without
temporal samples they are (B, T, Q, M, 0, L, 0[, 2]).
"""

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

__all__ = ['temporal_deform_attn_backward_op', 'temporal_deform_attn_op']


def _module(backend: str) -> ModuleType:
    return import_module(f'mmdevis.ops.backends.{backend}')


# Written out: torch 2.4 infers schemas of `typing` generics only.
_TENSORS = (
    'Tensor value, SymInt[] spatial_shapes, Tensor reference, Tensor offsets, Tensor logits, '
    'Tensor temporal_offsets, Tensor temporal_logits, bool instance_aware, str backend'
)


@torch.library.custom_op(
    'mmdevis::temporal_deform_attn', mutates_args=(), schema=f'({_TENSORS}) -> Tensor'
)
def temporal_deform_attn_op(
    value: Tensor,
    spatial_shapes: Sequence[int],
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
    temporal_offsets: Tensor,
    temporal_logits: Tensor,
    instance_aware: bool,
    backend: str,
) -> Tensor:
    """See :func:`mmdevis.ops.temporal_deform_attn`; ``spatial_shapes`` is flat, h before w."""
    return _module(backend).forward(
        value,
        spatial_shapes,
        reference,
        offsets,
        logits,
        temporal_offsets,
        temporal_logits,
        instance_aware,
    )


@temporal_deform_attn_op.register_fake
def _forward_fake(
    value: Tensor,
    spatial_shapes: Sequence[int],
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
    temporal_offsets: Tensor,
    temporal_logits: Tensor,
    instance_aware: bool,
    backend: str,
) -> Tensor:
    batch, frames, queries, heads = offsets.shape[:4]
    return value.new_empty(batch, frames, queries, heads * value.shape[-1])


@torch.library.custom_op(
    'mmdevis::temporal_deform_attn_backward',
    mutates_args=(),
    schema=f'(Tensor grad, Tensor output, {_TENSORS}, bool needs_value, bool needs_reference) '
    '-> Tensor[]',
)
def temporal_deform_attn_backward_op(
    grad: Tensor,
    output: Tensor,
    value: Tensor,
    spatial_shapes: Sequence[int],
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
    temporal_offsets: Tensor,
    temporal_logits: Tensor,
    instance_aware: bool,
    backend: str,
    needs_value: bool,
    needs_reference: bool,
) -> list[Tensor]:
    """Gradients of value, reference, offsets, logits, temporal offsets and temporal logits.

    ``output`` is what the forward op returned: with it, softmax's backward needs no second pass.
    Gradients that are not needed (``needs_...``) are zero.
    """
    return _module(backend).backward(
        grad,
        output,
        value,
        spatial_shapes,
        reference,
        offsets,
        logits,
        temporal_offsets,
        temporal_logits,
        instance_aware,
        needs_value,
        needs_reference,
    )


@temporal_deform_attn_backward_op.register_fake
def _backward_fake(
    grad: Tensor,
    output: Tensor,
    value: Tensor,
    spatial_shapes: Sequence[int],
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
    temporal_offsets: Tensor,
    temporal_logits: Tensor,
    instance_aware: bool,
    backend: str,
    needs_value: bool,
    needs_reference: bool,
) -> list[Tensor]:
    inputs = (value, reference, offsets, logits, temporal_offsets, temporal_logits)
    return [tensor.new_empty(tensor.shape) for tensor in inputs]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    value, spatial_shapes, *tensors, instance_aware, backend = inputs
    ctx.save_for_backward(output, value, *tensors)
    ctx.spatial_shapes = spatial_shapes
    ctx.instance_aware = instance_aware
    ctx.backend = backend


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    output, value, *tensors = ctx.saved_tensors
    needs_value, _, needs_reference = ctx.needs_input_grad[:3]
    grad_value, *grads = temporal_deform_attn_backward_op(
        grad,
        output,
        value,
        ctx.spatial_shapes,
        *tensors,
        ctx.instance_aware,
        ctx.backend,
        needs_value,
        needs_reference,
    )
    if not needs_reference:
        grads[0] = None
    return grad_value if needs_value else None, None, *grads, None, None


temporal_deform_attn_op.register_autograd(_backward, setup_context=_setup_context)
