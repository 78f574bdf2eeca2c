"""Run-length masks: the only form in which masks of a long video are kept."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor


class RLE(TypedDict):
    """Compressed run-length mask as pycocotools writes it."""

    size: list[int]  # [H, W]
    counts: bytes


def encode_masks(masks: Tensor) -> list[RLE]:
    """Encode binary masks.

    Args:
        masks (Tensor): (N, H, W) bool or 0/1 integers, on any device.

    Returns:
        list[RLE]: One per mask. Empty masks give an RLE without a pixel, and are not scanned.
    """
    if masks.dim() != 3:
        raise ValueError(f'encode_masks expects masks of shape (N, H, W), got {tuple(masks.shape)}')
    if len(masks) == 0:
        return []
    masks = masks if masks.dtype in (torch.bool, torch.uint8) else masks != 0
    occupied = masks.flatten(1).any(dim=1)
    # pycocotools wants (H, W, N) in column-major order, which is (N, W, H) in row-major order.
    columns = masks[occupied].transpose(1, 2).contiguous().view(torch.uint8).cpu().numpy()
    encoded = iter(coco_mask.encode(columns.transpose(2, 1, 0)) if len(columns) else ())
    height, width = (int(size) for size in masks.shape[1:])
    empty = None
    if not occupied.all():
        empty = coco_mask.encode(np.zeros((height, width), dtype=np.uint8, order='F'))
    return [next(encoded) if full else dict(empty) for full in occupied.tolist()]


def decode_masks(masks: list[RLE]) -> np.ndarray:
    """Decode run-length masks of one size.

    Args:
        masks (list[RLE]): N masks.

    Returns:
        np.ndarray: (N, H, W) bool; (0, 0, 0) for no mask, whose size is not known.
    """
    if not masks:
        return np.zeros((0, 0, 0), dtype=bool)
    return coco_mask.decode(list(masks)).transpose(2, 0, 1).astype(bool)


def rle_to_bboxes(masks: list[RLE]) -> Tensor:
    """Tight boxes of run-length masks.

    Args:
        masks (list[RLE]): N masks.

    Returns:
        Tensor: (N, 4) float, (x1, y1, x2, y2) in pixels, x2 and y2 exclusive; zeros when empty.
    """
    if len(masks) == 0:
        return torch.zeros(0, 4)
    boxes = torch.from_numpy(np.asarray(coco_mask.toBbox(list(masks)), dtype=np.float32))
    boxes = boxes.reshape(-1, 4).clone()
    boxes[:, 2:] += boxes[:, :2]
    return boxes
