"""What must not be rounded under mixed precision."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor in float32, or as it is if its dtype is wider.

    Boxes need it (a bfloat16 near 0.5 is a step of 1/256, two pixels of 640), and so do losses:
    sums over pixels overflow float16, and mmcv's focal loss does not know bfloat16.
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))


def without_autocast(device_type: str) -> AbstractContextManager:
    """A block in which autocast is off.

    Where it is off already nothing is done: an exported graph would get a region of its own.

    Args:
        device_type: As ``torch.device.type``.
    """
    if torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def autocast_dtype(device_type: str) -> torch.dtype | None:
    """The dtype of the autocast that surrounds the caller; None where there is none.

    Args:
        device_type: As ``torch.device.type``.
    """
    if torch.is_autocast_enabled(device_type):
        return torch.get_autocast_dtype(device_type)
    return None


def in_autocast(device_type: str, dtype: torch.dtype | None) -> AbstractContextManager:
    """A block in autocast.

    Args:
        device_type: As ``torch.device.type``.
        dtype: ``torch.bfloat16`` or ``torch.float16``; None leaves things as they are, so that an
            autocast around the block holds in it.
    """
    return nullcontext() if dtype is None else torch.autocast(device_type, dtype=dtype)
