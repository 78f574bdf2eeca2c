"""Several instances of a clip that are one object."""

from __future__ import annotations

import torch
from torch import Tensor

from .clip_costs import mask_products
from .observations import Observations


def without_duplicates(instances: Observations, max_iou: float) -> Tensor:
    """Choose the instances that do not repeat one with a higher score, whatever their classes.

    Args:
        instances (Observations): K instances.
        max_iou (float): Volumetric IoU of thresholded masks, 0..1, above which the instance with
            the lower mean score is a duplicate. Instances that share their masks always are.

    Returns:
        Tensor: (K,) bool, True for those that stay.
    """
    products, areas, _ = mask_products(instances.masks, instances.masks, binary=True)
    frame = torch.arange(len(instances.frames))
    rows = instances.rows
    intersection = products[frame, rows[:, None], rows[None]].sum(-1)  # (K, K)
    volume = areas[frame, rows].sum(-1)
    iou = intersection / (volume[:, None] + volume[None] - intersection).clamp(min=1)
    same = (rows[:, None] == rows[None]).all(-1) | (iou > max_iou)
    stays = torch.zeros(len(instances), dtype=torch.bool)
    for row in instances.scores.mean(1).argsort(descending=True, stable=True).tolist():
        stays[row] = not (same[row] & stays).any()
    return stays
