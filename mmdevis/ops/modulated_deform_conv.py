"""Modulated deformable convolution: mmcv's operator, but a native kernel on a CPU."""

import ctypes
import logging
from functools import cache

import torch
from mmcv.ops import modulated_deform_conv2d
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.modules.utils import _pair

from mmdevis.ops import native_build
from mmdevis.ops.modulated_deform_conv_by_sampling import modulated_deform_conv_by_sampling
from mmdevis.utils.precision import without_autocast

__all__ = ['modulated_deform_conv']

_SUFFIX = {torch.float32: 'f32', torch.float64: 'f64'}

# Bytes of maps (see _Geometry) for each thread at once; more samples are worked through in chunks.
# What a matrix product has just written should still be in the cache when it is sampled: with
# 16 MiB, the backward pass on 24 x 40 pixels takes 1.7 times as long.
_CHUNK_BYTES = 2**20

_Pair = int | tuple[int, int]


def modulated_deform_conv(
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _Pair = 1,
    padding: _Pair = 0,
    dilation: _Pair = 1,
    groups: int = 1,
    deform_groups: int = 1,
) -> Tensor:
    """Modulated deformable convolution (Deformable ConvNets v2), as mmcv's operator.

    On a CPU a C kernel does the sampling (see ``csrc/modulated_deform_conv.c``). Where it cannot be
    built, and in graphs of ``torch.export``, PyTorch's ``grid_sample`` does. On other devices, and
    where ``groups`` or ``deform_groups`` is not 1, the call goes to
    ``mmcv.ops.modulated_deform_conv2d``.

    As in mmcv, the computation has the dtype of ``offset``, but for float16 on a CPU and bfloat16
    anywhere, which are computed in float32.

    Args:
        x: (N, C, H, W).
        offset: (N, 2 * K, H', W'), (y, x) of each of the K kernel points, pixels.
        mask: (N, K, H', W'), modulation.
        weight: (D, C, kernel height, kernel width), K = kernel height * width.
        bias: (D,).
        stride: Step of the kernel, pixels; one number or (vertical, horizontal).
        padding: Zero padding on both sides.
        dilation: Distance between kernel points, pixels.
        groups: Groups of channels with weights of their own.
        deform_groups: Groups of channels with offsets and modulations of their own.

    Returns:
        (N, D, H', W'), dtype of ``offset``.

    Raises:
        ValueError: If the shapes do not fit together.
    """
    stride, padding, dilation = _pair(stride), _pair(padding), _pair(dilation)
    on_cpu = all(t.device.type == 'cpu' for t in (x, offset, mask, weight))
    dtype = offset.dtype
    if dtype == torch.bfloat16 or (on_cpu and dtype == torch.float16):
        dtype = torch.float32
    inputs = [tensor.to(dtype) for tensor in (x, offset, mask, weight)]
    bias = None if bias is None else bias.to(dtype)
    exported = _is_exporting() and groups == deform_groups == 1
    if not exported and (not on_cpu or groups != 1 or deform_groups != 1 or dtype not in _SUFFIX):
        x, offset, mask, weight = inputs
        output = modulated_deform_conv2d(
            x.contiguous(), offset.contiguous(), mask.contiguous(), weight.contiguous(),
            bias, stride, padding, dilation, groups, deform_groups,
        )  # fmt: skip
        return output.to(offset.dtype)

    _check_shapes(*inputs, stride, padding, dilation)
    # Matrix products must not go back to the dtype of autocast.
    with without_autocast(x.device.type):
        if exported or _kernels() is None:
            output = modulated_deform_conv_by_sampling(*inputs, stride, padding, dilation)
        else:
            output = _ModulatedDeformConv.apply(*inputs, stride, padding, dilation)
        if bias is not None:
            output = output + bias[:, None, None]
    return output.to(offset.dtype)


def _is_exporting() -> bool:
    """Whether the operators of this call are being written into a graph of ``torch.export``."""
    # Torch < 2.7 has no question of its own for it.
    return getattr(torch.compiler, 'is_exporting', torch.compiler.is_compiling)()


@cache
def _kernels() -> ctypes.CDLL | None:
    """The C kernels; None, and one warning in the log, where they cannot be built."""
    try:
        return native_build.load('modulated_deform_conv')
    except native_build.BuildError as error:
        logging.getLogger('mmdevis').warning(
            'The native CPU kernel of modulated deformable convolutions is not available, a slower '
            'way is used: %s',
            error,
        )
        return None


