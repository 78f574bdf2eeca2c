"""Modulated deformable convolution from PyTorch's own operators, for a CPU without a compiler."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ['modulated_deform_conv_by_sampling']

# Bytes of sampled maps held at once where no gradient is needed.
_CHUNK_BYTES = 64 * 2**20


def modulated_deform_conv_by_sampling(
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> Tensor:
    """Modulated deformable convolution, as mmcv's without bias and groups.

    Sampling and the weights of a kernel point are both linear, so they may change places: first
    every kernel point gets its own 1x1 convolution of the input, then that map is sampled where the
    point looks. So only the output channels are sampled, and both steps are vectorised and
    threaded on a CPU, where mmcv's backward pass is not.

    Args:
        x: (N, C, H, W).
        offset: (N, 2 * K, H', W'), (y, x) of each of the K kernel points, pixels.
        mask: (N, K, H', W'), modulation.
        weight: (D, C, kernel height, kernel width), K = kernel height * width.
        stride: Step of the kernel (vertical, horizontal), pixels.
        padding: Zero padding on both sides (vertical, horizontal).
        dilation: Distance of kernel points (vertical, horizontal), pixels.

    Returns:
        (N, D, H', W').
    """
    geometry = stride, padding, dilation
    points = weight.shape[2] * weight.shape[3]
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, offset, mask, weight)):
        return _convolve(x, offset, mask, weight, *geometry)
    sample_bytes = weight.shape[0] * points * x[:1, 0].numel() * x.element_size()
    size = max(_CHUNK_BYTES // max(sample_bytes, 1), 1)
    chunks = zip(x.split(size), offset.split(size), mask.split(size))
    return torch.cat([_convolve(*chunk, weight, *geometry) for chunk in chunks])


def _convolve(
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    count, _, height, width = x.shape
    out_channels, _, kernel_height, kernel_width = weight.shape
    points = kernel_height * kernel_width
    out_height, out_width = offset.shape[-2:]

    # (N * K, D, H, W): what each kernel point contributes wherever it looks.
    per_point = weight.permute(2, 3, 0, 1).reshape(points * out_channels, -1, 1, 1)
    maps = F.conv2d(x, per_point).view(count * points, out_channels, height, width)

    def places(size: int) -> Tensor:
        return torch.arange(size, dtype=x.dtype, device=x.device)

    # Kernel points run row by row, as the channels of the offsets do.
    kernel_y = (
        places(kernel_height)[:, None].expand(-1, kernel_width).reshape(-1, 1, 1) * dilation[0]
    )
    kernel_x = places(kernel_width).repeat(kernel_height)[:, None, None] * dilation[1]
    base_y = kernel_y + places(out_height)[:, None] * stride[0] - padding[0]
    base_x = kernel_x + places(out_width) * stride[1] - padding[1]
    shift = offset.reshape(count, points, 2, out_height, out_width)
    # Pixel centre i lies at (2 i + 1) / size - 1.
    grid = torch.stack(
        [
            (2 * (shift[:, :, 1] + base_x) + 1) / width - 1,
            (2 * (shift[:, :, 0] + base_y) + 1) / height - 1,
        ],
        -1,
    ).flatten(0, 1)
    sampled = F.grid_sample(maps, grid, mode='bilinear', padding_mode='zeros', align_corners=False)
    sampled = sampled.view(count, points, out_channels, out_height, out_width)
    return (sampled * mask[:, :, None]).sum(1)
