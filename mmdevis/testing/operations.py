"""How many operations a model needs, and how many the machine does."""

import math
import statistics
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from .measuring import time_call

__all__ = ['bandwidth', 'count_flops', 'matrix_rate']


def count_flops(call: Callable[[], object]) -> int:
    """Operations of matrix products, convolutions and bilinear sampling, a product and a sum each.

    Not counted: normalisation, activations, softmax, and operators of mmcv. Parameters of the
    models that are called must not require gradients, or the counter fails in inference mode.

    Args:
        call: What is counted.
    """

    def attention(value, shapes, reference, offsets, logits, temporal, *args, out_shape, **kwargs):
        samples = math.prod(logits) + math.prod(temporal[:-1])
        return samples * 4 * value[-1] * 2

    def grid_sample(image, grid, *args, out_shape, **kwargs):
        return math.prod(out_shape) * 4 * 2

    formulas = {
        torch.ops.mmdevis.temporal_deform_attn: attention,
        torch.ops.aten.grid_sampler_2d: grid_sample,
    }
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        call()
    return counter.get_total_flops()


def matrix_rate(device: str = 'cpu', dtype: torch.dtype = torch.float32, rounds: int = 5) -> float:
    """Operations per second of a large matrix product, the most that a model can reach.

    Args:
        device: As ``torch.device``.
        dtype: Of the matrices.
        rounds: Products that are timed; the median counts.
    """
    size = 8192 if torch.device(device).type == 'cuda' else 2048
    a, b = (torch.rand(size, size, device=device, dtype=dtype) for _ in range(2))
    times = [time_call(lambda: a @ b, device) for _ in range(rounds + 1)][1:]
    return 2 * size**3 / statistics.median(times)


def bandwidth(device: str = 'cpu', rounds: int = 5) -> float:
    """Bytes per second of a large copy, read and written ones together.

    Args:
        device: As ``torch.device``.
        rounds: Copies that are timed; the median counts.
    """
    source = torch.zeros(2**26, device=device)
    target = torch.empty_like(source)
    times = [time_call(lambda: target.copy_(source), device) for _ in range(rounds + 1)][1:]
    return 2 * source.numel() * source.element_size() / statistics.median(times)