def _check_shapes(
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> None:
    """Raise ValueError unless the kernel may read what it will read."""
    shapes = [tuple(tensor.shape) for tensor in (x, offset, mask, weight)]
    if any(len(shape) != 4 for shape in shapes) or x.shape[1] != weight.shape[1]:
        raise ValueError(
            f'expected x (N, C, H, W) and weight (D, C, h, w), got {shapes[0]} and {shapes[3]}'
        )
    kernel = weight.shape[2:]
    points = kernel[0] * kernel[1]
    sizes = [
        (x.shape[2 + i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i in (0, 1)
    ]
    if min(sizes) < 1:
        raise ValueError(f'x {shapes[0]} is smaller than the kernel {tuple(kernel)}')
    wanted = [(x.shape[0], count * points, *sizes) for count in (2, 1)]
    if shapes[1:3] != wanted:
        raise ValueError(
            f'x {shapes[0]} and a kernel of {points} points need offset {wanted[0]} and mask '
            f'{wanted[1]}, got {shapes[1]} and {shapes[2]}'
        )


class _Geometry:
    """Sizes of one call, and the calls of the C kernels on some of its samples.

    What the kernels sample are maps: (n, H * W, K, D), every pixel times the weights of every
    kernel point.
    """

    def __init__(
        self,
        x: Tensor,
        offset: Tensor,
        weight: Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
    ) -> None:
        self.out_channels = weight.shape[0]
        self.points = weight.shape[2] * weight.shape[3]
        self.sizes = (
            *x.shape[2:], *offset.shape[2:], *weight.shape[2:], *stride, *padding, *dilation,
        )  # fmt: skip
        sample_bytes = x[:1, 0].numel() * self.points * self.out_channels * x.element_size()
        self.chunk = max(_CHUNK_BYTES // max(sample_bytes, 1), 1) * torch.get_num_threads()

    def new_maps(self, x: Tensor) -> Tensor:
        """Memory for the maps of one chunk: (n * H * W, K * D)."""
        rows = min(self.chunk, x.shape[0]) * self.sizes[0] * self.sizes[1]
        return x.new_empty(rows, self.points * self.out_channels)

    def call(self, name: str, like: Tensor, count: int, *tensors: Tensor | None) -> None:
        # The order is that of `Dims` in the C source.
        dims = (ctypes.c_int64 * 15)(count, self.out_channels, *self.sizes, torch.get_num_threads())
        pointers = [
            ctypes.c_void_p(None if tensor is None else tensor.data_ptr()) for tensor in tensors
        ]
        function = getattr(_kernels(), f'modulated_deform_conv_{name}_{_SUFFIX[like.dtype]}')
        if function(dims, *pointers):
            raise MemoryError('modulated_deform_conv: no memory for the scratch buffers.')


def _pixels(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N * H * W, C)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _matrix(weight: Tensor) -> Tensor:
    """(D, C, h, w) to (C, h * w * D)."""
    return weight.permute(1, 2, 3, 0).reshape(weight.shape[1], -1)


class _ModulatedDeformConv(torch.autograd.Function):
    """The native path. Keeps its arguments only; the backward pass computes the maps again."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        offset: Tensor,
        mask: Tensor,
        weight: Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
    ) -> Tensor:
        """Arguments of :func:`modulated_deform_conv`, of one dtype; (N, D, H', W')."""
        ctx.save_for_backward(x, offset, mask, weight)
        ctx.settings = stride, padding, dilation
        geometry = _Geometry(x, offset, weight, stride, padding, dilation)
        offset, mask, matrix = offset.contiguous(), mask.contiguous(), _matrix(weight)
        output = x.new_empty(x.shape[0], weight.shape[0], *offset.shape[2:])
        buffer = geometry.new_maps(x)
        for start in range(0, x.shape[0], geometry.chunk):
            part = slice(start, start + geometry.chunk)
            pixels = _pixels(x[part])
            maps = torch.mm(pixels, matrix, out=buffer[: len(pixels)])
            geometry.call('forward', x, len(x[part]), maps, offset[part], mask[part], output[part])
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        """(N, D, H', W') to the gradients of the tensors that want one."""
        x, offset, mask, weight = ctx.saved_tensors
        needs_x, needs_offset, needs_mask, needs_weight = ctx.needs_input_grad[:4]
        geometry = _Geometry(x, offset, weight, *ctx.settings)
        offset, mask, matrix = offset.contiguous(), mask.contiguous(), _matrix(weight)
        samples = needs_offset or needs_mask
        grad_x = torch.empty_like(x, memory_format=torch.contiguous_format) if needs_x else None
        grad_offset = torch.empty_like(offset) if samples else None
        grad_mask = torch.empty_like(mask) if samples else None
        grad_matrix = torch.zeros_like(matrix) if needs_weight else None
        needs_maps = needs_x or needs_weight
        maps = buffer = geometry.new_maps(x) if samples else None
        grad_maps = grad_buffer = geometry.new_maps(x) if needs_maps else None
        with torch.autocast('cpu', enabled=False):
            for start in range(0, x.shape[0], geometry.chunk):
                part = slice(start, start + geometry.chunk)
                pixels = _pixels(x[part])
                if samples:
                    maps = torch.mm(pixels, matrix, out=buffer[: len(pixels)])
                if needs_maps:
                    grad_maps = grad_buffer[: len(pixels)].zero_()
                geometry.call(
                    'backward', x, len(x[part]), maps, offset[part], mask[part],
                    _pixels(grad[part]).contiguous(), grad_maps,
                    *(None if t is None else t[part] for t in (grad_offset, grad_mask)),
                )  # fmt: skip
                if needs_x:
                    nhwc = (grad_maps @ matrix.t()).view(-1, *x.shape[2:], x.shape[1])
                    grad_x[part] = nhwc.permute(0, 3, 1, 2)
                if needs_weight:
                    grad_matrix.addmm_(pixels.t(), grad_maps)
        grad_weight = None
        if needs_weight:
            shape = weight.shape[1], *weight.shape[2:], weight.shape[0]
            grad_weight = grad_matrix.view(shape).permute(3, 0, 1, 2).contiguous()
        return grad_x, grad_offset, grad_mask, grad_weight, None, None, None
