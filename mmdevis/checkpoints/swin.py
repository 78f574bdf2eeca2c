"""Patch merging of Swin: MMDetection gathers the four pixels in another order."""

from torch import Tensor

# The original concatenates the pixels (0,0) (1,0) (0,1) (1,1), each with all its channels;
# MMDetection unfolds, so channels come first and pixels run (0,0) (0,1) (1,0) (1,1).
_ORDER = [0, 2, 1, 3]
_INVERSE = [_ORDER.index(i) for i in range(4)]


def is_swin_merging(name: str) -> bool:
    """Whether our key belongs to the input side of a patch merging."""
    return name.startswith('backbone.stages.') and (
        name.endswith('downsample.reduction.weight') or '.downsample.norm.' in name
    )


def to_mmdet_merging(value: Tensor) -> Tensor:
    """Reorder the last dimension, (..., 4 * channels), from the original to MMDetection's."""
    pixels = value.unflatten(-1, (4, -1))
    return pixels[..., _ORDER, :].transpose(-1, -2).flatten(-2).contiguous()


def from_mmdet_merging(value: Tensor) -> Tensor:
    """Inverse of :func:`to_mmdet_merging`."""
    pixels = value.unflatten(-1, (-1, 4)).transpose(-1, -2)
    return pixels[..., _INVERSE, :].flatten(-2).contiguous()
