"""Temporal deformable attention the way the official release computes it, to measure against."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor

from mmdevis.models.layers import temporal_deform_attn as layer_module
from mmdevis.ops.layout import joint_softmax

__all__ = ['per_frame_attention', 'release_loop']


@contextmanager
def release_loop() -> Iterator[None]:
    """Let all attention layers run :func:`per_frame_attention` inside a ``with`` block."""
    with mock.patch.object(layer_module, 'temporal_deform_attn', per_frame_attention):
        yield


def per_frame_attention(
    value: Tensor,
    shapes: tuple[tuple[int, int], ...],
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
    temporal_offsets: Tensor | None = None,
    temporal_logits: Tensor | None = None,
    *,
    instance_aware: bool = False,
    backend: str | None = None,
) -> Tensor:
    """The op as a loop over frames, with two calls of mmcv's function for each frame.

    One call samples the frame itself, the other a gathered copy of all other frames.

    Args are those of :func:`mmdevis.ops.temporal_deform_attn`; ``backend`` has no effect.

    Returns:
        (B, T, Q, M*D).
    """
    del backend
    dtype = value.dtype
    if dtype == torch.bfloat16 or value.device.type != 'cuda':
        value = value.float()  # mmcv's operator has no bfloat16, grid_sample on a CPU is float32
    weights, temporal_weights = joint_softmax(logits, temporal_logits)
    sizes = offsets.new_tensor([[w, h] for h, w in shapes])
    outputs = []
    for t in range(value.shape[1]):
        others = [s for s in range(value.shape[1]) if s != t]

        def locate(centre: Tensor, shift: Tensor) -> Tensor:
            if centre.shape[-1] == 2:
                located = centre[..., None, :] + shift / sizes[:, None]
            else:
                size = centre[..., None, 2:] * 0.5 / shift.shape[-2]
                located = centre[..., None, :2] + shift * size
            return located.to(value.dtype)

        here = reference[:, t, :, None]  # (B, Q, 1, L, 2|4)
        output = _mmcv_call(
            value[:, t].contiguous(),
            shapes,
            locate(here, offsets[:, t]),
            weights[:, t].to(value.dtype).contiguous(),
        )
        if temporal_offsets is not None and others:
            there = here.unsqueeze(3)
            if instance_aware:
                there = reference[:, others].transpose(1, 2).unsqueeze(2)  # (B, Q, 1, T-1, L, 2|4)
            output = output + _mmcv_call(
                value[:, others].flatten(1, 2),
                shapes * len(others),
                locate(there, temporal_offsets[:, t]).flatten(3, 4),
                temporal_weights[:, t].to(value.dtype).flatten(3, 4),
            )
        outputs.append(output)
    return torch.stack(outputs, 1).to(dtype)


def _mmcv_call(value: Tensor, shapes: tuple, locations: Tensor, weights: Tensor) -> Tensor:
    """Deformable attention of mmcv: (B, N, M, D) at (B, Q, M, L, K, 2) -> (B, Q, M*D)."""
    from mmcv.ops.multi_scale_deform_attn import (
        MultiScaleDeformableAttnFunction,
        multi_scale_deformable_attn_pytorch,
    )

    sizes = torch.tensor(shapes, device=value.device)
    if value.device.type != 'cuda':
        return multi_scale_deformable_attn_pytorch(value, sizes, locations, weights)
    areas = sizes.prod(1)
    return MultiScaleDeformableAttnFunction.apply(
        value, sizes, areas.cumsum(0) - areas, locations, weights, 64
    )
