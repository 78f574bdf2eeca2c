"""Which pixels of padded frames are padding, on maps of any size."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from torch import Tensor


def frame_padding(samples: Sequence[DetDataSample], device: torch.device) -> Tensor | None:
    """Padding of a batch of frames.

    Args:
        samples: N samples with ``img_shape`` and ``batch_input_shape``.
        device: Where the result goes.

    Returns:
        (N, H, W) bool, True in padding; None when no frame is padded.
    """
    height, width = samples[0].batch_input_shape[:2]
    shapes = [tuple(sample.img_shape[:2]) for sample in samples]
    if all(shape == (height, width) for shape in shapes):
        return None
    padding = torch.ones(len(samples), height, width, dtype=torch.bool, device=device)
    for row, (valid_height, valid_width) in zip(padding, shapes):
        row[:valid_height, :valid_width] = False
    return padding


def clear_padding(features: Tensor, padding: Tensor) -> Tensor:
    """Set the padded pixels of a map to zero.

    Args:
        features: (..., C, h, w), the leading dimensions hold N frames.
        padding: (N, H, W) bool.

    Returns:
        Shape of ``features``. The padding is resized like the masks of the transformer (nearest).
    """
    size = features.shape[-2:]
    mask = F.interpolate(padding[None].float(), size=size)[0] > 0.5
    return features.masked_fill(mask.view(*features.shape[:-3], 1, *size), 0.0)
